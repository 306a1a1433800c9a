"""Random stories: whatever members and forgers send, replicas agree, restarted or not."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.model import limits
from ccp2p.model.envelope import Event, event_id
from ccp2p.sealing.table import OpenedCommit
from tests.sealing.world import BODY, NETWORK, ClientSession, Replica, event_of

# Sessions are made once, because HPKE is randomized; some share their key on purpose.
SESSIONS = [ClientSession("ann") for _ in range(limits.SESSIONS_PER_MEMBER + 2)]
SESSIONS += [ClientSession(name) for name in ("bob", "eve")]
SESSIONS += [ClientSession(name, key=b"k" * 32) for name in ("ann", "bob", "eve", "eve")]
SESSIONS += [ClientSession("bob", invite=b"")]
STRANGER = ClientSession("stranger", invite=b"wrong")
SESSIONS += [STRANGER]
NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 5, 63, 64, 65, 66, 70])


@dataclass(frozen=True)
class Act:
    """One envelope: what is done with which session, and an event number."""

    kind: str
    session: ClientSession
    number: int

    def envelope(self) -> bytes:
        match self.kind:
            case "open":
                return self.session.open(self.number)
            case "send":
                return self.session.send(self.number)
            case "forge":
                good = event_of(self.session.member, self.number)
                event = Event(good.member, good.sequence, good.body, bytes(64))
                return self.session.send(self.number, event=event)
            case "steal":
                return self.session.send(
                    self.number, event=event_of(SESSIONS[0].member, self.number)
                )
            case _:
                return b"garbage"


KINDS = st.sampled_from(["open", "send", "send", "send", "forge", "steal", "garbage"])
ACTS = st.builds(Act, KINDS, st.sampled_from(SESSIONS), NUMBERS)
COMMITS = st.lists(st.lists(ACTS, max_size=8), max_size=8)


def visible(opened: OpenedCommit) -> tuple[object, ...]:
    return (opened.events, opened.opened, opened.closed, opened.dropped)


SHARED = st.builds(Act, st.sampled_from(["open", "send"]), st.sampled_from(SESSIONS[8:12]), NUMBERS)

INVITED = {session.member.public for session in SESSIONS if session is not STRANGER}


def identifiers(numbers: range) -> set[bytes]:
    return {event_id(NETWORK, member, number, BODY) for member in INVITED for number in numbers}


HONEST, GREETINGS = identifiers(range(71)), identifiers(range(1))


@settings(max_examples=150, deadline=None)
@given(COMMITS | st.lists(st.lists(SHARED, max_size=4), max_size=8))
def test_a_node_that_restarts_before_every_commit_sees_what_the_others_see(story):
    steady, restarted = Replica(), Replica()
    for acts in story:
        envelopes = [act.envelope() for act in acts]
        restarted.restart()
        seen, seen_again = steady.commit(envelopes), restarted.commit(envelopes)
        assert visible(seen[0]) == visible(seen_again[0])
        assert steady.machine.state_root == restarted.machine.state_root


FLOOD = st.builds(Act, st.just("open"), st.sampled_from(SESSIONS[:6]), st.sampled_from([0, 1]))


@settings(max_examples=200, deadline=None)
@given(
    COMMITS
    | st.lists(st.lists(SHARED, max_size=4), max_size=8)
    | st.lists(st.lists(FLOOD, max_size=6), max_size=8),
    st.integers(2, 8),
)
def test_a_node_that_executes_commits_in_batches_sees_what_the_others_see(story, batch):
    steady, hasty = Replica(), Replica()
    commits = [[act.envelope() for act in acts] for acts in story]
    for number, envelopes in enumerate(commits):
        if number % batch == 0:
            hasty.table.foresee([e for commit in commits[number : number + batch] for e in commit])
        seen, seen_again = steady.commit(envelopes), hasty.commit(envelopes)
        assert visible(seen[0]) == visible(seen_again[0])
        assert steady.machine.state_root == hasty.machine.state_root


@settings(max_examples=100, deadline=None)
@given(COMMITS)
def test_only_invited_signed_events_execute_each_once_and_sessions_stay_bounded(story):
    replica = Replica()
    places: dict[bytes, tuple[int, int]] = {}
    for acts in story:
        opened, applied = replica.commit([act.envelope() for act in acts])
        good = {event.identifier for event in opened.events if not event.refusal}
        assert good <= HONEST
        for _, outcome in applied.outcomes:
            if outcome.status == "ok" and outcome.event not in GREETINGS:
                place = (outcome.commit, outcome.position)
                assert places.setdefault(outcome.event, place) == place
        members = Counter(record.member for record in replica.machine.session_records())
        assert max(members.values(), default=0) <= limits.SESSIONS_PER_MEMBER
        assert len(replica.table) == members.total()


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTS, max_size=12), st.randoms())
def test_what_an_opening_earns_does_not_hang_on_where_in_the_commit_it_is(acts, random):
    """Events keep their order; openings are taken first wherever they stand among them."""
    openings = [act.envelope() for act in acts if act.kind == "open"]
    events = [act.envelope() for act in acts if act.kind != "open"]
    mixed, slots = list(events), sorted(random.randint(0, len(events)) for _ in openings)
    for slot, opening in reversed(list(zip(slots, openings, strict=True))):
        mixed.insert(slot, opening)
    first, other = Replica().commit([*openings, *events])[0], Replica().commit(mixed)[0]
    assert (first.opened, first.closed) == (other.opened, other.closed)
    assert sorted(first.dropped) == sorted(other.dropped)


def test_a_member_of_long_standing_is_greeted_in_a_new_session_and_again():
    replica, old = Replica(), ClientSession("ann")
    replica.commit([old.open()])
    for start in range(1, 200, 40):
        replica.commit([old.send(number) for number in range(start, start + 40)])
    new = ClientSession("ann")
    greeting = new.open()
    for _ in range(2):
        opened, applied = replica.commit([greeting])
        tag, outcome = applied.outcomes[0]
        assert int.from_bytes(outcome.body, "big") == 200
        assert opened.keys[tag] == new.keys
