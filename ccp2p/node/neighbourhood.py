"""The local network around a node of a mesh: it hears of us there, and we of our mesh's nodes."""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from ccp2p.model.errors import Unreachable
from ccp2p.network.announcement import Announcement
from ccp2p.network.mdns import run_mdns
from ccp2p.node.setup import NodeSetup

_log = structlog.get_logger()

_RETRY_S: Final = 30.0  # a machine may be between two networks


def announcement_of(
    setup: NodeSetup, clients: tuple[str, ...], peers: tuple[str, ...]
) -> Announcement:
    """What a node with these listeners says of itself, in clear only where its network is open."""
    genesis = setup.genesis
    return Announcement(
        setup.network, genesis.name, genesis.app, setup.policy.is_simulated, clients, peers
    )


async def live_among(
    announced: Announcement, hint: Callable[[bytes, tuple[str, ...]], None]
) -> None:
    """Announce ourselves until cancelled. `hint(node, addresses)` is what others of our mesh say.

    Anybody can say that: it is worth a dial, whose other end has to prove itself.
    """

    def hear(other: Announcement) -> None:
        if other.network == announced.network:
            hint(other.node, other.peers)

    while True:
        try:
            await run_mdns(hear, announced)
        except Unreachable as fault:
            _log.info("not announced on the local network", reason=str(fault))
        await trio.sleep(_RETRY_S)
