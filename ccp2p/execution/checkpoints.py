"""Checkpoints: what a node votes for, and when Q votes agree.

The caller checks signatures. A node whose roots differ from those of Q others must stop loudly.
"""

from dataclasses import dataclass

from ccp2p.execution.machine import Applied
from ccp2p.model import limits
from ccp2p.model.checkpoint import Certified, Checkpoint, CheckpointVote
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee
from ccp2p.model.epoch import EpochRecord


def checkpoint_of(network: bytes, commit: Commit, applied: Applied) -> Checkpoint:
    """The checkpoint after `commit`."""
    return checkpoint_of_roots(network, commit, applied.state_root, applied.outcomes_root)


def checkpoint_of_roots(
    network: bytes, commit: Commit, state_root: bytes, outcomes_root: bytes
) -> Checkpoint:
    """The checkpoint after `commit`, from the roots on record."""
    return Checkpoint(
        network,
        commit.epoch,
        commit.index,
        commit.digest,
        state_root,
        outcomes_root,
        commit.ledger_time_ms,
    )


def checkpoint_of_close(record: EpochRecord) -> Checkpoint:
    """The last checkpoint of an epoch, which its successor's record certifies."""
    return Checkpoint(
        record.network,
        record.epoch - 1,
        record.close_commit,
        record.close_chain,
        record.state_root,
        record.outcomes_root,
        record.ledger_time_ms,
    )


def due_checkpoint(commit: int, interval: int) -> int:
    """The commit whose checkpoint covers what `commit` executed."""
    return -(-commit // interval) * interval


@dataclass(frozen=True, slots=True)
class Diverged:
    """Q others executed something else than we did: stop."""

    ours: Checkpoint
    theirs: Checkpoint


class _Open:
    """One commit's votes, one a seat, and our own roots when we know them."""

    def __init__(self) -> None:
        self.ours: Checkpoint | None = None
        self.votes: dict[int, CheckpointVote] = {}


class Tally:
    """The votes of one epoch.

    Feed votes in the order of the log, after their commit was executed: then each finds our own
    roots here. Those that come early are kept within a bound, and late or foreign ones ignored.
    """

    def __init__(self, network: bytes, committee: Committee) -> None:
        self._network = network
        self._committee = committee
        self._open: dict[int, _Open] = {}
        self._executed = 0
        self.newest: Certified | None = None

    def resume(self, certified: Certified) -> None:
        """Go on after a checkpoint that was certified before this process began."""
        self.newest = certified
        self._executed = certified.checkpoint.commit

    def executed(self, checkpoint: Checkpoint) -> Certified | Diverged | None:
        """Our own roots at a checkpoint's commit; what is decided by them, if anything."""
        self._executed = max(self._executed, checkpoint.commit)
        entry = self._open.setdefault(checkpoint.commit, _Open())
        entry.ours = checkpoint
        self._bound()
        return self._decide(checkpoint.commit, entry)

    def add(self, vote: CheckpointVote) -> Certified | Diverged | None:
        """One vote whose signature holds; what is decided by it, if anything.

        The first vote of a seat for a commit counts.
        """
        checkpoint = vote.checkpoint
        here = (self._network, self._committee.epoch)
        if (checkpoint.network, checkpoint.epoch) != here:
            return None
        if not 0 <= vote.author < self._committee.size:
            return None
        entry = self._open.get(checkpoint.commit)
        if entry is None:
            if checkpoint.commit <= self._executed:
                return None
            entry = self._open[checkpoint.commit] = _Open()
            self._bound()
        entry.votes.setdefault(vote.author, vote)
        return self._decide(checkpoint.commit, entry)

    def _bound(self) -> None:
        """Give up what is too much: our oldest checkpoint, and the farthest early vote."""
        early = [commit for commit, entry in self._open.items() if entry.ours is None]
        passed = [commit for commit in early if commit <= self._executed]
        ours = self._open.keys() - set(early)
        if len(early) > limits.MAX_OPEN_CHECKPOINTS:
            passed.append(max(early))
        if len(ours) > limits.MAX_OPEN_CHECKPOINTS:
            passed.append(min(ours))
        for commit in set(passed):
            del self._open[commit]

    def _decide(self, commit: int, entry: _Open) -> Certified | Diverged | None:
        if entry.ours is None:
            return None
        groups: dict[Checkpoint, list[tuple[int, bytes]]] = {}
        for author in sorted(entry.votes):
            vote = entry.votes[author]
            groups.setdefault(vote.checkpoint, []).append((author, vote.signature))
        for checkpoint, signatures in groups.items():
            if len(signatures) < self._committee.quorum:
                continue
            if checkpoint != entry.ours:
                return Diverged(entry.ours, checkpoint)
            self.newest = Certified(checkpoint, tuple(signatures))
            for old in [index for index in self._open if index <= commit]:
                del self._open[old]
            return self.newest
        return None
