"""What a node says of commits: a seat announces its own, everybody passes others' on. No IO.

Seats come to the same commits within moments of each other, and announce the same few of them: the
first of each span of ledger time, which all see alike. So of all their words only the first to come
is news (decision 25). Who is not of the network is neither heard nor told, and nobody tells a seat
of commits but other seats.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from ccp2p.crypto.signatures import SigningKey
from ccp2p.gossip import commits
from ccp2p.gossip.commits import CommitAnnouncement, CommitCheck
from ccp2p.gossip.core import Gossip, Send
from ccp2p.gossip.messages import Announce, Have, Message
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee
from ccp2p.model.errors import PeerFault

_LEAST_MS: Final = 20  # of ledger time between two announcements
_MS_OF_OBSERVER: Final = 10  # more for each of them, so that many cost little more than a few
_MOST_MS: Final = 500


class Herald:
    """One node in one epoch; `me` is its seat or -1. Times of any clock that rises."""

    def __init__(
        self,
        network: bytes,
        committee: Committee,
        me: int,
        signing: SigningKey,
        newest: Commit | None,
        random: Random,
    ) -> None:
        self._network = network
        self._epoch = committee.epoch
        self._me = me
        self._signing = signing
        seats = [seat.node for seat in committee.seats]
        self._knowing = frozenset(seats) if me < 0 else frozenset()
        self._check = CommitCheck(network, committee.epoch, seats)
        self._gossip = Gossip(self._check, random)
        self._newest = newest
        self._announced = newest.index if newest else 0
        self._is_quiet = False  # nothing was announced since the last heartbeat

    def knows(self, node: bytes) -> bool:
        """Whether `node` is among the peers since the last `meet`."""
        return node in self._gossip.peers

    def meet(self, peers: Mapping[bytes, bool]) -> None:
        """These of the network's nodes are connected; True where we dialled."""
        for peer in [one for one in self._gossip.peers if one not in peers]:
            self._gossip.remove(peer)
        for peer, is_dialled in peers.items():
            self._gossip.add(peer, is_dialled)

    def committed(self, news: Sequence[Commit], observers: int) -> list[Send]:
        """What to send upon new commits, in a network with so many observers."""
        span_ms = min(_MOST_MS, _LEAST_MS + observers * _MS_OF_OBSERVER)
        due: Commit | None = None
        for commit in news:
            before_ms = self._newest.ledger_time_ms if self._newest else 0
            if commit.ledger_time_ms // span_ms != before_ms // span_ms:
                due = commit
            self._newest = commit
        return self._announce(due) if due is not None and observers else []

    def closing(self) -> list[Send]:
        """What to send when the newest commit is the epoch's last."""
        return self._announce(self._newest) if self._newest is not None else []

    def heartbeat(self, observers: int, now_ms: int) -> list[Send]:
        """What to send every `core.HEARTBEAT_MS`: commits go on also where ledger time stands."""
        self._check.heartbeat()
        sends = self._useful(self._gossip.heartbeat(now_ms))
        if self._newest is not None and self._is_quiet and observers:
            sends += self._announce(self._newest)
        self._is_quiet = True
        return sends

    def hear(
        self, node: bytes, message: Message, now_ms: int
    ) -> tuple[list[Send], CommitAnnouncement | None]:
        """What to send upon a message of a peer, and what it announced if that is worth a look.

        Of another epoch, too, which is for the caller to judge. PeerFault: `node` is to blame.
        """
        said = _read(message)
        if said is not None and said.epoch != self._epoch:
            return [], said
        sends, news = self._gossip.handle(node, message, now_ms)
        self._is_quiet = self._is_quiet and not news
        is_fair = self._gossip.score_of(node) >= 0
        return self._useful(sends), said if is_fair else None

    def _useful(self, sends: list[Send]) -> list[Send]:
        return [
            (to, message)
            for to, message in sends
            if to not in self._knowing or not isinstance(message, Announce | Have)
        ]

    def _announce(self, commit: Commit) -> list[Send]:
        if self._me < 0 or commit.index <= self._announced:
            return []
        self._announced = commit.index
        self._is_quiet = False
        key = self._signing
        data = commits.announce(
            self._network, self._epoch, commit.index, commit.digest, self._me, key
        )
        return self._gossip.publish(data)


def _read(message: Message) -> CommitAnnouncement | None:
    if not isinstance(message, Announce):
        return None
    try:
        return commits.read(message.data)
    except PeerFault:
        return None  # the gossip says so, and counts it
