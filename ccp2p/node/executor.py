"""From commits to sealed state: opens whole commits, applies them, votes on the roots.

Runs in a worker thread beside the event loop and touches no IO: what must be persisted comes back
as one value, and only the driver acknowledges it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.crypto import signatures
from ccp2p.execution.checkpoints import Diverged, Tally, checkpoint_of_roots
from ccp2p.execution.machine import StateMachine
from ccp2p.membership.records import Adopted, Roots
from ccp2p.model import codec, limits
from ccp2p.model.checkpoint import Certified, Checkpoint, CheckpointVote
from ccp2p.model.codec import Wire
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.model.outcome import Outcome
from ccp2p.node.meter import Meter
from ccp2p.node.receipts import kept_checkpoint, kept_leaves
from ccp2p.node.roster_keeper import Closing, RosterKeeper
from ccp2p.sealing import session as sessions
from ccp2p.sealing.session import SessionContext, SessionKeys
from ccp2p.sealing.table import OpenedCommit, SessionTable


class CommitRecord(Wire, frozen=True):
    """A commit as the log keeps it, with the roots after it."""

    commit: Commit
    state_root: bytes
    outcomes_root: bytes


@dataclass(slots=True)
class Executed:
    """The effect of some commits, in order: persist `records`, `buckets` and `receipts` as one.

    `receipts` is what proofs are made of, by name. Answered after that: `outcomes` are (tag, sealed
    outcome) for whoever waits; `dropped` are (tag, reason code).
    `has_checkpoint` says whether the roots after one of them are voted on.
    `closed` is what CLOSE left, when the last of them was it: what was ordered after it is void.
    """

    records: list[tuple[int, bytes]] = field(default_factory=list)
    buckets: dict[int, bytes] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)
    outcomes: list[tuple[bytes, bytes]] = field(default_factory=list)
    dropped: list[tuple[bytes, str]] = field(default_factory=list)
    votes: list[bytes] = field(default_factory=list)
    faults: list[tuple[int, PeerFault]] = field(default_factory=list)
    events: int = 0
    has_checkpoint: bool = False
    closed: Closing | None = None


class Executor:
    """Owns the state machine and the session table; one caller at a time.

    `me` is None for an observer, who votes for nothing. `waits_for(tag)` says whether a client of
    this node waits for an outcome: only those are sealed. `interval` is the number of commits
    between checkpoint votes.
    """

    def __init__(
        self,
        *,
        network: bytes,
        committee: Committee,
        me: int | None,
        sign: Callable[[bytes], bytes],
        machine: StateMachine,
        table: SessionTable,
        keeper: RosterKeeper,
        interval: int,
        waits_for: Callable[[bytes], bool],
        meter: Meter,
    ) -> None:
        self._network = network
        self._committee = committee
        self._me = me
        self._sign = sign
        self.machine = machine
        self.table = table
        self.keeper = keeper
        self._interval = interval
        self._waits_for = waits_for
        self._meter = meter
        self._tally = Tally(network, committee)

    @property
    def certified(self) -> int:
        """The newest commit whose checkpoint has Q ordered votes, or 0."""
        newest = self._tally.newest
        return newest.checkpoint.commit if newest else 0

    def resume(
        self, certified: Certified | None, log: Iterable[tuple[CommitRecord, CommittedBlocks]]
    ) -> list[bytes]:
        """Take up the checkpoints after `certified`; our votes for them, to be ordered again.

        `log` is what was executed since the first of them, that one included. Votes in it count
        again; ours may have been lost with this node's queue.
        """
        if certified is not None:
            self._tally.resume(certified)
        resumed = Executed()
        for record, committed in log:
            if record.commit.index % self._interval == 0:
                self._take_checkpoint(record, resumed)
            self._count_votes(committed, resumed)
        return resumed.votes

    def execute(self, commits: Sequence[CommittedBlocks]) -> Executed:
        """Apply `commits`; LocalFault `diverged` when Q others found other roots than ours."""
        executed = Executed()
        answers = _Answers()
        with self._meter.stage("open"):
            self.table.foresee([e for committed in commits for e in _envelopes(committed)])
        for committed in commits:
            if self.keeper.closed is not None:
                break
            self._execute_one(committed, executed, answers)
        with self._meter.stage("answer"):
            executed.outcomes = answers.seal(self.table.context)
        return executed

    def _execute_one(
        self, committed: CommittedBlocks, executed: Executed, answers: "_Answers"
    ) -> None:
        commit = committed.commit
        with self._meter.stage("open"):
            opened = self.table.open_commit(
                commit.index,
                _envelopes(committed),
                self.machine.last_of,
                partial(self.machine.admit, commit),
            )
        with self._meter.stage("apply"):
            roster, faults = self.keeper.take(committed)
            applied = self.machine.apply(
                commit,
                opened.events,
                opened.opened,
                opened.closed,
                roster,
                is_last=self.keeper.closed is not None,
            )
        executed.faults.extend(faults)
        if self.keeper.closed is not None:
            roots = Roots(applied.state_root, applied.outcomes_root)
            found = self.machine.adopted(commit.epoch)
            adopted = Adopted(found.amendment, found.approvals) if found else None
            executed.closed = self.keeper.closing(commit, roots, adopted)
        self._answer(applied.outcomes, opened, answers)
        executed.dropped.extend((t, code) for t, code in opened.dropped if self._waits_for(t))
        with self._meter.stage("advance"):
            self.table.advance(applied.advanced)
        record = CommitRecord(commit, applied.state_root, applied.outcomes_root)
        executed.records.append((commit.index, codec.encode(record)))
        executed.buckets.update(applied.buckets)
        executed.receipts |= kept_leaves(commit, applied.leaves, self._interval)
        executed.events += len(opened.events)
        if commit.index % self._interval == 0:
            self._take_checkpoint(record, executed)
        self._count_votes(committed, executed)

    def _answer(
        self,
        outcomes: Sequence[tuple[bytes, Outcome]],
        opened: OpenedCommit,
        answers: "_Answers",
    ) -> None:
        """Keep outcomes that somebody here waits for, before the tag windows move on."""
        waits_for = self._waits_for
        for tag, outcome in outcomes:
            if not waits_for(tag):
                continue
            # An event that was held came in an earlier commit; its session claims its tag still.
            session = self.table.of_tag(tag)
            keys = opened.keys.get(tag) or (session.keys if session else None)
            if keys is not None:
                answers.add(tag, keys, codec.encode(outcome))

    def _take_checkpoint(self, record: CommitRecord, executed: Executed) -> None:
        checkpoint = checkpoint_of_roots(
            self._network, record.commit, record.state_root, record.outcomes_root
        )
        self._decided(self._tally.executed(checkpoint), executed)
        executed.has_checkpoint = True
        if self._me is not None:
            executed.votes.append(self.vote(checkpoint))

    def _decided(self, found: Certified | Diverged | None, executed: Executed) -> None:
        _stop_if_diverged(found)
        if isinstance(found, Certified):
            executed.receipts |= kept_checkpoint(found, self._interval)

    def vote(self, checkpoint: Checkpoint) -> bytes:
        """Our encoded vote for roots that we have; only a seat has one."""
        signature = self._sign(checkpoint.signed_bytes())
        return codec.encode(CheckpointVote(checkpoint, self._me or 0, signature))

    def _count_votes(self, committed: CommittedBlocks, executed: Executed) -> None:
        votes = []
        for block in committed.blocks:
            for data in block.payload.votes:
                try:
                    vote = codec.decode(data, CheckpointVote, limits.MAX_HEADER_BYTES)
                except PeerFault as fault:
                    executed.faults.append((block.header.author, fault))
                    continue
                if vote.author == block.header.author and vote.checkpoint.network == self._network:
                    votes.append(vote)
        if not votes:
            return
        verdicts = signatures.verify_batch(
            [
                (self._committee.seats[v.author].node, v.signature, v.checkpoint.signed_bytes())
                for v in votes
            ]
        )
        for vote, good in zip(votes, verdicts, strict=True):
            if not good:
                wrong = PeerFault("vote", "a checkpoint vote's signature is wrong")
                executed.faults.append((vote.author, wrong))
            else:
                self._decided(self._tally.add(vote), executed)


class _Answers:
    """Outcomes on their way to members, sealed together."""

    def __init__(self) -> None:
        self._tags: list[bytes] = []
        self._keys: list[SessionKeys] = []
        self._outcomes: list[bytes] = []

    def add(self, tag: bytes, keys: SessionKeys, outcome: bytes) -> None:
        """An encoded outcome for the session with these keys."""
        self._tags.append(tag)
        self._keys.append(keys)
        self._outcomes.append(outcome)

    def seal(self, context: SessionContext) -> list[tuple[bytes, bytes]]:
        """(tag, sealed outcome) of all."""
        sealed = sessions.seal_outcomes(context, self._keys, self._tags, self._outcomes)
        return list(zip(self._tags, sealed, strict=True))


def _envelopes(committed: CommittedBlocks) -> list[bytes]:
    return [e for block in committed.blocks for e in block.payload.envelopes]


def _stop_if_diverged(found: Certified | Diverged | None) -> None:
    if isinstance(found, Diverged):
        raise LocalFault(
            "diverged",
            f"after commit {found.theirs.commit} a quorum of other nodes has state root "
            f"{found.theirs.state_root.hex()[:16]}, and this node has "
            f"{found.ours.state_root.hex()[:16]}. It stops so as not to serve a wrong state: keep "
            "its data folder for a report, and start it again from an empty one",
        )
