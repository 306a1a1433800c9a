"""What a node keeps for receipts, whom it proves what, and what a restart may not lose."""

import pytest
from msgspec.structs import replace

from ccp2p.execution.outcomes import Leaves, OutcomeProof, Peaks, verify_outcome
from ccp2p.model import codec, limits
from ccp2p.model.checkpoint import Certified, Checkpoint, CheckpointVote
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord
from ccp2p.model.errors import MemberFault, PeerFault
from ccp2p.model.genesis import Parameters
from ccp2p.model.member_protocol import Prove
from ccp2p.model.outcome import Outcome
from ccp2p.node.executor import CommitRecord, Executed
from ccp2p.node.receipts import Prover, kept_checkpoint, kept_image, kept_leaves
from ccp2p.node.recovery import resume_checkpoints
from ccp2p.sealing import session as sessions
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Batch
from tests.node.test_executor import COMMITTEE, Log, vote
from tests.sealing.world import BODY, CONTEXT, NETWORK, ClientSession

INTERVAL = Parameters().checkpoint_interval


class KeptLog(Log):
    """A log whose commits and blocks are stored, as a node does; `restart` is a new process."""

    def __init__(self) -> None:
        super().__init__(INTERVAL)
        self.store = MemoryStore()
        self.chain: list[SignedEpochRecord] = []
        self.answers: dict[bytes, bytes] = {}
        self.prover = Prover(self.store, NETWORK, INTERVAL, lambda: self.chain)

    def run(self, envelopes=(), votes=(), author=1) -> Executed:
        committed = self.commit(envelopes, votes, author)
        executed = self.executor.execute([committed])
        self.answers |= dict(executed.outcomes)
        blocks = [(block.reference, block.to_bytes()) for block in committed.blocks]
        self.store.write(
            Batch(epoch=0, blocks=blocks, commits=executed.records, meta=executed.receipts)
        )
        return executed

    def certify(self, checkpoint: Checkpoint, authors=(0, 1, 2)) -> None:
        for author in authors:
            self.run(votes=[vote(author, checkpoint)], author=author)

    def restart(self) -> list[bytes]:
        """A new process over the same disk; what it votes for again."""
        self.executor = Log(INTERVAL).executor
        return resume_checkpoints(self.executor, self.store, COMMITTEE, Parameters())

    def refusal(self, asked: Prove, member: bytes) -> str:
        with pytest.raises(MemberFault) as caught:
            self.prover.prove(member, asked)
        return caught.value.code


def ann_and_bob() -> tuple[KeptLog, ClientSession, ClientSession]:
    """Both open a session in commit 1 and send an event in commit 2."""
    log, ann, bob = KeptLog(), ClientSession("ann"), ClientSession("bob")
    log.waiting = {ann.keys.tag_of(1), bob.keys.tag_of(1)}
    log.run([ann.open(), bob.open()])
    log.run([ann.send(1), bob.send(1)])
    return log, ann, bob


def test_an_event_is_proven_to_its_member_once_its_checkpoint_is_certified():
    log, ann, bob = ann_and_bob()
    asked = Prove(0, 2, 1, BODY)
    checkpoint = log.up_to_checkpoint().checkpoint
    log.certify(checkpoint, (0, 1))
    assert log.refusal(asked, ann.member.public) == "not-yet"
    log.certify(checkpoint, (2,))
    for session in (ann, bob):
        proof = log.prover.prove(session.member.public, asked)
        path = codec.decode(proof.outcome, OutcomeProof, 1 << 16)
        outcome = outcome_of(log, session)
        assert proof.certified.checkpoint == checkpoint
        assert verify_outcome(checkpoint.outcomes_root, outcome, path)
    assert [author for author, _ in proof.certified.signatures] == [0, 1, 2]


def outcome_of(log: KeptLog, session: ClientSession) -> Outcome:
    """What a session was told of its event 1."""
    tag = session.keys.tag_of(1)
    opened = sessions.open_outcome(CONTEXT, session.keys, tag, log.answers[tag], PeerFault)
    return codec.decode(opened, Outcome, 1 << 16)


@pytest.mark.parametrize(
    "asked",
    [Prove(0, 2, 1, BODY + b"x"), Prove(0, 2, 2, BODY), Prove(0, 2, 1, b""), Prove(0, 2, 0, BODY)],
    ids=["body", "number", "empty", "zero"],
)
def test_who_does_not_know_the_event_learns_nothing_of_it(asked: Prove):
    log, ann, _ = ann_and_bob()
    log.certify(log.up_to_checkpoint().checkpoint)
    assert log.refusal(asked, ann.member.public) == "unknown-event"


def test_a_stranger_learns_nothing_of_an_event_that_it_knows():
    log, _, _ = ann_and_bob()
    log.certify(log.up_to_checkpoint().checkpoint)
    stranger = ClientSession("eve").member.public
    assert log.refusal(Prove(0, 2, 1, BODY), stranger) == "unknown-event"


def test_proofs_survive_a_restart_in_the_middle_of_an_interval():
    log, ann, _ = ann_and_bob()
    machine = log.executor.machine
    log.restart()
    log.executor.machine = machine
    log.certify(log.up_to_checkpoint().checkpoint)
    assert log.prover.prove(ann.member.public, Prove(0, 2, 1, BODY))


def close_after(last: CommitRecord) -> SignedEpochRecord:
    """The record of the epoch that begins after this commit."""
    record = EpochRecord(
        network=NETWORK,
        epoch=1,
        predecessor=bytes(32),
        seats=COMMITTEE.seats,
        policy_digest=bytes(32),
        governors=(),
        governor_threshold=0,
        measurements=(),
        coin_anchor=bytes(32),
        epoch_key=bytes(32),
        close_commit=last.commit.index,
        close_chain=last.commit.digest,
        state_root=last.state_root,
        outcomes_root=last.outcomes_root,
        ledger_time_ms=last.commit.ledger_time_ms,
        protocol=1,
    )
    return SignedEpochRecord(codec.encode(record), ())


def assert_proven_by_close(log: KeptLog, ann: ClientSession, asked: Prove) -> None:
    """Nothing proves it before CLOSE, which comes now."""
    last = codec.decode(log.run().records[-1][1], CommitRecord, 1 << 16)
    assert log.refusal(asked, ann.member.public) == "not-yet"
    log.chain = [SignedEpochRecord(b"record 0", ()), close_after(last)]
    proof = log.prover.prove(ann.member.public, asked)
    certified = proof.certified
    assert (certified.checkpoint.commit, certified.signatures) == (last.commit.index, ())
    path = codec.decode(proof.outcome, OutcomeProof, 1 << 16)
    assert verify_outcome(last.outcomes_root, outcome_of(log, ann), path)


def test_what_an_epoch_executed_last_is_certified_by_the_next_record():
    log, ann, _ = ann_and_bob()
    assert_proven_by_close(log, ann, Prove(0, 2, 1, BODY))
    assert log.prover.records(1).records == (log.chain[1],)


def test_what_lies_under_a_checkpoint_whose_votes_close_cut_off_is_certified_by_the_record():
    log, ann, _ = ann_and_bob()
    log.certify(log.up_to_checkpoint().checkpoint, (0, 1))
    assert_proven_by_close(log, ann, Prove(0, 2, 1, BODY))


def test_what_lies_under_a_checkpoint_that_never_got_its_votes_is_proven_by_the_next_one():
    log, ann, bob = ann_and_bob()
    log.up_to_checkpoint()
    log.run([bob.send(2)])
    checkpoint = log.up_to_checkpoint().checkpoint
    asked = Prove(0, 2, 1, BODY)
    assert log.refusal(asked, ann.member.public) == "not-yet"
    log.certify(checkpoint)
    proof = log.prover.prove(ann.member.public, asked)
    path = codec.decode(proof.outcome, OutcomeProof, 1 << 16)
    assert proof.certified.checkpoint == checkpoint
    assert verify_outcome(checkpoint.outcomes_root, outcome_of(log, ann), path)


def test_a_node_that_kept_only_later_outcomes_says_that_it_cannot_prove():
    log, ann, bob = ann_and_bob()
    log.run([bob.send(2)])
    log.certify(log.up_to_checkpoint().checkpoint)
    log.store._meta.pop("outcomes/0/2")
    assert log.refusal(Prove(0, 2, 1, BODY), ann.member.public) == "gone"
    assert log.prover.prove(bob.member.public, Prove(0, 3, 2, BODY))


def test_who_asks_when_the_ring_of_checkpoints_went_round_gets_a_later_one():
    log, ann, _ = ann_and_bob()
    for _ in range(2 * limits.KEPT_CHECKPOINTS):
        log.certify(log.up_to_checkpoint().checkpoint)
    proof = log.prover.prove(ann.member.public, Prove(0, 2, 1, BODY))
    path = codec.decode(proof.outcome, OutcomeProof, 1 << 16)
    assert verify_outcome(proof.certified.checkpoint.outcomes_root, outcome_of(log, ann), path)


def test_what_is_too_old_is_gone():
    log, ann, _ = ann_and_bob()
    checkpoint = log.up_to_checkpoint().checkpoint
    log.certify(checkpoint)
    later = INTERVAL * (limits.KEPT_CHECKPOINTS + 1)
    newer = Certified(Checkpoint(NETWORK, 0, later, b"", b"", b"", 0), ())
    log.store.write(Batch(epoch=0, meta=kept_checkpoint(newer, INTERVAL)))
    assert log.refusal(Prove(0, 2, 1, BODY), ann.member.public) == "gone"
    assert log.refusal(Prove(0, later + 1, 1, BODY), ann.member.public) == "not-yet"


def test_a_node_that_lacks_an_outcome_of_the_interval_proves_nothing_wrong():
    log, ann, _ = ann_and_bob()
    log.certify(log.up_to_checkpoint().checkpoint)
    log.store._meta.pop("outcomes/0/2")
    assert log.refusal(Prove(0, 2, 1, BODY), ann.member.public) == "gone"


def test_what_is_kept_is_bounded():
    log, ann = KeptLog(), ClientSession("ann")
    places: dict[int, int] = {}
    log.run([ann.open()])
    for number in range(1, (limits.KEPT_CHECKPOINTS + 2) * INTERVAL):
        executed = log.run([ann.send(number)])
        places[number] = log.commits
        if executed.votes:
            ours = codec.decode(executed.votes[0], CheckpointVote, 1 << 16)
            log.certify(ours.checkpoint)
    names = [name.split("/")[0] for name in log.store._meta]
    # Commits of votes alone executed nothing; their places in the ring hold something older.
    newest = log.executor.certified
    number = next(n for n, commit in places.items() if newest - 9 < commit <= newest)
    assert log.prover.prove(ann.member.public, Prove(0, places[number], number, BODY))
    assert log.refusal(Prove(0, newest + 1, number, BODY), ann.member.public) == "not-yet"
    assert 900 < names.count("outcomes") <= limits.KEPT_CHECKPOINTS * INTERVAL
    assert names.count("checkpoint") == limits.KEPT_CHECKPOINTS + 1


def test_votes_that_were_ordered_before_a_restart_count_after_it():
    log, _, _ = ann_and_bob()
    ours = log.up_to_checkpoint()
    log.certify(ours.checkpoint, (1, 3))
    again = log.restart()
    assert again == [codec.encode(ours)]
    assert log.executor.certified == 0
    log.certify(ours.checkpoint, (2,))
    assert log.executor.certified == INTERVAL


def test_a_certified_checkpoint_survives_a_restart():
    log, ann, _ = ann_and_bob()
    log.certify(log.up_to_checkpoint().checkpoint)
    assert log.restart() == []
    assert log.executor.certified == INTERVAL
    assert log.prover.prove(ann.member.public, Prove(0, 2, 1, BODY))


def test_roots_that_were_fetched_are_not_vouched_for():
    log, _, _ = ann_and_bob()
    log.up_to_checkpoint()
    log.store.write(Batch(epoch=0, meta=kept_image(0, INTERVAL)))
    assert log.restart() == []
    log.store.write(Batch(epoch=0, meta=kept_image(0, INTERVAL - 1)))
    assert len(log.restart()) == 1


def test_the_next_epochs_commits_take_no_place_of_the_last_ones():
    log, ann, _ = ann_and_bob()
    asked = Prove(0, 2, 1, BODY)
    log.certify(log.up_to_checkpoint().checkpoint)
    before = log.prover.prove(ann.member.public, asked)
    later = replace(before.certified, checkpoint=replace(before.certified.checkpoint, epoch=1))
    log.store.write(Batch(epoch=1, meta=kept_checkpoint(later, INTERVAL)))
    for commit in range(1, INTERVAL + 1):
        ordered = replace(log.commit().commit, epoch=1, index=commit)
        leaves = Leaves(Peaks(), bytes(32), bytes(16), bytes(32))
        log.store.write(Batch(epoch=1, meta=kept_leaves(ordered, leaves, INTERVAL)))
    log.prover = Prover(log.store, NETWORK, INTERVAL, lambda: log.chain)
    assert log.prover.prove(ann.member.public, asked) == before
