"""The overlay over real connections: it serves others, keeps its table alive, finds and publishes.

Requests travel on the listener for members, one connection a request: those to whom a node must
not show its key (who looks for what) under a fresh identity. Rules: an answer comes within
KADEMLIA_ANSWER_MS or not; whatever somebody answers ends at most that request.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, LocalFault, PeerFault
from ccp2p.network.addresses import parse_address
from ccp2p.network.kademlia.contacts import Contact, place_of
from ccp2p.network.kademlia.core import Asker, Kademlia
from ccp2p.network.kademlia.lookup import Lookup
from ccp2p.network.kademlia.messages import (
    Answer,
    Find,
    Found,
    Request,
    Store,
    Stored,
    decode_answer,
    decode_request,
    encode_message,
)
from ccp2p.network.kademlia.records import Record, SignedRecord
from ccp2p.network.members import FrameStream, connect

_log = structlog.get_logger()

PROTOCOL: Final = "/ccp2p/kademlia/1"
_FIRST_S: Final = 2.0  # between two looks at the overlay, at first; then ever longer
_LAST_S: Final = 600.0
_LAST_ALONE_S: Final = 60.0  # while nobody is known
_TRY_S: Final = 0.5  # between two contacts that are tried: whoever asks makes us dial


class KademliaService:
    """One node of the overlay; `serve` is for its listener, `run` keeps its table alive."""

    def __init__(
        self,
        key_seed: bytes,
        own: bytes,
        bootstrap: Iterable[str],
        clock: Callable[[], int],
        randomness: Random,
    ) -> None:
        """`own` is the key of `key_seed`; `clock` tells Unix milliseconds, to date records."""
        self.core = Kademlia(own)
        self.port = 0  # where others may ask us; 0 while they cannot
        self._key_seed = key_seed
        self._bootstrap = {address: _contact(address) for address in bootstrap}
        self._clock = clock
        self._random = randomness

    def know(self, addresses: Iterable[str]) -> None:
        """Ask there, too, of now on; LocalFault for one that does not name its node."""
        self._bootstrap |= {address: _contact(address) for address in addresses}

    async def serve(self, stream: FrameStream) -> None:
        """Answer the requests of one stream."""
        asker = Asker(stream.remote, stream.host)
        for _ in range(limits.KADEMLIA_REQUESTS):
            request = decode_request(await stream.receive())
            await stream.send(encode_message(self.core.answer(request, asker, self._clock())))

    async def run(self) -> None:
        """Enter the overlay and stay in it, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._try_askers)
            delay_s = _FIRST_S
            while True:
                await self.search(self._place_to_look_at(delay_s), is_shown=True)
                await trio.sleep(delay_s * self._random.uniform(0.5, 1.5))
                last_s = _LAST_S if len(self.core.table) else _LAST_ALONE_S
                delay_s = min(2 * delay_s, last_s)
                self.core.records.expire(self._clock())

    async def search(
        self,
        target: bytes,
        found: Callable[[Record], None] = lambda _: None,
        *,
        is_shown: bool = False,
    ) -> list[Contact]:
        """The contacts nearest to a place; `found` gets what is kept there, also newer ones after.

        `is_shown`: under our own key, so that others may take us up as a contact.
        """
        lookup = self.core.lookup(target, self._bootstrap.values())
        search = _Search(lookup, found, is_shown)
        for record in self.core.kept(target, self._clock()):
            search.tell(record)
        async with trio.open_nursery() as nursery:
            for _ in range(limits.ASKED_AT_ONCE):
                nursery.start_soon(self._follow, search)
        return lookup.closest()

    async def publish(self, signed: SignedRecord, key: bytes) -> int:
        """Have the nodes nearest to `key` keep our record; how many do."""
        self.core.keep_own(signed, self._clock())
        kept = 0

        async def store(contact: Contact) -> None:
            nonlocal kept
            try:
                answer = await self._ask(contact, Store(signed), is_shown=True)
                kept += isinstance(answer, Stored) and not answer.refusal
            except Fault as fault:
                _log.debug("a record was not kept", code=fault.code)

        nearest = await self.search(key, is_shown=True)
        for start in range(0, len(nearest), limits.ASKED_AT_ONCE):
            async with trio.open_nursery() as nursery:
                for contact in nearest[start : start + limits.ASKED_AT_ONCE]:
                    nursery.start_soon(store, contact)
        return kept

    async def _follow(self, search: "_Search") -> None:
        while not search.lookup.is_done:
            contact = search.lookup.next()
            if contact is None:
                await search.wait()
                continue
            try:
                find = Find(search.lookup.target, self.port if search.is_shown else 0)
                answer = await self._ask(contact, find, is_shown=search.is_shown)
                if not isinstance(answer, Found):
                    raise PeerFault("protocol", "a request to find was answered otherwise")
                contacts, records = self.core.take(
                    answer, search.lookup.target, contact, self._clock()
                )
            except Fault as fault:
                _log.debug("a contact failed", code=fault.code)
                self.core.table.failed(contact.node)
                search.lookup.failed(contact)
            else:
                self.core.table.answered(contact)
                search.lookup.answered(contact, contacts)
                for record in records:
                    search.tell(record)
            search.wake()

    async def _ask(self, contact: Contact, request: Request, *, is_shown: bool) -> Answer:
        seed = self._key_seed if is_shown else b""
        answer_ms = limits.KADEMLIA_ANSWER_MS
        with trio.move_on_after(answer_ms / 1000):
            async with connect(
                contact.address, timeout_ms=answer_ms, protocol=PROTOCOL, key_seed=seed
            ) as stream:
                await stream.send(encode_message(request))
                return decode_answer(await stream.receive())
        raise PeerFault("silent", "a contact does not answer in time")

    async def _try_askers(self) -> None:
        """Who asked us and says that it listens is a contact once it answers there."""
        while True:
            await trio.sleep(_TRY_S)
            contact = self.core.untried()
            if contact is None:
                continue
            try:
                # Without our port: two who try each other would never end.
                find = Find(place_of(self.core.own))
                if isinstance(await self._ask(contact, find, is_shown=True), Found):
                    self.core.table.answered(contact)
            except Fault as fault:
                _log.debug("an asker does not answer", code=fault.code)

    def _place_to_look_at(self, delay_s: float) -> bytes:
        """At first our own, to know our neighbours; then one part of the table after another."""
        if delay_s < _LAST_S:
            return place_of(self.core.own)
        return self.core.table.place_to_refresh(self._clock(), self._random)


class _Search:
    """A lookup that several tasks follow."""

    def __init__(self, lookup: Lookup, found: Callable[[Record], None], is_shown: bool) -> None:
        self.lookup = lookup
        self.is_shown = is_shown
        self._found = found
        self._told: dict[bytes, int] = {}
        self._changed = trio.Event()

    def tell(self, record: Record) -> None:
        """Hand a record on, unless its author's was handed on that is as new."""
        is_new = record.node not in self._told
        if is_new and len(self._told) >= limits.RECORDS_FOUND:
            return
        if is_new or record.issued_ms > self._told[record.node]:
            self._told[record.node] = record.issued_ms
            self._found(record)

    def wake(self) -> None:
        """Something changed."""
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self) -> None:
        """Until something changes."""
        await self._changed.wait()


def _contact(address: str) -> Contact:
    node = parse_address(address).node
    if node is None:
        raise LocalFault("bootstrap", f"{address} does not name its node: /p2p/ is missing")
    return Contact(node, address)
