"""The restart floor: where a starting node may propose again (design section 9).

The host can restore an old disk, so at every start a node asks its peers, over connections made
after the start, for their newest blocks and the newest they hold of it. A reply counts once the
blocks that it shows are admitted to the DAG. Pure: the driver sends, times and feeds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ccp2p.model.block import BlockReference

RESUME_DISTANCE = 3  # F+3: with the early certificate, F+2 was seen to diverge


@dataclass(frozen=True, slots=True)
class FloorAnswer:
    """One peer's reply. None stands for "no block"."""

    own: BlockReference | None
    yours: BlockReference | None
    starting: bool


@dataclass(frozen=True, slots=True)
class Floor:
    """The first round at which this node may propose, and by which of the two rules."""

    round: int
    by: str


class FloorSearch:
    """Collects the answers of one start. `faulty` is f; `disk_round` our newest block's round."""

    def __init__(
        self,
        size: int,
        faulty: int,
        me: int,
        disk_round: int,
        resume_from_disks: bool,
        just_founded: bool = False,
    ) -> None:
        """`just_founded`: this very process helped to found the epoch, so it never proposed."""
        self._size = size
        self._faulty = faulty
        self._me = me
        self._disk_round = disk_round
        self._resume_from_disks = resume_from_disks
        self._just_founded = just_founded and disk_round == 0
        self._answers: dict[int, FloorAnswer] = {}
        self._shown = 0  # the highest round of a block of ours in an answer that counted

    def add(self, peer: int, answer: FloorAnswer) -> None:
        """Keep the newest answer of a peer."""
        if peer in self.peers:
            self._answers[peer] = answer

    @property
    def peers(self) -> list[int]:
        """All whose answers count."""
        return [peer for peer in range(self._size) if peer != self._me]

    def missing(self, admitted: Callable[[BlockReference], bool]) -> list[int]:
        """Peers that have not answered, or whose answer may yet become another: ask them again.

        Some were starting, and some showed what never enters our DAG: it went with their disk.
        """
        return [
            peer
            for peer in self.peers
            if (answer := self._answers.get(peer)) is None
            or answer.starting
            or not _counts(answer, admitted)
        ]

    def decide(self, admitted: Callable[[BlockReference], bool]) -> Floor | None:
        """The floor, once enough answers count; None until then."""
        if self._just_founded:
            return Floor(1, "start")
        counted = [one for _, one in sorted(self._answers.items()) if _counts(one, admitted)]
        self._shown = max([self._shown, *(one.yours.round for one in counted if one.yours)])
        running = [answer for answer in counted if not answer.starting]
        # 2f+1 would be safe, but where that is less than a quorum they may all wait for us.
        if len(running) >= self._size - self._faulty and self._faulty > 0:
            highest = max([self._disk_round, *(_round(answer) for answer in running)])
            return Floor(highest + RESUME_DISTANCE, "peers")
        if not self._resume_from_disks and self._size > 1 and self._disk_round > 0:
            return None
        if len(counted) < self._size - 1:
            return None
        if self._shown > self._disk_round:
            return None
        return Floor(self._disk_round + 1, "disks" if self._disk_round else "start")


def _counts(answer: FloorAnswer, admitted: Callable[[BlockReference], bool]) -> bool:
    return all(admitted(shown) for shown in (answer.own, answer.yours) if shown is not None)


def _round(answer: FloorAnswer) -> int:
    return max(shown.round if shown else 0 for shown in (answer.own, answer.yours))
