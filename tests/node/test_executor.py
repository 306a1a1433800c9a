from collections.abc import Sequence

import msgspec
import pytest

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.membership.means import Judged, Means
from ccp2p.membership.records import Link
from ccp2p.model import block as blocks
from ccp2p.model import codec
from ccp2p.model.block import BlockHeader, Payload, VerifiedBlock
from ccp2p.model.checkpoint import Checkpoint, CheckpointVote
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.epoch import EpochRecord
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.model.outcome import Outcome
from ccp2p.node.executor import CommitRecord, Executed, Executor
from ccp2p.node.meter import Meter
from ccp2p.node.roster_keeper import RosterKeeper, first_roster
from ccp2p.sealing import session as sessions
from tests.sealing.world import CONTEXT, NETWORK, ClientSession, Replica

KEYS = [SigningKey(bytes([i + 1]) * 32) for i in range(4)]
COMMITTEE = Committee(
    0, tuple(Seat(key.public, b"s" * 32, bytes([i]), "sim-a") for i, key in enumerate(KEYS))
)
LINK = Link(
    EpochRecord(NETWORK, 0, b"", COMMITTEE.seats, b"", (), 0, (), b"", b"", 0, b"", b"", b"", 0, 1),
    b"record",
)


def nobody(*_: object) -> Judged:
    raise PeerFault("nobody", "nobody joins here")


MEANS = Means(NETWORK, LINK.digest, b"", b"", "none", nobody, lambda *_: None, verify, lambda: None)


class Log:
    """An executor of seat 0, and commits made for it."""

    def __init__(self, interval: int = 4) -> None:
        replica = Replica()
        self.waiting: set[bytes] = set()
        self.commits = 0
        self.executor = Executor(
            network=NETWORK,
            committee=COMMITTEE,
            me=0,
            sign=KEYS[0].sign,
            machine=replica.machine,
            table=replica.table,
            keeper=RosterKeeper(LINK, first_roster(LINK.record), MEANS, interval),
            interval=interval,
            waits_for=lambda tag: tag in self.waiting,
            meter=Meter(),
        )

    def commit(
        self, envelopes: Sequence[bytes] = (), votes: Sequence[bytes] = (), author: int = 1
    ) -> CommittedBlocks:
        """The next commit, of one block by `author`."""
        self.commits += 1
        block = block_of(author, self.commits, Payload(tuple(envelopes), tuple(votes)))
        commit = Commit(
            0, self.commits, block.reference, (block.reference,), self.commits, bytes(32)
        )
        return CommittedBlocks(commit, (block,))

    def run(self, envelopes: Sequence[bytes] = (), votes: Sequence[bytes] = (), author: int = 1):
        return self.executor.execute([self.commit(envelopes, votes, author)])

    def up_to_checkpoint(self) -> CheckpointVote:
        """Execute empty commits up to the first checkpoint; our own vote."""
        executed = Executed()
        while not executed.votes:
            executed = self.run()
        return codec.decode(executed.votes[0], CheckpointVote, 1 << 16)


def block_of(author: int, round_: int, payload: Payload) -> VerifiedBlock:
    data = codec.encode(payload)
    header = BlockHeader(NETWORK, 0, round_, author, (), blocks.payload_digest(data), b"", 0)
    return blocks.build(header, payload, data, b"")


def vote(author: int, checkpoint: Checkpoint, signer: int | None = None) -> bytes:
    key = KEYS[author if signer is None else signer]
    return codec.encode(CheckpointVote(checkpoint, author, key.sign(checkpoint.signed_bytes())))


def blamed(executed: Executed) -> list[tuple[int, str]]:
    assert all(isinstance(fault, PeerFault) for _, fault in executed.faults)
    return [(seat, fault.code) for seat, fault in executed.faults]


def test_a_checkpoint_is_voted_for_every_interval():
    log = Log(interval=4)
    votes = [bool(log.run().votes) for _ in range(12)]
    assert votes == [False, False, False, True] * 3


def test_a_quorum_of_equal_votes_certifies():
    log = Log()
    ours = log.up_to_checkpoint()
    for author in (0, 1):
        log.run(votes=[vote(author, ours.checkpoint)], author=author)
        assert log.executor.certified == 0
    log.run(votes=[vote(2, ours.checkpoint)], author=2)
    assert log.executor.certified == 4


@pytest.mark.parametrize("field", ["state_root", "outcomes_root", "chain"])
def test_a_quorum_of_others_that_differs_stops_the_node(field: str):
    log = Log()
    ours = log.up_to_checkpoint().checkpoint
    theirs = msgspec.structs.replace(ours, **{field: b"x" * 32})
    for author in (1, 2):
        log.run(votes=[vote(author, theirs)], author=author)
    with pytest.raises(LocalFault, match="start it again from an empty one") as caught:
        log.run(votes=[vote(3, theirs)], author=3)
    assert caught.value.code == "diverged"


def test_fewer_than_a_quorum_stop_nobody():
    log = Log()
    theirs = msgspec.structs.replace(log.up_to_checkpoint().checkpoint, state_root=b"x" * 32)
    for author in (1, 2):
        log.run(votes=[vote(author, theirs)] * 3, author=author)
    assert log.run().faults == []


@pytest.mark.parametrize("garbage", [b"", b"garbage", codec.encode([1, 2, 3]), bytes(100_000)])
def test_a_vote_that_is_none_is_its_blocks_authors_fault(garbage: bytes):
    executed = Log().run(votes=[garbage], author=2)
    assert [seat for seat, _ in blamed(executed)] == [2]


def test_a_vote_with_a_wrong_signature_is_blamed_and_does_not_count():
    log = Log()
    ours = log.up_to_checkpoint().checkpoint
    assert blamed(log.run(votes=[vote(2, ours, signer=3)], author=2)) == [(2, "vote")]
    for author in (0, 1):
        log.run(votes=[vote(author, ours)], author=author)
    assert log.executor.certified == 0


def test_votes_in_anothers_name_or_for_another_network_do_not_count():
    log = Log()
    ours = log.up_to_checkpoint().checkpoint
    elsewhere = msgspec.structs.replace(ours, network=b"m" * 32)
    for author, sent in ((1, vote(2, ours)), (1, vote(3, ours)), (2, vote(2, elsewhere))):
        log.run(votes=[sent], author=author)
    assert log.executor.certified == 0


def test_outcomes_are_sealed_only_for_those_who_wait_here():
    log, ann, bob = Log(), ClientSession("ann"), ClientSession("bob")
    log.waiting = {ann.keys.tag_of(0), ann.keys.tag_of(1)}
    executed = log.run([ann.open(), bob.open(), ann.send(1), bob.send(1)])
    assert {tag for tag, _ in executed.outcomes} == log.waiting
    tag, sealed = executed.outcomes[1]
    opened = sessions.open_outcome(CONTEXT, ann.keys, tag, sealed, PeerFault)
    assert codec.decode(opened, Outcome, 1 << 16).status == "ok"


def test_a_refused_opening_is_answered_under_the_key_that_it_brought():
    log, eve = Log(), ClientSession("eve", invite=b"wrong")
    log.waiting = {eve.keys.tag_of(0)}
    ((tag, sealed),) = log.run([eve.open()]).outcomes
    opened = sessions.open_outcome(CONTEXT, eve.keys, tag, sealed, PeerFault)
    outcome = codec.decode(opened, Outcome, 1 << 16)
    assert (outcome.status, outcome.body) == ("denied", b"not-invited")


def test_dropped_envelopes_are_told_to_those_who_wait():
    log, ann = Log(), ClientSession("ann")
    log.waiting = {ann.keys.tag_of(1)}
    assert log.run([ann.send(1), ann.send(2)]).dropped == [(ann.keys.tag_of(1), "no-session")]


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_commits_in_batches_leave_the_same_records_as_one_by_one(batch: int):
    ann, bob = ClientSession("ann"), ClientSession("bob")
    story = [[ann.open(), ann.send(1)], [bob.open()], [ann.send(2), bob.send(1)], [bob.send(1)]]
    story += [[ann.send(3), ann.send(3)], [], [bob.send(2), b"garbage"]]
    single, batched = Log(), Log()
    alone = [record for envelopes in story for record in single.run(envelopes).records]
    together = []
    commits = [batched.commit(envelopes) for envelopes in story]
    for start in range(0, len(commits), batch):
        together += batched.executor.execute(commits[start : start + batch]).records
    assert alone == together
    roots = [codec.decode(data, CommitRecord, 1 << 16).state_root for _, data in alone]
    assert len(set(roots)) > 4
