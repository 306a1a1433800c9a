"""Exactly once and in order, against a model that keeps everything for ever."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.execution.apps.kv_protocol import Put, Request
from ccp2p.model import codec, limits
from ccp2p.model.outcome import MemberEvent, Outcome
from tests.execution.ledger import Ledger, event, member

# Offsets from a member's last number, with every edge of the windows.
OFFSETS = st.one_of(
    st.integers(-3, 4), st.sampled_from([-65, -64, -63, 1, 1, 1, 2, 63, 64, 65, 1 << 40])
)
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), OFFSETS, st.integers(0, 2), st.booleans()), max_size=60
)


def put(author: str, sequence: int, variant: int, tag: bytes = b"") -> MemberEvent:
    body = codec.encode(Request(Put(author.encode(), b"%d/%d" % (sequence, variant))))
    return event(author, sequence, body, tag=tag)


class Model:
    """The rules of the design, without windows on memory."""

    def __init__(self) -> None:
        self.executed: dict[str, list[bytes]] = {"a": [], "b": []}
        self.held: dict[str, dict[int, MemberEvent]] = {"a": {}, "b": {}}
        self.greeted: set[str] = set()

    def last(self, author: str) -> int:
        return len(self.executed[author])

    def take(self, author: str, sent: MemberEvent) -> list[tuple[bytes, bytes, str]]:
        """(tag, event id, status) of every answer that follows."""
        done, held, number = self.executed[author], self.held[author], sent.sequence
        if number == 0:
            self.greeted.add(author)
            return [(sent.tag, sent.identifier, "ok")]
        if number <= len(done):
            if number < 1 or number <= len(done) - 64:
                return [(sent.tag, sent.identifier, "used")]
            status = "ok" if done[number - 1] == sent.identifier else "conflict"
            return [(sent.tag, sent.identifier, status)]
        if number > len(done) + 64:
            return [(sent.tag, sent.identifier, "denied")]
        if number > len(done) + 1:
            if number in held and held[number].identifier != sent.identifier:
                return [(sent.tag, sent.identifier, "conflict")]
            held[number] = sent
            return []
        answers = []
        held[number] = sent
        while len(done) + 1 in held:
            turn = held.pop(len(done) + 1)
            done.append(turn.identifier)
            answers.append((turn.tag, turn.identifier, "ok"))
        return answers


def play(steps) -> tuple[list[MemberEvent], list[tuple[bytes, bytes, str]], Model]:
    model, events, answers = Model(), [], []
    for number, (author, offset, variant, burst) in enumerate(steps):
        first = model.last(author) + offset
        for sequence in range(first, first + (70 if burst else 1)):
            tag = b"%d/%d" % (number, sequence)
            events.append(put(author, max(0, sequence), variant, tag))
            answers += model.take(author, events[-1])
    return events, answers, model


def brief(outcomes: list[tuple[bytes, Outcome]]) -> list[tuple[bytes, bytes, str]]:
    return [(tag, outcome.event, outcome.status) for tag, outcome in outcomes]


@given(STEPS, st.lists(st.integers(0, 50), max_size=10), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_order_of_events_in_any_commits_gives_what_the_rules_say(steps, cuts, restarts):
    events, expected, model = play(steps)
    ledger, outcomes = Ledger("kv"), []
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for start, end in pairwise(edges):
        outcomes += ledger.apply(events[start:end]).outcomes
        if restarts:
            ledger.restart()
    assert brief(outcomes) == expected
    for author in "ab":
        known = model.executed[author] or model.held[author] or author in model.greeted
        last = ledger.machine.last_of(member(author))
        assert last == (model.last(author) if known else None)


def test_number_0_makes_a_member_known_and_tells_its_last_number():
    ledger = Ledger("kv")
    applied = ledger.apply([put("a", 0, 0)])
    assert [(o.status, o.body) for _, o in applied.outcomes] == [("ok", bytes(8))]
    assert applied.advanced == [(member("a"), 0)]
    assert ledger.machine.last_of(member("a")) == 0
    ledger.apply([put("a", 1, 0), put("a", 2, 0)])
    (answer,) = ledger.apply([put("a", 0, 0, tag=b"another session")]).outcomes
    assert int.from_bytes(answer[1].body, "big") == 2
    assert ledger.machine.last_of(member("a")) == 2


def test_a_repeated_event_gets_the_very_outcome_of_its_execution():
    ledger = Ledger("kv")
    first = ledger.apply([put("a", 1, 0)]).outcomes[0][1]
    ledger.apply([put("a", n, 0) for n in range(2, 65)])
    (answer,) = ledger.apply([put("a", 1, 0, tag=b"another session")]).outcomes
    assert answer == (b"another session", first)
    assert (first.commit, first.position, first.status) == (1, 0, "ok")
    ledger.apply([put("a", 65, 0)])
    assert ledger.apply([put("a", 1, 0)]).outcomes[0][1].status == "used"


def test_positions_count_the_outcomes_of_a_commit():
    ledger = Ledger("kv")
    refused = event("b", 1, b"", refusal="not-invited")
    outcomes = ledger.apply([put("a", 2, 0), refused, put("a", 1, 0), put("a", 1, 0)]).outcomes
    assert [(o.commit, o.position) for _, o in outcomes] == [(1, 0), (1, 1), (1, 2), (1, 1)]
    assert [o.body for _, o in outcomes] == [b"not-invited", b"", b"", b""]


def test_a_held_event_is_answered_under_its_newest_tag():
    ledger = Ledger("kv")
    ledger.apply([put("a", 2, 0, tag=b"old session")])
    assert ledger.apply([put("a", 2, 0, tag=b"new session")]).outcomes == []
    outcomes = ledger.apply([put("a", 1, 0, tag=b"first")]).outcomes
    assert [tag for tag, _ in outcomes] == [b"first", b"new session"]


def test_refused_events_leave_no_trace():
    ledger = Ledger("kv")
    ledger.apply([put("a", 1, 0)])
    root, disk = ledger.machine.state_root, dict(ledger.disk)
    refused = [
        event("a", 2, b"x", refusal="bad-signature"),
        event("b", 1, b"x", refusal="not-invited"),
        put("b", 65, 0),
        put("b", -1, 0),
        put("a", 1, 1),
        put("a", 66, 0),
    ]
    applied = ledger.apply(refused)
    statuses = [(outcome.status, outcome.body) for _, outcome in applied.outcomes]
    assert statuses == [
        ("denied", b"bad-signature"),
        ("denied", b"not-invited"),
        ("denied", b"too-far"),
        ("used", b""),
        ("conflict", b""),
        ("denied", b"too-far"),
    ]
    assert (applied.buckets, applied.advanced, applied.state_root) == ({}, [], root)
    assert ledger.disk == disk
    assert ledger.machine.last_of(member("b")) is None


def test_held_bytes_are_bounded_and_freed_when_their_turn_comes():
    ledger = Ledger("kv")
    size = limits.MAX_HELD_BYTES // 5 + 1
    early, later = (
        [event("a", n, b"x" * size) for n in numbers] for numbers in ((2, 3, 4, 5, 7), range(7, 11))
    )
    turn = event("a", 1, b"x")
    outcomes = ledger.apply([*early, turn, *later, event("a", 11, b"x" * size)]).outcomes
    assert [(o.status, o.body) for _, o in outcomes if o.status == "denied"] == [
        ("denied", b"held-full")
    ] * 2
    assert ledger.machine.last_of(member("a")) == 5
    assert len(ledger.apply([event("a", 6, b"x")]).outcomes) == 5
    assert ledger.machine.last_of(member("a")) == 10


def test_held_events_die_with_their_epoch():
    ledger = Ledger("kv")
    ledger.apply([put("a", 1, 0), put("a", 3, 0)])
    ledger.begin_epoch(b"t" * 32)
    assert len(ledger.apply([put("a", 2, 0)]).outcomes) == 1
    assert ledger.machine.last_of(member("a")) == 2
    assert ledger.apply([put("a", 3, 1)]).outcomes[0][1].status == "ok"
    assert ledger.apply([put("a", 1, 0)]).outcomes[0][1].status == "ok", "outcomes survive"


def test_advanced_names_each_changed_member_with_its_last_number():
    ledger = Ledger("kv")
    applied = ledger.apply([put("a", 1, 0), put("b", 2, 0), put("a", 2, 0), put("a", 1, 0)])
    assert applied.advanced == [(member("a"), 2), (member("b"), 0)]
    assert ledger.apply([put("a", 1, 0)]).advanced == []
