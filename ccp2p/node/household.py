"""Every network of one node's folder, in one process.

Rules: a network that fails stops alone, and the others go on; a network that is prepared meanwhile
(`net join`, `net create`) is taken up; when none is left the process ends, with the last one's
fault.
"""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, LocalFault, fault_in, origin, unexpected
from ccp2p.node import setup as setups
from ccp2p.node.home import NodeHome
from ccp2p.node.node import Node
from ccp2p.node.premises import Premises
from ccp2p.node.setup import NodeSetup, Wanted

_log = structlog.get_logger()

_LOOK_S: Final = 1.0  # between two looks at what was prepared


def open_all(wanted: Wanted, refused: Callable[[bytes, Fault], None]) -> list[NodeSetup]:
    """All networks that the folder holds or is prepared for, but for those that cannot be opened.

    The Fault of the last one when none can.
    """
    home = NodeHome(wanted.directory)
    known = [*home.networks(), *home.prepared()]
    if not known:
        return [setups.reopen(wanted)]  # which says what is wrong
    found, fault = [], None
    for network in known:
        try:
            found.append(setups.reopen(wanted, network))
        except Fault as error:
            fault = error
            if len(known) > 1:
                refused(network, error)
    if fault is not None and not found:
        raise fault
    return found


class Household:
    """One process and its networks. `build(setup, premises)` makes the node of one of them.

    `stopped(network, fault)` is told of each that ends while others go on; the fault is None when
    the node has left. `bootstrap` are addresses of nodes that know others beyond the local network.
    With `looks_around` networks that are prepared meanwhile are taken up.
    """

    def __init__(
        self,
        wanted: Wanted,
        build: Callable[[NodeSetup, Premises], Node],
        stopped: Callable[[bytes, Fault | None], None],
        *,
        bootstrap: tuple[str, ...] = (),
        looks_around: bool,
    ) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.ended: list[Node] = []
        self._wanted = wanted
        self._home = NodeHome(wanted.directory)
        self._build = build
        self._stopped = stopped
        self._bootstrap = bootstrap
        self._looks_around = looks_around
        self._tried: dict[bytes, bytes | None] = {}
        self._last: Exception | None = None
        self._changed = trio.Event()

    async def run(self, found: list[NodeSetup]) -> None:
        """Serve until cancelled, or until the last network has ended: then with its fault."""
        first = max(found, key=lambda setup: setup.genesis.is_open)  # it listens everywhere
        premises = Premises(first.identity, first.listen, self._bootstrap)
        async with trio.open_nursery() as nursery:
            await nursery.start(premises.run)
            self._home.keep_listen(premises.ports)
            for setup in found:
                self._begin(setup, premises, nursery)
            while self.nodes:
                with trio.move_on_after(_LOOK_S):
                    await self._changed.wait()
                self._changed = trio.Event()
                if self._looks_around:
                    await self._take_up(premises, nursery)
            nursery.cancel_scope.cancel()
        if self._last is not None:
            raise self._last

    def _begin(self, setup: NodeSetup, premises: Premises, nursery: trio.Nursery) -> None:
        self._tried[setup.network] = self._home.preparation(setup.network)
        self.nodes[setup.network] = node = self._build(setup, premises)
        nursery.start_soon(self._live, node)

    async def _take_up(self, premises: Premises, nursery: trio.Nursery) -> None:
        """Begin with what was prepared since the last look; once more when it was prepared anew."""
        for network in self._home.prepared():
            sealed = self._home.preparation(network)
            if network in self.nodes or self._tried.get(network) == sealed:
                continue
            self._tried[network] = sealed
            try:
                setup = await trio.to_thread.run_sync(setups.reopen, self._wanted, network)
                self._begin(setup, premises, nursery)
            except Fault as fault:
                self._stopped(network, fault)

    async def _run(self, node: Node) -> None:
        """The node's whole life; a group of others that is not founded in time is given up."""
        if not node.setup.is_hosted:
            await node.run()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._expect_founding, node)
            await node.run()
            nursery.cancel_scope.cancel()

    async def _expect_founding(self, node: Node) -> None:
        await trio.sleep(limits.PLACEMENT_MS / 1000)
        if node.setup.record is None:
            self._home.drop_preparation(node.setup.network)
            self._home.drop_quota(node.setup.network)
            raise LocalFault("not-founded", "the other nodes of this group did not come in time")

    async def _live(self, node: Node) -> None:
        network = node.setup.network
        last: Exception | None = None
        fault: Fault | None = None
        try:
            await self._run(node)
        except Exception as error:
            last, fault = error, fault_in(error)
            if fault is None:
                _log.error("a network failed", error=origin(error))
                fault = unexpected(error)
        del self.nodes[network]
        self.ended.append(node)
        self._last = last
        if self.nodes:
            self._stopped(network, fault)
        self._changed.set()
