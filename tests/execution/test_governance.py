"""Amendments as replicated state: who may propose, who counts, and the same on every replica."""

from dataclasses import dataclass, field

import msgspec
import pytest

from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.execution.governance import Governors
from ccp2p.execution.machine import StateMachine
from ccp2p.execution.state import State
from ccp2p.model import codec, hashing, limits
from ccp2p.model.amendment import Amendment, amendment_digest, approval_bytes
from ccp2p.model.block import BlockReference
from ccp2p.model.commit import Commit
from ccp2p.model.errors import MemberFault
from ccp2p.model.host_commands import (
    AmendmentList,
    AmendmentState,
    ApproveAmendment,
    HostCommand,
    HostQuestion,
    ListAmendments,
    ProposeAmendment,
    ProposedAmendment,
    ShowAmendment,
    encode_command,
)
from ccp2p.model.outcome import MemberEvent

NETWORK = b"n" * 32
KEYS = [SigningKey(bytes([i + 1]) * 32) for i in range(3)]
STRANGER = SigningKey(b"s" * 32)
EVICTION = Amendment(NETWORK, 0, evict=(b"n" * 32,))
OTHER = Amendment(NETWORK, 0, evict=(b"o" * 32,))


def check_policy(text: str) -> None:
    if "good" not in text:
        raise MemberFault("policy", "not a good policy")


def machine_of(threshold: int = 2, load_bucket=lambda _: None) -> StateMachine:
    keys = tuple(key.public for key in KEYS)
    return StateMachine(
        network=NETWORK,
        app="kv",
        salt_key=b"s" * 32,
        load_bucket=load_bucket,
        protocol=1,
        governors=Governors(keys, threshold, check_policy),
    )


def proposed(amendment: Amendment, by: SigningKey) -> ProposeAmendment:
    data = codec.encode(amendment)
    return ProposeAmendment(data, by.sign(approval_bytes(NETWORK, amendment_digest(data))))


def approved(amendment: Amendment, by: SigningKey) -> ApproveAmendment:
    digest = amendment_digest(codec.encode(amendment))
    return ApproveAmendment(digest, by.sign(approval_bytes(NETWORK, digest)))


@dataclass
class Stage:
    """One replica, and what its members say."""

    machine: StateMachine = field(default_factory=machine_of)
    epoch: int = 0
    commits: int = 0
    sent: dict[bytes, int] = field(default_factory=dict)
    disk: dict[int, bytes] = field(default_factory=dict)

    def commit(self, *said: tuple[SigningKey, HostCommand], is_last: bool = False) -> list[str]:
        """One commit; the status of each command, or why it was rejected."""
        self.commits += 1
        reference = BlockReference(1, 0, bytes(32))
        time_ms = 1000 * self.commits
        commit = Commit(self.epoch, self.commits, reference, (), time_ms, bytes(32))
        events = [self.event(key, command) for key, command in said]
        applied = self.machine.apply(commit, events, is_last=is_last)
        self.disk |= applied.buckets
        self.answers = [outcome.body for _, outcome in applied.outcomes]
        return [
            outcome.status if outcome.status == "ok" else outcome.body.decode()
            for _, outcome in applied.outcomes
        ]

    def restart(self) -> None:
        """The same state from its disk."""
        root, self.machine = self.machine.state_root, machine_of(2, self.disk.get)
        if self.commits:
            self.machine.restore([(i, data) for i, data in self.disk.items() if data], root)

    def event(self, key: SigningKey, command: HostCommand) -> MemberEvent:
        sequence = self.sent[key.public] = self.sent.get(key.public, 0) + 1
        body = encode_command(command)
        name = hashing.digest(hashing.EVENT, key.public, bytes([sequence]))
        return MemberEvent(name, key.public, sequence, body, name)

    def say(self, key: SigningKey, command: HostCommand) -> str:
        (word,) = self.commit((key, command))
        return word

    def state(self) -> AmendmentState:
        """The answer to the last command."""
        return codec.decode(self.answers[-1], AmendmentState, limits.MAX_OUTCOME_BYTES)

    def ask(self, question: HostQuestion, kind: type):
        answer = self.machine.query(STRANGER.public, encode_command(question))
        return codec.decode(answer, kind, limits.MAX_QUERY_REPLY_BYTES)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_threshold_adopts_and_one_less_does_not(stage: Stage):
    digest = amendment_digest(codec.encode(EVICTION))
    assert stage.say(KEYS[2], proposed(EVICTION, KEYS[2])) == "ok"
    assert stage.state() == AmendmentState(digest, (2,), 2, False)
    assert stage.machine.adopted(0) is None
    assert stage.say(KEYS[0], approved(EVICTION, KEYS[0])) == "ok"
    assert stage.state() == AmendmentState(digest, (0, 2), 2, True)
    found = stage.machine.adopted(0)
    assert found is not None
    assert (found.digest, found.amendment, found.time_ms) == (digest, codec.encode(EVICTION), 2000)
    assert [place for place, _ in found.approvals] == [0, 2]
    message = approval_bytes(NETWORK, digest)
    assert all(verify(KEYS[i].public, sign, message) for i, sign in found.approvals)


def test_one_governor_alone_adopts_at_once():
    stage = Stage(machine_of(threshold=1))
    stage.say(KEYS[1], proposed(EVICTION, KEYS[1]))
    assert stage.state().is_adopted


def test_a_governor_counts_once(stage: Stage):
    for _ in range(3):
        assert stage.say(KEYS[0], proposed(EVICTION, KEYS[0])) == "ok"
        assert stage.say(KEYS[0], approved(EVICTION, KEYS[0])) == "ok"
    assert stage.state().approved_by == (0,)
    assert stage.machine.adopted(0) is None


def test_who_proposes_what_is_proposed_approves_it(stage: Stage):
    stage.say(KEYS[0], proposed(EVICTION, KEYS[0]))
    stage.say(KEYS[1], proposed(EVICTION, KEYS[1]))
    assert stage.state().is_adopted
    assert len(stage.ask(ListAmendments(), AmendmentList).digests) == 1


def test_the_first_that_is_adopted_wins_and_stays(stage: Stage):
    stage.commit((KEYS[0], proposed(EVICTION, KEYS[0])), (KEYS[0], proposed(OTHER, KEYS[0])))
    words = stage.commit(
        (KEYS[1], approved(OTHER, KEYS[1])), (KEYS[1], approved(EVICTION, KEYS[1]))
    )
    assert words == ["ok", "adopted-already"]
    for command in (approved(OTHER, KEYS[2]), proposed(EVICTION, KEYS[2])):
        assert stage.say(KEYS[2], command) == "adopted-already"
    found = stage.machine.adopted(0)
    assert found is not None
    assert found.amendment == codec.encode(OTHER)
    assert [place for place, _ in found.approvals] == [0, 1]
    assert stage.say(KEYS[1], approved(OTHER, KEYS[1])) == "ok", "a repetition is told the state"


def replaced(**changes: object) -> Amendment:
    return msgspec.structs.replace(EVICTION, **changes)


@pytest.mark.parametrize(
    ("amendment", "said"),
    [
        (replaced(network=b"x" * 32), "wrong-network"),
        (replaced(epoch=1), "wrong-epoch"),
        (replaced(policy="a bad policy"), "policy"),
        (replaced(evict=()), "amendment"),
        (replaced(evict=(b"short",)), "evict"),
        (replaced(governors=(b"g" * 32, b"h" * 32), governor_threshold=1), "governors"),
        (replaced(policy="good" * limits.MAX_AMENDMENT_BYTES), "oversized"),
    ],
)
def test_what_may_never_come_is_refused_at_once(stage: Stage, amendment: Amendment, said: str):
    assert stage.say(KEYS[0], proposed(amendment, KEYS[0])) == said
    assert stage.ask(ListAmendments(), AmendmentList).digests == ()


def test_a_policy_that_may_come_is_kept_whole(stage: Stage):
    amendment = Amendment(NETWORK, 0, policy="good" + " " * 50_000)
    assert stage.say(KEYS[0], proposed(amendment, KEYS[0])) == "ok"
    digest = amendment_digest(codec.encode(amendment))
    found = stage.ask(ShowAmendment(digest), ProposedAmendment)
    assert found.amendment == codec.encode(amendment)
    assert [place for place, _ in found.approvals] == [0]


def test_only_governors_with_their_own_word_count(stage: Stage):
    stage.say(KEYS[0], proposed(EVICTION, KEYS[0]))
    assert stage.say(STRANGER, approved(EVICTION, STRANGER)) == "not-governor"
    assert stage.say(STRANGER, proposed(OTHER, STRANGER)) == "not-governor"
    assert stage.say(KEYS[1], approved(EVICTION, KEYS[0])) == "bad-approval"
    assert stage.say(KEYS[1], approved(OTHER, KEYS[1])) == "no-such-amendment"
    assert stage.say(KEYS[1], proposed(OTHER, KEYS[2])) == "bad-approval"
    assert stage.machine.adopted(0) is None
    assert len(stage.ask(ListAmendments(), AmendmentList).digests) == 1


def test_nothing_is_adopted_in_the_commit_that_ends_the_epoch(stage: Stage):
    stage.say(KEYS[0], proposed(EVICTION, KEYS[0]))
    said = [(KEYS[1], approved(EVICTION, KEYS[1])), (KEYS[2], proposed(OTHER, KEYS[2]))]
    assert stage.commit(*said, is_last=True) == ["epoch-over", "epoch-over"]
    assert stage.machine.adopted(0) is None


def test_each_governor_has_a_few_open_proposals(stage: Stage):
    many = [replaced(evict=(bytes([n]) * 32,)) for n in range(limits.AMENDMENTS_PER_GOVERNOR + 1)]
    words = [stage.say(KEYS[0], proposed(one, KEYS[0])) for one in many]
    assert words == ["ok"] * limits.AMENDMENTS_PER_GOVERNOR + ["too-many-amendments"]
    assert stage.say(KEYS[1], proposed(many[-1], KEYS[1])) == "ok"
    assert stage.say(KEYS[0], approved(many[-1], KEYS[0])) == "ok"
    assert stage.state().is_adopted


def test_everything_ends_with_the_epoch(stage: Stage):
    stage.say(KEYS[0], proposed(EVICTION, KEYS[0]))
    stage.commit((KEYS[0], proposed(OTHER, KEYS[0])), (KEYS[1], approved(OTHER, KEYS[1])))
    stage.epoch, stage.commits = 1, 0
    assert stage.machine.adopted(1) is None, "before the first commit of the next epoch"
    again = replaced(epoch=1)
    words = stage.commit(
        (KEYS[1], approved(EVICTION, KEYS[1])), (KEYS[1], proposed(again, KEYS[1]))
    )
    assert words == ["no-such-amendment", "ok"]
    assert stage.machine.adopted(1) is None
    found = stage.ask(ListAmendments(), AmendmentList)
    assert found == AmendmentList(1, b"", (amendment_digest(codec.encode(again)),))
    with pytest.raises(MemberFault, match="no such amendment"):
        stage.ask(ShowAmendment(amendment_digest(codec.encode(OTHER))), ProposedAmendment)


def test_all_that_may_be_proposed_fits_the_state():
    keys = [SigningKey(bytes([i + 1]) * 32) for i in range(limits.MAX_GOVERNORS)]
    governors = Governors(tuple(key.public for key in keys), len(keys), check_policy)
    stage = Stage(machine_of())
    stage.machine._host._governors = governors
    for number in range(limits.AMENDMENTS_PER_GOVERNOR):
        for place, key in enumerate(keys):
            one = replaced(evict=(bytes([place, number]) * 16,))
            assert stage.say(key, proposed(one, key)) == "ok"
    everybody = replaced(evict=(b"e" * 32,))
    other = [stage.say(key, proposed(everybody, key)) for key in keys]
    assert set(other) == {"too-many-amendments"}
    state: State = stage.machine._state
    assert len(state.get(b"\0amendments") or b"") <= limits.MAX_VALUE_BYTES
    assert len(stage.ask(ListAmendments(), AmendmentList).digests) == 128


def test_a_question_is_not_a_command_and_the_other_way_round(stage: Stage):
    assert stage.say(KEYS[0], ListAmendments()) == "unknown-command"  # type: ignore[arg-type]
    with pytest.raises(MemberFault, match="not known"):
        stage.ask(proposed(EVICTION, KEYS[0]), AmendmentList)  # type: ignore[arg-type]


def test_replicas_agree_however_often_they_restart():
    first, second = Stage(), Stage()
    said = [
        (KEYS[0], proposed(EVICTION, KEYS[0])),
        (KEYS[1], proposed(OTHER, KEYS[1])),
        (KEYS[2], approved(EVICTION, KEYS[2])),
        (KEYS[0], approved(OTHER, KEYS[0])),
    ]
    for one in said:
        second.restart()
        first.commit(one)
        second.commit(one)
        assert second.machine.state_root == first.machine.state_root
        assert second.machine.adopted(0) == first.machine.adopted(0)
    assert first.machine.adopted(0) is not None
