"""Multicast DNS (RFC 6762, 6763): who of a mesh is on the local network, and that we are.

The library (zeroconf) speaks asyncio, so it has a thread and an event loop of its own; what it
hears comes out as parsed announcements. Rules: nothing that is heard raises here or is kept, but
for the library's own cache, which is bounded and begins anew every few minutes, when interfaces
that came meanwhile are taken up, too.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.network.addresses import parse_address, peer_id_of_node
from ccp2p.network.announcement import (
    SERVICE,
    Announcement,
    encode_announcement,
    parse_announcement,
)

if TYPE_CHECKING:
    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

_log = structlog.get_logger()

_LIFETIME_S: Final = 600.0
_GOODBYE_S: Final = 2.0
_ANSWER_MS: Final = 1000

Heard = Callable[[Announcement], None]


async def run_mdns(
    heard: Heard, announced: Announcement | None = None, *, interfaces: tuple[str, ...] = ()
) -> None:
    """Tell the local network of `announced`, and `heard` of others, until cancelled.

    The same announcement may be heard many times. `interfaces` are addresses of ours; none: all.
    Unreachable where there is no local network, or where it goes away.
    """
    token = trio.lowlevel.current_trio_token()
    ended = trio.Event()

    def tell(announcement: Announcement) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(heard, announcement, idempotent=True)

    service = _Service(tell, announced, interfaces)

    def serve() -> None:
        try:
            asyncio.run(service.run())
        finally:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(ended.set)

    try:
        await trio.to_thread.run_sync(serve, abandon_on_cancel=True)
    finally:
        service.stop()
        with trio.move_on_after(_GOODBYE_S, shield=True):
            await ended.wait()


class _Service:
    """Everything that happens in the library's thread, but for `stop`."""

    def __init__(
        self, tell: Heard, announced: Announcement | None, interfaces: tuple[str, ...]
    ) -> None:
        self._tell = tell
        self._announced = announced
        self._interfaces = interfaces
        self._asking: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """Let `run` return; from any thread."""
        self._is_stopping = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._is_stopping:
            try:
                await self._serve()
            except (OSError, RuntimeError) as error:
                raise Unreachable(f"no local network to look around in: {error}") from None

    async def _serve(self) -> None:
        from zeroconf.asyncio import AsyncServiceBrowser

        async with _open(self._interfaces) as zeroconf:
            browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[self._changed])
            try:
                if self._announced is not None:
                    # A name that is ours by its key is not given up because another claims it.
                    info = _service_info(self._announced)
                    await (await zeroconf.async_register_service(info, cooperating_responders=True))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), _LIFETIME_S)
            finally:
                await browser.async_cancel()
                for task in tuple(self._tasks):
                    task.cancel()

    def _changed(
        self, zeroconf: "Zeroconf", service_type: str, name: str, state_change: Any
    ) -> None:
        """A service came, changed or went. What it says is mostly here; if not, it is asked.

        The text is all that counts, also when a flood drove the rest out of the library's cache.
        """
        from zeroconf import ServiceStateChange
        from zeroconf.asyncio import AsyncServiceInfo

        if state_change is ServiceStateChange.Removed or len(name) > limits.MAX_ADDRESS_CHARS:
            return
        try:
            info = AsyncServiceInfo(service_type, name)
            info.load_from_cache(zeroconf)
            if info.text:
                self._read(info.text)
            elif len(self._asking) < limits.ANNOUNCEMENTS_ASKED and name not in self._asking:
                self._asking.add(name)
                task = asyncio.ensure_future(self._ask(zeroconf, info, name))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except Exception as error:
            # A name or record that the library trips over is not worth hearing.
            _log.debug("an announcement was dropped", error=type(error).__name__)

    async def _ask(self, zeroconf: "Zeroconf", info: "AsyncServiceInfo", name: str) -> None:
        try:
            await info.async_request(zeroconf, _ANSWER_MS)
            self._read(info.text)
        except Exception as error:
            _log.debug("an announcement was dropped", error=type(error).__name__)
        finally:
            self._asking.discard(name)

    def _read(self, text: bytes | None) -> None:
        with suppress(PeerFault):
            announcement = parse_announcement(text or b"")
            if self._announced is None or announcement.node != self._announced.node:
                self._tell(announcement)


def _open(interfaces: tuple[str, ...]) -> "AsyncZeroconf":
    from zeroconf import InterfaceChoice, IPVersion
    from zeroconf.asyncio import AsyncZeroconf

    if interfaces:
        return AsyncZeroconf(interfaces=list(interfaces))
    try:
        return AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.All)
    except (OSError, RuntimeError):
        return AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only)


def _service_info(announced: Announcement) -> "AsyncServiceInfo":
    from zeroconf.asyncio import AsyncServiceInfo

    clients = [parse_address(text) for text in announced.clients]
    peer_id = peer_id_of_node(announced.node)
    return AsyncServiceInfo(
        SERVICE,
        f"{peer_id}.{SERVICE}",
        port=clients[0].port,
        properties=encode_announcement(announced),
        server=f"{peer_id}.local.",
        parsed_addresses=[client.host for client in clients],
    )
