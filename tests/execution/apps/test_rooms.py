from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.execution.apps.rooms_protocol import (
    Admit,
    Create,
    Join,
    Joined,
    Members,
    Message,
    Messages,
    Pending,
    People,
    Person,
    Post,
    Posted,
    Query,
    Read,
    Request,
    Room,
    RoomList,
    Rooms,
)
from ccp2p.model import codec, limits
from ccp2p.model.errors import MemberFault
from ccp2p.model.outcome import Outcome
from tests.execution.ledger import Ledger, event, member

REPLIES = {Rooms: RoomList, Read: Messages, Members: People, Pending: People}


class House(Ledger):
    """A ledger with two rooms of Ann's: `hall` is open, `study` closed."""

    def __init__(self, **settings) -> None:
        super().__init__("rooms", **settings)
        for room, closed in (("hall", False), ("study", True)):
            assert self.say("ann", Create(room, closed, "Ann")) == Joined("owner")

    def try_(self, author: str, operation) -> Outcome:
        return self.do(author, Request(operation))

    def say(self, author: str, operation):
        """The typed answer of an operation that must succeed."""
        outcome = self.try_(author, operation)
        assert outcome.status == "ok", outcome.body
        if isinstance(operation, Admit):
            return outcome.body
        return codec.decode(outcome.body, Posted if isinstance(operation, Post) else Joined, 1024)

    def refusal(self, author: str, operation) -> str:
        outcome = self.try_(author, operation)
        assert outcome.status == "rejected"
        return outcome.body.decode()

    def ask(self, author: str, question):
        reply = self.machine.query(member(author), codec.encode(Query(question)))
        assert len(reply) <= limits.MAX_QUERY_REPLY_BYTES
        return codec.decode(reply, REPLIES[type(question)], 1 << 20)

    def texts(self, author: str, room: str) -> list[str]:
        return [message.text for message in self.ask(author, Read(room)).messages]

    def denied(self, author: str, question) -> str:
        return self.query_fault(author, codec.encode(Query(question)))


@pytest.fixture
def house() -> House:
    return House()


def test_members_of_a_room_read_what_is_posted_in_order(house: House):
    assert house.say("bob", Join("hall", "Bob")) == Joined("joined")
    assert house.say("bob", Post("hall", "hello")) == Posted(0)
    assert house.say("ann", Post("hall", "")) == Posted(1)
    assert house.say("ann", Post("study", "alone")) == Posted(0)
    expected = (
        Message(0, member("bob"), "Bob", "hello", 4000),
        Message(1, member("ann"), "Ann", "", 5000),
    )
    for reader in ("ann", "bob"):
        assert house.ask(reader, Read("hall")) == Messages(expected, 2, 2)
    assert house.ask("bob", Read("hall", 1)) == Messages(expected[1:], 2, 2)
    assert house.ask("bob", Read("hall", 0, 1)) == Messages(expected[:1], 1, 2)
    assert house.ask("bob", Read("hall", 99)) == Messages((), 2, 2)


def test_strangers_neither_post_nor_read_nor_see_who_is_there(house: House):
    assert house.refusal("bob", Post("hall", "hello")) == "not-joined"
    assert house.refusal("bob", Post("nowhere", "hello")) == "no-such-room"
    assert house.denied("bob", Read("hall")) == "not-joined"
    assert house.denied("bob", Members("hall")) == "not-joined"
    assert house.denied("bob", Read("nowhere")) == "no-such-room"
    assert house.texts("ann", "hall") == []


def test_into_a_closed_room_the_owner_admits(house: House):
    assert house.say("bob", Join("study", "Bob")) == Joined("pending")
    assert house.refusal("bob", Post("study", "let me in")) == "not-joined"
    assert house.denied("bob", Read("study")) == "not-joined"
    assert house.say("bob", Join("study", "Bob")) == Joined("pending")
    waiting = Person(member("bob"), "Bob", "pending")
    assert house.ask("ann", Pending("study")).people == (waiting,)
    assert house.ask("ann", Members("study")).people == (Person(member("ann"), "Ann", "owner"),)
    assert house.denied("bob", Pending("study")) == "not-owner"
    assert house.refusal("bob", Admit("study", member("bob"))) == "not-owner"
    assert house.refusal("ann", Admit("study", member("eve"))) == "not-pending"
    for _ in range(2):
        assert house.say("ann", Admit("study", member("bob"))) == b""
        assert house.ask("ann", Pending("study")).people == ()
    assert house.say("bob", Join("study", "Bob")) == Joined("joined")
    assert house.say("bob", Post("study", "thanks")) == Posted(0)
    assert [each.standing for each in house.ask("bob", Members("study")).people] == [
        "owner",
        "joined",
    ]


def test_the_owner_stays_owner_when_admitting_itself(house: House):
    house.say("ann", Admit("study", member("ann")))
    assert house.say("ann", Join("study", "Ann")) == Joined("owner")


def test_a_name_belongs_to_one_member_of_a_room_case_counts(house: House):
    assert house.refusal("bob", Join("hall", "Ann")) == "name-taken"
    assert house.say("bob", Join("hall", "ann")) == Joined("joined")
    assert house.say("bob", Join("hall", "ann")) == Joined("joined")
    assert house.refusal("bob", Join("hall", "Bob")) == "already-joined"
    house.say("eve", Join("study", "Eve"))
    assert house.refusal("bob", Join("study", "Eve")) == "name-taken", "a request holds its name"
    assert house.say("eve", Join("hall", "Eve")) == Joined("joined")
    assert house.refusal("bob", Join("nowhere", "Bob")) == "no-such-room"


def test_a_room_is_made_once(house: House):
    assert house.refusal("bob", Create("hall", True, "Bob")) == "room-exists"
    assert house.say("bob", Create("Hall", False, "Ann")) == Joined("owner")
    assert house.ask("bob", Rooms()).rooms[-1] == Room("Hall", False, "owner", 0)


def test_closed_rooms_are_listed_only_to_those_who_know_them(house: House):
    house.say("ann", Post("hall", "one"))
    hall, study = Room("hall", False, "owner", 1), Room("study", True, "owner", 0)
    assert house.ask("ann", Rooms()) == RoomList((hall, study), 2, 2)
    assert house.ask("ann", Rooms(1)) == RoomList((study,), 2, 2)
    assert house.ask("ann", Rooms(0, 1)) == RoomList((hall,), 1, 2)
    assert house.ask("bob", Rooms()).rooms == (Room("hall", False, "none", 1),)
    house.say("bob", Join("study", "Bob"))
    assert house.ask("bob", Rooms()).rooms[1] == Room("study", True, "pending", 0)


def test_a_message_has_a_longest_length_in_utf8(house: House):
    assert house.say("ann", Post("hall", "é" * (limits.MAX_TEXT_BYTES // 2))) == Posted(0)
    too_long = "é" * (limits.MAX_TEXT_BYTES // 2) + "x"
    assert house.refusal("ann", Post("hall", too_long)) == "text-oversized"
    assert len(house.texts("ann", "hall")) == 1


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_names_have_1_to_64_characters(house: House, name: str):
    for operation in (Create(name, False, "Ann"), Create("r", False, name), Join("hall", name)):
        assert house.refusal("ann", operation) == "malformed"


def test_names_of_64_wide_characters_are_fine(house: House):
    wide = "𝄞" * 64
    assert house.say("ann", Create(wide, False, wide)) == Joined("owner")
    assert house.say("ann", Post(wide, "𝄞")) == Posted(0)
    assert house.ask("ann", Read(wide)).messages[0].name == wide


def test_a_long_room_is_read_in_replies_of_bounded_size(house: House):
    texts = [str(n).ljust(limits.MAX_TEXT_BYTES, ".") for n in range(20)]
    house.apply([house.next("ann", Request(Post("hall", text))) for text in texts])
    read, position, replies = [], 0, 0
    while position < 20:
        reply = house.ask("ann", Read("hall", position, 1000))
        assert reply.messages, "there must be progress"
        read += [message.text for message in reply.messages]
        position, replies = reply.next, replies + 1
    assert read == texts
    assert replies > 2


def test_many_members_with_long_names_are_listed_in_bounded_replies():
    house = House()
    count = limits.MAX_QUERY_ITEMS + 20
    joins = [house.next(f"m{n}", Request(Join("hall", f"{n:𝄞>64}"))) for n in range(count)]
    assert {o.status for _, o in house.apply(joins).outcomes} == {"ok"}
    first = house.ask("ann", Members("hall", 0, 10_000))
    assert (len(first.people), first.next) == (limits.MAX_QUERY_ITEMS, limits.MAX_QUERY_ITEMS)
    rest = house.ask("ann", Members("hall", first.next))
    assert (rest.next, rest.end) == (count + 1, count + 1)
    assert len(first.people) + len(rest.people) == count + 1


def test_everything_survives_a_restart_and_an_epoch():
    house = House(cache_bytes=0)
    house.say("bob", Join("hall", "Bob"))
    house.say("bob", Post("hall", "before"))
    house.restart()
    house.begin_epoch(b"t" * 32)
    assert house.say("bob", Post("hall", "after")) == Posted(1)
    house.restart()
    assert house.texts("ann", "hall") == ["before", "after"]


OPERATIONS = st.one_of(
    st.builds(Create, st.sampled_from(["r", "s"]), st.booleans(), st.sampled_from("AB")),
    st.builds(Join, st.sampled_from(["r", "s", "t"]), st.sampled_from("ABC")),
    st.builds(Admit, st.sampled_from(["r", "s"]), st.sampled_from("abc").map(member)),
    st.builds(Post, st.sampled_from(["r", "s"]), st.text(max_size=3)),
)
STORY = st.lists(st.tuples(st.sampled_from("abc"), OPERATIONS), max_size=40)


@given(STORY, st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_same_order_gives_the_same_rooms_however_it_is_cut_into_commits(story, cuts):
    whole, cut = Ledger("rooms"), Ledger("rooms", cache_bytes=0)
    events = [whole.next(author, Request(operation)) for author, operation in story]
    expected = whole.apply(events).outcomes
    edges = [0, *sorted(min(each, len(events)) for each in cuts), len(events)]
    found = [
        outcome
        for start, end in pairwise(edges)
        for outcome in cut.apply(events[start:end]).outcomes
    ]
    assert [(tag, o.status, o.body) for tag, o in found] == [
        (tag, o.status, o.body) for tag, o in expected
    ]
    for author in "abc":
        for question in (Rooms(), Read("r"), Members("r"), Pending("s")):
            assert _timeless(whole, author, question) == _timeless(cut, author, question)


def _timeless(ledger: Ledger, author: str, question) -> object:
    """The reply to a question, or the code of its refusal, without ledger times."""
    try:
        reply = ledger.machine.query(member(author), codec.encode(Query(question)))
    except MemberFault as fault:
        return fault.code
    decoded = codec.decode(reply, REPLIES[type(question)], 1 << 20)
    if isinstance(decoded, Messages):
        return [(m.position, m.member, m.name, m.text) for m in decoded.messages]
    return decoded


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_outcome_or_a_members_fault(data: bytes):
    ledger = Ledger("rooms")
    ((_, outcome),) = ledger.apply([event("a", 1, data)]).outcomes
    assert (outcome.status, outcome.body) == ("rejected", b"malformed")
    assert ledger.query_fault("a", data) == "malformed"


ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.text(), st.binary()
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(["create", "join", "admit", "post", "rooms", "read", "members"]), ANYTHING)
@settings(max_examples=200, deadline=None)
def test_nearly_right_requests_never_reach_a_mistake(tag: str, rest: object):
    house = House()
    fields = rest if isinstance(rest, list) else [rest]
    for body in (codec.encode([[tag, *fields]]), codec.encode([[tag, "hall", *fields]])):
        assert house.apply([event("eve", 1, body)]).outcomes[0][1].body != b"app-mistake"
        assert house.query_fault("ann", body) != "app-mistake"
