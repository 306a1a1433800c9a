"""Whom a node stays connected to: not to all of a large network (decision 27).

Seats keep to each other and to who comes in with the next epoch. Everybody else keeps to more
seats than may lie and to a few others. Which ones follows from a secret of the process, so that
nobody can place itself among them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import blake2b
from typing import Final

import trio

from ccp2p.membership.roster import Roster, faulty_of
from ccp2p.network import PeerNetwork
from ccp2p.node.acquaintances import Acquaintances
from ccp2p.node.network_record import NodeAddresses
from ccp2p.node.replica import Replica

MOST_SEATS: Final = 8  # that a node without a seat keeps to
OTHERS: Final = 6  # the mesh of announcements has as many
_LOOK_S: Final = 0.5  # a committee that changes waits for its new members' links
_SPARE_S: Final = 10.0  # a link that is not needed may be in use still


def wanted(roster: Roster, own: bytes, secret: bytes, away: Collection[bytes]) -> set[bytes]:
    """The nodes of a roster to stay connected to; for each of those `away` one more is taken."""
    coming = roster.change.members if roster.change else ()
    seats = {member.node for member in (*roster.members, *coming)}
    if own in seats:
        return seats - {own}
    others = (member.node for member in roster.observers if member.node not in seats)
    few = min(faulty_of(len(roster.members)) + 1, MOST_SEATS)
    here = _ranked((member.node for member in roster.members), secret)
    near = _ranked((node for node in others if node != own), secret)
    return {*_first(here, few, away), *_first(near, OTHERS, away)}


def _ranked(nodes: Iterable[bytes], secret: bytes) -> list[bytes]:
    return sorted(nodes, key=lambda node: blake2b(node, key=secret).digest())


def _first(ranked: Sequence[bytes], count: int, away: Collection[bytes]) -> list[bytes]:
    found = 0
    for place, node in enumerate(ranked):
        found += node not in away
        if found == count:
            return list(ranked[: place + 1])
    return list(ranked)


class Links:
    """One process's links in one network. `secret` has 16 to 64 bytes."""

    def __init__(self, peers: PeerNetwork, around: Acquaintances, secret: bytes) -> None:
        self._peers = peers
        self._around = around
        self._secret = secret
        self._seen: tuple[Roster, set[bytes]] | None = None
        self._kept: tuple[NodeAddresses, ...] = ()
        self._spare: dict[bytes, float] = {}  # links that we dialled and need no more, since when

    def begin(self, replica: Replica) -> None:
        """Stay connected to whom this node needs in an epoch, and to no others."""
        self._seen = (replica.registry.roster, self._peers.away())
        self._kept = self._needed(replica, *self._seen)
        self._around.keep_only(self._kept)

    async def tend(self, current: Callable[[], Replica | None]) -> None:
        """Follow the roster of the epoch that is at work, until cancelled."""
        while True:
            await trio.sleep(_LOOK_S)
            replica = current()
            if replica is None or replica.ending.ended is not None:
                continue  # who founds, enters or crosses needs all that it has
            self._follow(replica)
            self._part()

    def _follow(self, replica: Replica) -> None:
        roster, away = replica.registry.roster, self._peers.away()
        is_seen = self._seen is not None and self._seen[0] is roster and self._seen[1] == away
        if is_seen or roster.epoch != replica.epoch:  # CLOSE leaves the next epoch's
            return
        self._seen = roster, away
        needed = self._needed(replica, roster, away)
        if needed != self._kept:  # dialling goes on as it does where nothing changed
            self._kept = needed
            self._around.keep_only(needed)

    def _needed(
        self, replica: Replica, roster: Roster, away: set[bytes]
    ) -> tuple[NodeAddresses, ...]:
        nodes = wanted(roster, self._peers.node, self._secret, away)
        return tuple(one for one in replica.registry.addresses() if one.node in nodes)

    def _part(self) -> None:
        """End the links that we dialled and that are not needed; who needs one dials it again."""
        now, kept = trio.current_time(), self._peers.kept()
        ours = (node for node, is_dialled in self._peers.connections().items() if is_dialled)
        self._spare = {node: self._spare.get(node, now) for node in ours if node not in kept}
        for node, since in self._spare.items():
            if now - since > _SPARE_S:
                self._peers.disconnect(node, "not needed")
