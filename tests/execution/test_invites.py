"""Invites as replicated state: issued, used, ended, and the same on every replica."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.execution import invites
from ccp2p.execution.state import State
from ccp2p.model import codec, limits
from ccp2p.model.errors import MemberFault
from ccp2p.model.host_commands import (
    HostCommand,
    InviteIssued,
    IssueInvite,
    RevokeInvite,
    encode_command,
    invite_digest,
    is_for_host,
)
from tests.sealing.world import BODY, GOVERNOR, ClientSession, Replica, event_of

SECRET = b"one secret"


def command_of(session: ClientSession, sequence: int, command: HostCommand | bytes) -> bytes:
    """An envelope with a command, or with the bytes of one."""
    body = command if isinstance(command, bytes) else encode_command(command)
    return session.send(sequence, event=event_of(session.member, sequence, body))


def issued(secret: bytes = SECRET, uses: int = 1, lifetime_ms: int = 1000, role="member"):
    return IssueInvite(invite_digest(secret), role, uses, lifetime_ms)


@dataclass
class Stage:
    """A replica with a governor's open session."""

    replica: Replica = field(default_factory=Replica)
    governor: ClientSession = field(default_factory=lambda: ClientSession(GOVERNOR, invite=b""))
    sent: int = 0

    def __post_init__(self) -> None:
        assert self.replica.outcomes(self.governor.open()) == ["ok"]

    def command(self, command: HostCommand | bytes, time_ms: int | None = None) -> str:
        self.sent += 1
        envelope = command_of(self.governor, self.sent, command)
        (word,) = self.replica.outcomes(envelope, time_ms=time_ms)
        return word

    def knock(self, *sessions: ClientSession, time_ms: int | None = None) -> list[str]:
        return self.replica.outcomes(*(s.open() for s in sessions), time_ms=time_ms)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def guest(name: str, secret: bytes = SECRET) -> ClientSession:
    return ClientSession(name, invite=secret)


def test_an_invite_lets_as_many_in_as_it_says_and_no_more(stage: Stage):
    assert stage.command(issued(uses=2)) == "ok"
    assert stage.knock(guest("ann")) == ["ok"]
    assert stage.knock(guest("bob")) == ["ok"]
    assert stage.knock(guest("eve")) == ["invite-used"]


def test_two_who_show_one_invite_in_one_commit_are_taken_in_its_order(stage: Stage):
    stage.command(issued())
    assert stage.knock(guest("ann"), guest("bob"), guest("eve")) == [
        "ok",
        "invite-used",
        "invite-used",
    ]


def test_a_members_second_session_uses_no_invite_up_not_even_in_the_same_commit(stage: Stage):
    stage.command(issued(uses=2))
    assert stage.knock(guest("ann"), guest("ann")) == ["ok", "ok"]
    assert stage.knock(guest("ann", b"")) == ["ok"]
    assert stage.knock(guest("bob"), guest("eve")) == ["ok", "invite-used"]


def test_whoever_is_refused_for_another_reason_uses_no_invite_up(stage: Stage, monkeypatch):
    stage.command(issued())
    eve = guest("eve")
    unsigned = msgspec.structs.replace(event_of(eve.member, 0), signature=bytes(64))
    envelope = eve.send(0, event=unsigned, opening=eve.opening)
    assert stage.replica.outcomes(envelope) == ["bad-signature"]
    monkeypatch.setattr(limits, "MAX_SESSIONS", 1)
    assert stage.knock(guest("bob")) == ["too-many-sessions"]
    monkeypatch.undo()
    assert stage.knock(guest("ann")) == ["ok"]


def test_a_first_event_far_ahead_makes_a_member_all_the_same(stage: Stage):
    stage.command(issued())
    ann = guest("ann")
    far = limits.SEQUENCE_WINDOW + 1
    assert stage.replica.outcomes(ann.open(far)) == ["too-far"]
    assert stage.replica.outcomes(ann.send(1), guest("ann", b"").open()) == ["ok", "ok"]


def test_an_invite_ends_by_ledger_time_counted_from_its_execution(stage: Stage):
    stage.sent += 1
    envelope = command_of(stage.governor, 1, issued(uses=9, lifetime_ms=100))
    ((_, outcome),) = stage.replica.commit([envelope], time_ms=5_000)[1].outcomes
    assert codec.decode(outcome.body, InviteIssued, 64).expires_ms == 5_100
    assert stage.knock(guest("ann"), time_ms=5_099) == ["ok"]
    assert stage.knock(guest("bob"), time_ms=5_100) == ["invite-expired"]


def test_a_nodes_invite_lets_no_member_in_and_is_not_used_up_by_trying(stage: Stage):
    stage.command(issued(role="node"))
    assert stage.knock(guest("ann")) == ["invite-role"]
    assert stage.knock(guest("ann", b"unknown")) == ["not-invited"]
    state = stage.replica.machine._state
    assert invites.use(state, "node", invite_digest(SECRET), 3) is None
    assert invites.use(state, "node", invite_digest(SECRET), 3) == "invite-used"


def test_a_revoked_invite_lets_nobody_in_and_keeps_who_came(stage: Stage):
    stage.command(issued(uses=5))
    stage.knock(guest("ann"))
    assert stage.command(RevokeInvite(invite_digest(SECRET))) == "ok"
    assert stage.knock(guest("bob"), guest("ann", b"")) == ["not-invited", "ok"]
    assert stage.command(RevokeInvite(invite_digest(SECRET))) == "no-such-invite"
    assert stage.command(issued()) == "ok"


def test_an_invite_cannot_be_issued_twice_and_so_not_be_refilled(stage: Stage):
    stage.command(issued())
    assert stage.command(issued(uses=9)) == "invite-exists"
    assert stage.knock(guest("ann"), guest("bob")) == ["ok", "invite-used"]
    assert stage.command(issued(uses=9)) == "invite-exists"


def test_only_governors_command_the_host(stage: Stage):
    stage.command(issued())
    ann = guest("ann")
    stage.knock(ann)
    other = issued(b"another")
    assert stage.replica.outcomes(command_of(ann, 1, other)) == ["not-governor"]
    revoke = RevokeInvite(invite_digest(SECRET))
    assert stage.replica.outcomes(command_of(ann, 2, revoke)) == ["not-governor"]
    assert stage.knock(guest("bob", b"another")) == ["not-invited"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (codec.wrap("net.invite", codec.encode(issued()), 2), "unknown-version"),
        (codec.wrap("net.become", b"\x90"), "unknown-command"),
        (codec.wrap("net.invite", b"\x90"), "malformed"),
        (codec.wrap("net.invite", codec.encode(issued()))[:-1], "malformed"),
        (encode_command(issued(uses=0)), "malformed"),
        (encode_command(issued(uses=limits.MAX_INVITE_USES + 1)), "malformed"),
        (encode_command(issued(lifetime_ms=0)), "malformed"),
        (encode_command(issued(lifetime_ms=limits.MAX_INVITE_LIFETIME_MS + 1)), "malformed"),
        (encode_command(IssueInvite(b"short", "member", 1, 1)), "malformed"),
        (encode_command(issued(role="king")), "malformed"),
    ],
)
def test_a_malformed_command_is_rejected_and_never_reaches_the_app(
    stage: Stage, body: bytes, said: str
):
    root = stage.replica.machine.state_root
    assert is_for_host(body)
    assert stage.command(body) == said
    assert stage.replica.machine.state_root != root, "its number was used"
    assert stage.knock(guest("ann")) == ["not-invited"]


@given(st.binary(max_size=200))
def test_any_bytes_after_the_prefix_are_an_answer_and_not_a_crash(tail: bytes):
    stage = Stage()
    stage.command(b"\x93\xaanet." + tail)
    assert stage.command(issued()) == "ok"


def test_an_apps_body_is_no_command():
    assert not is_for_host(BODY)
    assert not any(map(is_for_host, (b"", b"net.", b"\x93", b"\x93\xa4ne", b"\x92\xa4net.")))


def test_ended_invites_make_room_and_live_ones_do_not(stage: Stage, monkeypatch):
    monkeypatch.setattr(limits, "MAX_INVITES", 3)
    for secret, lifetime_ms in ((b"short", 10), (b"used", 10_000), (b"long", 10_000)):
        assert stage.command(issued(secret, lifetime_ms=lifetime_ms), 100) == "ok"
    stage.knock(guest("ann", b"used"), time_ms=105)
    assert stage.knock(guest("bob", b"short"), time_ms=150) == ["invite-expired"]
    assert stage.command(issued(b"new"), 150) == "ok"
    assert stage.knock(guest("bob", b"short"), time_ms=150) == ["not-invited"]
    assert stage.command(issued(b"newer"), 150) == "ok"
    assert stage.command(issued(b"newest"), 150) == "too-many-invites"
    assert stage.knock(guest("bob", b"long"), guest("eve", b"new"), time_ms=150) == ["ok", "ok"]
    assert stage.command(issued(b"newest"), 150) == "ok"


def test_all_invites_of_a_network_fit_a_value_of_the_state():
    state = State(network=b"n" * 32, salt_key=b"s" * 32, load_bucket=lambda _: None)
    for number in range(limits.MAX_INVITES):
        invites.issue(state, b"g" * 32, issued(number.to_bytes(4, "big")), 1 << 52)
    index = state.get(invites._INDEX)
    assert index is not None
    assert len(index) <= limits.MAX_VALUE_BYTES
    assert len(invites._index(state)) == limits.MAX_INVITES
    with pytest.raises(MemberFault, match="more invites"):
        invites.issue(state, b"g" * 32, issued(b"one more"), 1 << 52)


# A story: commits some time apart, in which invites are issued, revoked and shown. Sessions are
# made once, because HPKE is randomized and slow.
SECRETS = (b"first", b"second")
GUESTS = {
    (name, secret): guest(name, secret) for name in "abcdef" for secret in (*SECRETS, b"none")
}
GOVERNING = ClientSession(GOVERNOR, invite=b"")

ISSUE = st.builds(
    issued, st.sampled_from(SECRETS), st.integers(1, 3), st.integers(1, 30), st.just("member")
)
REVOKE = st.builds(lambda s: RevokeInvite(invite_digest(s)), st.sampled_from(SECRETS))
SHOW = st.sampled_from(sorted(GUESTS))
COMMITS = st.lists(
    st.tuples(st.integers(0, 12), st.lists(ISSUE | REVOKE | SHOW | SHOW | SHOW, max_size=6)),
    max_size=12,
)


@dataclass
class Expected:
    """What the rules say, in a dozen lines: each secret's [uses left, end]."""

    members: set[str] = field(default_factory=set)
    live: dict[bytes, list[int]] = field(default_factory=dict)

    def show(self, name: str, secret: bytes, now: int) -> str:
        if name in self.members:
            return "ok"
        invite = self.live.get(invite_digest(secret))
        if invite is None:
            return "not-invited"
        if invite[0] == 0:
            return "invite-used"
        if invite[1] <= now:
            return "invite-expired"
        invite[0] -= 1
        self.members.add(name)
        return "ok"

    def command(self, command: HostCommand, now: int) -> str:
        if isinstance(command, IssueInvite):
            if command.digest in self.live:
                return "invite-exists"
            self.live[command.digest] = [command.uses, now + command.lifetime_ms]
            return "ok"
        return "ok" if self.live.pop(command.digest, None) else "no-such-invite"


@settings(max_examples=150, deadline=None)
@given(COMMITS, st.integers(1, 5))
def test_replicas_that_batch_or_restart_agree_with_each_other_and_with_the_rules(story, batch):
    steady, hasty, restarted = Replica(), Replica(), Replica()
    rules, sent, now = Expected(), 0, 1_000
    commits, expected = [([GOVERNING.open()], now)], [["ok"]]
    for pause, acts in story:
        now += pause
        # Openings go first, each session's once; then commands, in their order.
        shown = list(dict.fromkeys(act for act in acts if isinstance(act, tuple)))
        commands = [act for act in acts if not isinstance(act, tuple)]
        words = [rules.show(*act, now) for act in shown]
        words += [rules.command(act, now) for act in commands]
        envelopes = [GUESTS[act].open() for act in shown]
        for act in commands:
            sent += 1
            envelopes.append(command_of(GOVERNING, sent, act))
        commits.append((envelopes, now))
        expected.append(words)
    for number, (envelopes, time_ms) in enumerate(commits):
        if number % batch == 0:
            hasty.table.foresee([e for es, _ in commits[number : number + batch] for e in es])
        restarted.restart()
        assert steady.outcomes(*envelopes, time_ms=time_ms) == expected[number]
        for other in (hasty, restarted):
            assert other.outcomes(*envelopes, time_ms=time_ms) == expected[number]
            assert other.machine.state_root == steady.machine.state_root
