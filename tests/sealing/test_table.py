import pytest

from ccp2p.model import codec, limits
from ccp2p.model.envelope import Envelope, Event, parse_envelope
from ccp2p.sealing.session import SessionContext
from tests.sealing.world import BODY, NETWORK, ClientSession, Replica, event_of, key_of

WINDOW = limits.SEQUENCE_WINDOW


@pytest.fixture
def replica() -> Replica:
    return Replica()


def test_an_opening_and_events_of_one_commit_are_executed_in_order(replica: Replica):
    ann = ClientSession("ann")
    assert replica.outcomes(ann.open(), ann.send(1), ann.send(2)) == ["ok"] * 3


def test_an_opening_behind_its_events_in_one_commit_goes_first(replica: Replica):
    ann = ClientSession("ann")
    opened, applied = replica.commit([ann.send(1), ann.open()])
    assert [event.sequence for event in opened.events] == [1, 0]
    assert len(applied.outcomes) == 2
    assert not opened.dropped


def test_an_opening_may_carry_the_first_event(replica: Replica):
    ann = ClientSession("ann")
    assert replica.outcomes(ann.open(1), ann.send(2)) == ["ok", "ok"]


def test_events_before_their_opening_was_ordered_are_dropped(replica: Replica):
    ann = ClientSession("ann")
    assert replica.dropped(ann.send(1)) == ["no-session"]
    assert replica.outcomes(ann.open(), ann.send(1)) == ["ok", "ok"]


def test_a_duplicate_is_answered_again_and_executed_once(replica: Replica):
    ann = ClientSession("ann")
    _, first = replica.commit([ann.open(), ann.send(1), ann.send(1)])
    _, later = replica.commit([ann.send(1)])
    outcomes = [outcome for _, outcome in [*first.outcomes[1:], *later.outcomes]]
    assert len(outcomes) == 3
    assert len(set(map(codec.encode, outcomes))) == 1
    assert replica.machine.last_of(ann.member.public) == 1


def test_an_opening_again_is_not_a_second_session(replica: Replica):
    ann = ClientSession("ann")
    envelope = ann.open(1)
    replica.commit([envelope, envelope])
    opened, applied = replica.commit([envelope])
    assert (len(replica.table), opened.opened) == (1, [])
    assert [outcome.status for _, outcome in applied.outcomes] == ["ok"]


def test_an_envelope_replayed_long_after_is_dropped_without_trace(replica: Replica):
    ann = ClientSession("ann")
    old = ann.send(1)
    replica.commit([ann.open(), old])
    for number in range(2, WINDOW + 2):
        replica.commit([ann.send(number)])
    root = replica.machine.state_root
    assert replica.dropped(old) == ["no-session"]
    assert replica.machine.state_root == root


def test_tags_reach_a_window_ahead_and_no_further(replica: Replica):
    ann = ClientSession("ann")
    replica.commit([ann.open()])
    assert replica.dropped(ann.send(WINDOW + 1)) == ["no-session"]
    opened, _ = replica.commit([ann.send(WINDOW)])
    assert [event.sequence for event in opened.events] == [WINDOW]


def test_windows_are_those_of_the_commits_start(replica: Replica):
    ann = ClientSession("ann")
    replica.commit([ann.open()])
    assert replica.dropped(ann.send(1), ann.send(WINDOW + 1)) == ["no-session"]
    assert replica.dropped(ann.send(WINDOW + 1)) == []


def test_the_last_window_of_numbers_is_still_answered(replica: Replica):
    ann = ClientSession("ann")
    replica.commit([ann.open(), *(ann.send(number) for number in range(1, WINDOW + 1))])
    assert replica.outcomes(ann.send(1)) == ["ok"]
    replica.commit([ann.send(WINDOW + 1)])
    assert replica.dropped(ann.send(1), ann.send(2)) == ["no-session"]


def test_a_second_session_goes_on_where_the_first_was(replica: Replica):
    old, new = ClientSession("ann"), ClientSession("ann")
    replica.commit([old.open(), old.send(1), old.send(2)])
    assert replica.outcomes(new.open(), new.send(3), old.send(4)) == ["ok"] * 3


def test_a_member_has_a_bounded_number_of_sessions_and_the_oldest_makes_room(replica: Replica):
    sessions = [ClientSession("ann") for _ in range(limits.SESSIONS_PER_MEMBER + 1)]
    for session in sessions:
        opened, _ = replica.commit([session.open()])
    assert opened.closed == [sessions[0].identifier]
    assert len(replica.table) == limits.SESSIONS_PER_MEMBER
    assert replica.dropped(sessions[0].send(1), sessions[1].send(1)) == ["no-session"]
    assert replica.table.find(sessions[0].identifier) is None


def test_many_sessions_in_one_commit_are_bounded_alike(replica: Replica):
    sessions = [ClientSession("ann") for _ in range(2 * limits.SESSIONS_PER_MEMBER)]
    replica.commit([session.open() for session in sessions])
    assert len(replica.table) == limits.SESSIONS_PER_MEMBER
    assert len(replica.machine.session_records()) == limits.SESSIONS_PER_MEMBER


def test_one_members_sessions_close_no_other_members(replica: Replica):
    bob = ClientSession("bob")
    replica.commit([bob.open()])
    replica.commit([ClientSession("ann").open() for _ in range(6)])
    assert replica.outcomes(bob.send(1)) == ["ok"]


def test_a_full_network_takes_no_further_session(replica: Replica, monkeypatch):
    monkeypatch.setattr(limits, "MAX_SESSIONS", 2)
    ann, bob, eve = (ClientSession(name) for name in ("ann", "bob", "eve"))
    assert replica.outcomes(ann.open(), bob.open(), eve.open()) == ["ok", "ok", "too-many-sessions"]
    assert replica.dropped(eve.send(1)) == ["no-session"]


@pytest.mark.parametrize("invite", [b"", b"come im", b"come in "])
def test_a_stranger_without_the_invite_is_denied(replica: Replica, invite: bytes):
    eve = ClientSession("eve", invite=invite)
    assert replica.outcomes(eve.open()) == ["not-invited"]
    assert replica.machine.last_of(eve.member.public) is None
    assert replica.dropped(eve.send(1)) == ["no-session"]


def test_a_known_member_needs_no_invite_again(replica: Replica):
    replica.commit([ClientSession("ann").open()])
    assert replica.outcomes(ClientSession("ann", invite=b"").open()) == ["ok"]


def test_a_key_that_is_no_point_is_denied(replica: Replica):
    eve = ClientSession("eve")
    event = Event(bytes(32), 0, BODY, bytes(64))
    denied = replica.outcomes(eve.send(0, event=event, opening=eve.opening))
    assert denied in (["bad-key"], ["bad-signature"])
    assert len(replica.table) == 0


def forged(member_name: str, sequence: int) -> Event:
    good = event_of(key_of(member_name), sequence)
    return Event(
        good.member, sequence, good.body, bytes([good.signature[0] ^ 1]) + good.signature[1:]
    )


def test_a_wrong_signature_is_denied_and_leaves_no_trace(replica: Replica):
    ann = ClientSession("ann")
    replica.commit([ann.open()])
    root = replica.machine.state_root
    assert replica.outcomes(ann.send(1, event=forged("ann", 1))) == ["bad-signature"]
    assert replica.machine.state_root == root
    assert replica.outcomes(ann.send(1)) == ["ok"]


def test_a_signature_for_another_network_is_denied(replica: Replica):
    ann = ClientSession("ann")
    replica.commit([ann.open()])
    elsewhere = event_of(ann.member, 1, network=b"m" * 32)
    assert replica.outcomes(ann.send(1, event=elsewhere)) == ["bad-signature"]


def test_an_opening_with_a_wrong_signature_opens_nothing(replica: Replica):
    eve = ClientSession("eve")
    envelope = eve.send(0, event=forged("ann", 0), opening=eve.opening)
    assert replica.outcomes(envelope) == ["bad-signature"]
    assert len(replica.table) == 0


def test_one_wrong_signature_costs_the_others_nothing(replica: Replica):
    members = [ClientSession(name) for name in ("ann", "bob", "eve")]
    replica.commit([member.open() for member in members])
    ann, bob, eve = members
    outcomes = replica.outcomes(ann.send(1), eve.send(1, event=forged("eve", 1)), bob.send(1))
    assert outcomes == ["ok", "bad-signature", "ok"]


def test_another_members_event_inside_a_session_is_refused(replica: Replica):
    ann, eve = ClientSession("ann"), ClientSession("eve")
    replica.commit([ann.open(), eve.open()])
    stolen = event_of(ann.member, 1)
    assert replica.dropped(eve.send(1, event=stolen)) == ["tag"]
    assert replica.machine.last_of(ann.member.public) == 0


def test_an_event_under_another_numbers_tag_is_refused(replica: Replica):
    ann = ClientSession("ann")
    replica.commit([ann.open()])
    assert replica.dropped(ann.send(1, tag=ann.keys.tag_of(2))) == ["tag"]
    eve = ClientSession("eve")
    envelope = eve.send(0, opening=eve.opening, tag=eve.keys.tag_of(1))
    assert replica.dropped(envelope) == ["tag"]


def test_an_envelope_under_a_stolen_tag_does_not_open(replica: Replica):
    ann, eve = ClientSession("ann"), ClientSession("eve")
    replica.commit([ann.open(), eve.open()])
    thief = eve.send(1, tag=ann.keys.tag_of(1))
    assert replica.dropped(thief, ann.send(1)) == ["sealed"]
    assert replica.machine.last_of(ann.member.public) == 1


def test_an_opening_that_does_not_open_is_dropped(replica: Replica):
    ann = ClientSession("ann")
    good = parse_envelope(ann.open())
    altered = Envelope(0, good.tag, good.opening[:-1] + b"\0", good.sealed)
    unsealed = Envelope(0, good.tag, good.opening, good.sealed[:-1] + b"\0")
    tried = replica.dropped(codec.encode(altered), codec.encode(unsealed))
    assert sorted(tried) == ["opening", "sealed"]
    assert len(replica.table) == 0


@pytest.mark.parametrize("is_first", [True, False])
def test_who_copies_half_an_opening_keeps_nobody_out(replica: Replica, is_first: bool):
    """A seat sees openings in others' blocks, and may order what it makes of them first."""
    ann = ClientSession("ann")
    good = parse_envelope(ann.open())
    copies = [
        codec.encode(Envelope(0, tag, opening, good.sealed[:-1] + b"\0"))
        for tag in (good.tag, b"t" * 16)
        for opening in (good.opening, good.opening[:32] + bytes(60))
    ]
    envelopes = [*copies, ann.open()] if is_first else [ann.open(), *copies]
    opened, applied = replica.commit(envelopes)
    assert [record.member for record in opened.opened] == [ann.member.public]
    assert [outcome.status for _, outcome in applied.outcomes] == ["ok"]


def test_another_epochs_envelope_is_dropped(replica: Replica):
    later = ClientSession("ann", context=SessionContext(NETWORK, 1, "aegis256"))
    assert replica.dropped(later.open(), later.send(1)) == ["wrong-epoch"] * 2


def test_what_is_no_envelope_is_skipped(replica: Replica):
    ann = ClientSession("ann")
    garbage = [b"", b"garbage", ann.open()[:-1], bytes(limits.MAX_ENVELOPE_BYTES + 1)]
    assert replica.outcomes(*garbage, ann.open(), *garbage) == ["ok"]


@pytest.mark.parametrize("sequence", [-1, 1 << 63])
def test_an_impossible_number_is_refused(replica: Replica, sequence: int):
    ann = ClientSession("ann")
    event = Event(ann.member.public, sequence, BODY, bytes(64))
    tag = ann.keys.tag_of(0)
    envelope = ann.send(0, event=event, opening=ann.opening, tag=tag)
    assert replica.dropped(envelope) == ["sequence"]


def test_a_session_key_in_use_opens_no_other_session(replica: Replica):
    """Else two sessions would claim the same tags, and who opened first would have to be state."""
    ann, eve = ClientSession("ann", key=b"k" * 32), ClientSession("eve", key=b"k" * 32)
    assert replica.outcomes(ann.open(), eve.open()) == ["ok", "key-in-use"]
    assert replica.outcomes(ann.send(1)) == ["ok"]


def test_a_closed_sessions_key_is_free_again(replica: Replica):
    first = ClientSession("ann", key=b"k" * 32)
    replica.commit([first.open()])
    replica.commit([ClientSession("ann").open() for _ in range(limits.SESSIONS_PER_MEMBER)])
    again = ClientSession("ann", key=b"k" * 32)
    assert replica.outcomes(again.open(), again.send(1)) == ["ok", "ok"]
