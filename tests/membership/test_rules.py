"""Who comes in, who goes and who takes over a seat: each rule and each refusal."""

import pytest
from msgspec.structs import replace

from ccp2p.membership import rules
from ccp2p.membership.events import (
    JoinRequest,
    consent_bytes,
    parse_event,
)
from ccp2p.membership.roster import Roster
from ccp2p.membership.succession import kept_out
from ccp2p.model import codec, limits
from tests.membership.world import (
    NETWORK,
    Actor,
    World,
    accusation,
    actor,
    actors,
    evidence,
    frozen_with_joiner,
    grown,
    member,
)

FAR = limits.EVICTION_ROUNDS + 1
MINUTE = limits.PROPOSAL_INTERVAL_MS


# Joining


def test_who_joins_follows_first():
    world, seats = grown(1)
    late = actor("late")
    world.commit(world.join(late, addresses=("a",), client_addresses=("b",)))
    (observer,) = world.roster.observers
    assert (observer.node, observer.addresses, observer.client_addresses) == (
        late.node,
        ("a",),
        ("b",),
    )
    assert world.nodes == [seats[0].node]
    assert len(world.admitted) == 1


def test_a_request_that_is_ordered_again_changes_nothing():
    world, _ = grown(1)
    request = world.join(actor("late"))
    world.commit(request)
    before = world.roster
    assert world.commit(request, request) == ["", ""]
    assert world.roster == before
    assert len(world.admitted) == 1


def test_an_older_request_does_not_undo_a_newer():
    world, _ = grown(1)
    late = actor("late")
    first = world.join(late, addresses=("old",))
    world.commit(first)
    world.checkpoint()
    assert world.commit(world.join(late, addresses=("new",))) == [""]
    assert world.commit(first) == ["stale"]
    assert world.roster.observers[0].addresses == ("new",)
    assert len(world.admitted) == 1, "who follows already needs no second invite"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"anchor": b"x" * 32}, "stale"),
        ({"invite": b"wrong"}, "invite"),
        ({"evidence": b"garbage"}, "malformed"),
        ({"replaces": b"x" * 32}, "replaces"),
    ],
)
def test_a_request_is_refused(changes, code: str):
    world, _ = grown(1)
    assert world.commit(world.join(actor("late"), **changes)) == [code]
    assert world.roster.observers == ()
    assert world.admitted == []


def test_stolen_evidence_is_refused():
    world, _ = grown(1)
    good, thief = actor("good"), actor("thief")
    assert world.commit(world.join(thief, evidence=evidence(good, world.record))) == ["attestation"]


def test_evidence_goes_stale_with_its_checkpoint():
    world, _ = grown(1)
    early, request = actor("early"), world.join(actor("early"))
    world.checkpoint()
    middle = world.join(actor("middle"))
    for _ in range(limits.ANCHORS_KEPT - 1):
        world.checkpoint()
    assert world.commit(request, middle) == ["stale", ""]
    assert world.roster.following(early.node) is None
    world.checkpoint()
    assert world.commit(middle) == ["stale"]


def test_a_seat_needs_no_second_one():
    world, seats = grown(4)
    assert world.commit(world.join(seats[0])) == ["has-seat"]


def test_one_platform_has_one_vote():
    world, seats = grown(1)
    neighbour = actor("neighbour", platform=seats[0].name)
    assert world.commit(world.join(neighbour)) == ["platform"]


def test_a_platform_that_is_about_to_get_a_seat_takes_no_other_node():
    world, seats = grown(1)
    late = actor("late")
    world.commit(world.join(late))
    world.freeze(seats)
    world.commit(world.leave(late))
    world.checkpoint()
    assert world.commit(world.join(actor("again", platform="late"))) == ["platform"]


def test_who_lost_its_key_starts_again_on_the_same_chip():
    world, seats = grown(1)
    first, second = actor("first", platform="chip"), actor("second", platform="chip")
    request = world.join(first)
    world.commit(request)
    assert world.commit(world.join(second)) == ["stale"], "neither is newer"
    world.checkpoint()
    assert world.commit(world.join(second)) == [""]
    assert [one.node for one in world.roster.observers] == [second.node]
    assert world.commit(request) == ["stale"]
    world.change(seats, [*seats, second])
    assert world.nodes == [seats[0].node, second.node]


def test_without_a_hardware_id_there_is_no_seat():
    world, _ = grown(1)
    cloud = [actor("c1", platform=""), actor("c2", platform="")]
    assert world.commit(*[world.join(one) for one in cloud]) == ["", ""]
    assert not rules.wants_close(world.roster, "none")


def test_observers_without_a_hardware_id_make_room():
    world, _ = grown(1)
    limit = limits.MAX_OBSERVERS
    crowd = [member(actor(f"c{i}", platform="")) for i in range(limit)]
    world.roster = Roster(0, world.roster.members, tuple(crowd))
    assert world.commit(world.join(actor("cloud", platform=""))) == ["full"]
    assert world.commit(world.join(actor("chip"))) == [""]
    assert len(world.roster.observers) == limit
    assert world.roster.following(crowd[0].node) is None
    chips = [member(actor(f"p{i}")) for i in range(limit)]
    world.roster = Roster(0, world.roster.members, tuple(chips))
    admitted = len(world.admitted)
    assert world.commit(world.join(actor("chip"))) == ["full"]
    assert len(world.admitted) == admitted, "a refusal costs no invite"
    assert len(world.roster.encode()) < 1024 * 1024


# Leaving, expulsion, eviction


def test_who_leaves_stays_to_the_end_of_the_epoch():
    world, seats = grown(4)
    leave = world.leave(seats[0])
    assert world.commit(leave, leave) == ["", ""]
    assert world.roster.leaving == (seats[0].node,)
    world.change(seats, seats[1:])
    assert world.nodes == [one.node for one in seats[1:]]
    assert world.roster.leaving == ()
    assert world.commit(world.leave(seats[0])) == ["no-seat"]


def test_an_observer_that_left_is_not_brought_back():
    world, seats = grown(1)
    late = actor("late")
    request = world.join(late)
    world.commit(request)
    world.commit(world.leave(late))
    assert not rules.wants_close(world.roster, "none")
    assert world.commit(request) == ["left"]
    world.change(seats, seats)
    assert world.roster.observers == ()
    assert world.commit(world.join(late)) == [""]


def test_who_asks_to_leave_after_freeze_leaves_an_epoch_later():
    world, seats = grown(4)
    world.freeze(seats)
    world.commit(world.leave(seats[3]), *[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats])
    assert world.roster.epoch == 1
    assert world.roster.leaving == (seats[3].node,)
    assert rules.wants_close(world.roster, "none")


def test_the_last_node_cannot_leave():
    world, seats = grown(2)
    assert world.commit(world.leave(seats[0]), world.leave(seats[1])) == ["", "last"]
    world, seats = grown(2)
    world.commit(world.accuse(seats[0], seats[1]))
    assert world.commit(world.leave(seats[0])) == ["last"]


def test_a_committee_never_becomes_empty():
    world, seats = grown(2)
    world.commit(world.leave(seats[0]), world.accuse(seats[0], seats[1]))
    assert rules.next_members(world.roster, "none") == world.roster.members


def test_an_equivocator_is_expelled():
    world, seats = grown(4)
    evidence_of = world.accuse(seats[0], seats[3])
    assert world.commit(evidence_of, evidence_of) == ["", ""]
    assert world.roster.expelled == (seats[3].node,)
    world.change(seats[:3], seats[:3])
    assert world.nodes == [one.node for one in seats[:3]]
    assert world.commit(world.join(seats[3])) == ["expelled"]


def test_an_equivocator_is_expelled_though_the_committee_is_frozen():
    world, seats = grown(4)
    world.freeze(seats)
    world.commit(world.accuse(seats[0], seats[3]), *[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats[:3]])
    assert world.roster.epoch == 1
    assert rules.wants_close(world.roster, "none")
    world.change(seats[:3], seats[:3])
    assert seats[3].node not in world.nodes


@pytest.mark.parametrize(
    "second",
    [
        {"payload": b"1" * 32},
        {"round": 8},
        {"author": 0},
        {"epoch": 1},
        {"network": b"x" * 32},
    ],
)
def test_what_proves_nothing_expels_nobody(second):
    world, seats = grown(4)
    claim = accusation(seats[3], 3, 0, second)
    assert world.commit(world.say(seats[0], claim)) == ["accusation"]
    assert world.roster.expelled == ()


def test_only_the_accused_can_incriminate_itself():
    world, seats = grown(4)
    assert world.commit(world.accuse(seats[0], seats[3], signer=seats[0])) == ["accusation"]
    claim = accusation(seats[0], 4, 0)
    assert world.commit(world.say(seats[0], claim)) == ["accusation"]
    claim = accusation(seats[0], -1, 0)
    assert world.commit(world.say(seats[0], claim)) == ["accusation"]


def test_an_expelled_seat_has_no_heir():
    world, seats = grown(4)
    heir = actor("heir", platform=seats[3].name)
    world.commit(world.take_over(heir, seats[3]))
    world.commit(world.accuse(seats[0], seats[3]))
    assert world.commit(world.take_over(actor("next", platform="n3"), seats[3])) == ["replaces"]
    world.change(seats[:3], seats[:3])
    assert world.nodes == [one.node for one in seats[:3]]
    assert world.roster.observers == ()


@pytest.mark.parametrize(("size", "left"), [(4, 4), (5, 4), (6, 4), (7, 7), (8, 7), (3, 1)])
def test_eviction_never_lowers_f(size: int, left: int):
    world, seats = grown(size)
    world.asleep = {one.node for one in seats[-2:]}
    world.wait(FAR - 2)
    assert max(world.roster.last_rounds) == limits.EVICTION_ROUNDS
    assert not rules.wants_close(world.roster, "none")
    world.checkpoint()
    assert len(rules.next_members(world.roster, "none")) == left


def test_who_is_furthest_behind_is_evicted_first():
    world, seats = grown(5)
    world.asleep = {seats[1].node}
    world.wait(10)
    world.asleep.add(seats[0].node)
    world.wait(FAR)
    assert [one.node for one in rules.next_members(world.roster, "none")] == [
        one.node for one in (seats[0], *seats[2:])
    ]


def test_a_joiner_makes_up_for_the_evicted():
    world, seats = grown(4)
    world.asleep = {seats[1].node}
    world.wait(FAR)
    assert not rules.wants_close(world.roster, "none")
    late = actor("late")
    world.commit(world.join(late))
    members = [*seats[:1], *seats[2:], late]
    world.change([seats[0], *seats[2:]], members)
    assert world.nodes == [one.node for one in members]


def test_an_evicted_seat_returns_when_its_replacement_fails():
    world, seats = grown(4)
    world.asleep = {seats[1].node}
    world.wait(FAR)
    awake = [seats[0], *seats[2:]]
    world.commit(world.join(actor("late")))
    world.freeze(awake)
    world.commit(*[world.prekey(one) for one in awake])
    world.commit(world.rekey(seats[0]), rounds=65)
    world.commit(world.ack(seats[0]), world.ack(seats[2]))
    assert world.roster.change is not None
    world.commit(ms=limits.CHANGE_PATIENCE_MS)
    assert rules.next_members(world.roster, "none") == world.roster.members


# Replacing one's own seat


def test_a_platform_replaces_its_own_seat():
    world, seats = grown(4)
    heir = actor("heir", platform="n1")
    assert world.commit(world.take_over(heir, seats[1])) == [""]
    assert world.admitted == [], "the consent is the invite"
    members = [seats[0], heir, *seats[2:]]
    world.change(seats, members)
    assert world.nodes == [one.node for one in members], "in the place of the old seat"
    assert world.roster.members[1].replaces == b""
    late_words = [world.intent(seats[1]), world.leave(seats[1])]
    assert world.commit(*late_words) == ["no-seat", "no-seat"]
    third = actor("third", platform="n1")
    assert world.commit(world.take_over(third, heir)) == [""]
    assert world.commit(world.join(seats[1])) == ["platform"]


def test_a_consent_counts_once():
    """Back on its chip, the old node does not lose its seat to a word of long ago."""
    world, seats = grown(4)
    heir = actor("heir", platform="n1")
    old_word = parse_event(world.take_over(heir, seats[1])).body
    assert isinstance(old_word, JoinRequest)
    world.commit(world.take_over(heir, seats[1]))
    world.change(seats, [seats[0], heir, *seats[2:]])
    world.commit(world.take_over(seats[1], heir))
    world.change([seats[0], heir, *seats[2:]], seats)
    assert world.nodes == [one.node for one in seats]
    replayed = world.join(heir, replaces=seats[1].node, consent=old_word.consent)
    assert world.commit(replayed) == ["replaces"]


@pytest.mark.parametrize(
    ("heir", "consent"),
    [
        (actor("heir", platform="n1"), b"x" * 64),
        (actor("heir", platform="n1"), b""),
        (actor("heir"), None),
        (actor("heir", platform=""), None),
        (actor("heir", platform="n1", vendor="sim-b"), None),
    ],
    ids=("forged", "without consent", "other chip", "no chip", "other vendor"),
)
def test_a_seat_passes_on_by_its_own_word_and_chip(heir: Actor, consent: bytes | None):
    world, seats = grown(4)
    given = seats[1].key.sign(consent_bytes(NETWORK, 0, heir.node)) if consent is None else consent
    request = world.join(heir, replaces=seats[1].node, consent=given)
    assert world.commit(request) == ["replaces"]


def test_a_silent_seat_is_replaced_on_its_chip_without_a_word():
    world, seats = grown(4)
    world.asleep = {seats[1].node}
    world.wait(FAR)
    heir = actor("heir", platform="n1")
    assert world.commit(world.join(heir, invite=b"", replaces=seats[1].node)) == ["invite"]
    assert world.commit(world.join(heir, replaces=seats[1].node)) == [""]
    assert rules.next_members(world.roster, "none")[1].node == heir.node
    world.asleep = set()
    world.checkpoint()
    assert not rules.wants_close(world.roster, "none"), "it is back"


def test_a_silent_heir_costs_nobody_the_seat():
    world, seats = grown(5)
    heir, good = actor("heir", platform="n1"), actor("good")
    world.commit(world.take_over(heir, seats[1]), world.join(good))
    world.freeze(seats)
    awake = [seats[0], *seats[2:4], good]
    world.commit(*[world.prekey(one) for one in awake])
    world.commit(world.rekey(seats[0]), rounds=65)
    world.commit(*[world.ack(one) for one in awake])
    world.commit(ms=MINUTE)
    assert world.roster.change is None
    members = rules.next_members(world.roster, "none")
    assert [one.node for one in members] == [one.node for one in (*seats, good)]


def test_an_heir_whose_seat_went_away_waits_like_others():
    world, seats = grown(4)
    heir = actor("heir", platform="n3")
    world.commit(world.leave(seats[3]))
    world.freeze(seats)
    world.commit(world.take_over(heir, seats[3]), *[world.prekey(one) for one in seats[:3]])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats[:3]])
    assert world.roster.epoch == 1
    assert world.roster.observers[0].replaces == b""
    assert rules.next_members(world.roster, "none")[-1].node == heir.node


# Vendors and size


@pytest.mark.parametrize(
    ("cap", "seats", "joining", "after"),
    [
        ("no-fork", "abcd", "a", "abcda"),
        ("no-fork", "aabbc", "d", "aabbcd"),
        ("no-fork", "aaabbb", "c", "aaabbb"),
        ("no-fork", "aaabbb", "cd", "aaabbbcd"),
        ("no-fork", "abcd", "aaa", "abcdaa"),
        ("no-fork", "a", "b", "ab"),
        ("no-fork", "a", "a", "a"),
        ("no-fork", "ab", "c", "abc"),
        ("f", "abcd", "a", "abcd"),
        ("f", "abcd", "efg", "abcdefg"),
        ("f", "abcd", "aabc", "abcdabc"),
        ("none", "a", "aaa", "aaaa"),
    ],
)
def test_additions_keep_the_vendor_cap(cap: str, seats: str, joining: str, after: str):
    def named(vendors: str, prefix: str) -> list[Actor]:
        return [actor(f"{prefix}{i}", vendor=vendor) for i, vendor in enumerate(vendors)]

    founders, joiners = named(seats, "s"), named(joining, "j")
    world = World(founders, cap)
    assert set(world.commit(*[world.join(one) for one in joiners])) == {""}
    members = rules.next_members(world.roster, cap)
    assert "".join(one.vendor for one in members) == after
    waiting = {one.node for one in world.roster.observers} - {one.node for one in members}
    reasons = kept_out(world.roster, cap)
    assert set(reasons) == waiting
    assert all(f"the policy's cap '{cap}' allows" in words for words in reasons.values())


def test_a_removal_may_break_the_cap_and_nobody_is_added_to_it():
    founders = [actor(f"s{i}", vendor=vendor) for i, vendor in enumerate("aabbc")]
    world = World(founders, "no-fork")
    world.commit(world.leave(founders[4]))
    world.change(founders, founders[:4])
    assert len(world.nodes) == 4
    world.commit(world.join(actor("j", vendor="a")))
    assert not rules.wants_close(world.roster, "no-fork")
    world.commit(world.join(actor("k", vendor="c")))
    members = rules.next_members(world.roster, "no-fork")
    assert [one.vendor for one in members][4:] in (["a", "c"], ["c"])


def test_silence_of_one_joiner_gives_another_vendor_no_majority():
    founders = [actor(f"s{i}", vendor=vendor) for i, vendor in enumerate("aabbccd")]
    world = World(founders, "no-fork")
    joiners = [actor("j0", vendor="a"), actor("j1", vendor="d")]
    world.commit(*[world.join(one) for one in joiners])
    world.commit(world.leave(founders[5]))
    assert len(rules.next_members(world.roster, "no-fork")) == 8
    world.freeze(founders)
    awake = [*founders[:5], joiners[0]]
    world.commit(*[world.prekey(one) for one in awake])
    world.commit(world.rekey(founders[0]), rounds=65)
    world.commit(*[world.ack(one) for one in awake[1:]])
    world.commit(ms=MINUTE)
    assert world.closed is None
    assert world.roster.change is None, "three of seven seats could fork them"


def test_a_committee_has_at_most_200_seats_and_no_vendor_hides_others():
    founders = actors(limits.MAX_COMMITTEE - 1, "abcd")
    joiners = [*[actor(f"j{i}", vendor="sim-a") for i in range(3)], actor("k", vendor="sim-e")]
    for cap, last in (("none", joiners[0]), ("f", joiners[-1])):
        world = World(founders, cap)
        world.roster = replace(world.roster, observers=tuple(member(one) for one in joiners))
        members = rules.next_members(world.roster, cap)
        assert len(members) == limits.MAX_COMMITTEE
        assert members[-1].node == last.node


def test_the_roster_reads_as_it_was_written():
    world, seats, joiner = frozen_with_joiner(4)
    world.checkpoint()
    world.commit(world.ack(seats[0]), world.leave(joiner), world.accuse(seats[0], seats[1]))
    assert Roster.decode(world.roster.encode()) == world.roster
    assert codec.encode(Roster.decode(world.roster.encode())) == world.roster.encode()
