"""Each rule and each refusal, and stories of whole changes of the committee."""

import pytest

from ccp2p.membership import rules
from ccp2p.membership.events import (
    Acknowledgement,
    CloseIntent,
    JoinRequest,
    Rekey,
    consent_bytes,
    parse_event,
)
from ccp2p.membership.roster import Roster
from ccp2p.model import codec, limits
from tests.membership.world import (
    NETWORK,
    Actor,
    World,
    accusation,
    actor,
    actors,
    evidence,
    member,
)

FAR = limits.EVICTION_ROUNDS + 1
MINUTE = limits.PROPOSAL_INTERVAL_MS


def names(world: World, known: list[Actor]) -> list[str]:
    by_node = {one.node: one.name for one in known}
    return [by_node[node] for node in world.nodes]


def grown(count: int, vendors: str = "a", cap: str = "none") -> tuple[World, list[Actor]]:
    everybody = actors(count, vendors)
    return World(everybody, cap), everybody


def frozen_with_joiner(count: int) -> tuple[World, list[Actor], Actor]:
    """`count` seats that froze a committee with one more, and a proposal that all seats hold."""
    world, seats = grown(count)
    joiner = actor("late")
    world.commit(world.join(joiner))
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in (*seats, joiner)])
    world.commit(world.rekey(seats[0]))
    return world, seats, joiner


# Whole changes


def test_a_network_grows_from_one_to_ten_and_shrinks_again():
    everybody = actors(10)
    world = World(everybody[:1])
    for size, target in ((1, 2), (2, 4), (4, 10)):
        assert world.commit(*[world.join(one) for one in everybody[size:target]]) == [""] * (
            target - size
        )
        assert rules.wants_close(world.roster, "none")
        world.change(everybody[:size], everybody[:target])
        assert names(world, everybody) == [f"n{i}" for i in range(target)]
        assert not rules.wants_close(world.roster, "none")
        assert world.roster.observers == ()
    for size, target in ((10, 4), (4, 2), (2, 1)):
        world.commit(*[world.leave(one) for one in everybody[target:size]])
        world.change(everybody[:size], everybody[:target])
        assert names(world, everybody) == [f"n{i}" for i in range(target)]
    assert world.roster.epoch == 6
    assert world.roster.members[0].since_epoch == 0


def test_the_epoch_of_a_seat_is_that_of_its_first_vote():
    world, seats = grown(1)
    world.commit(world.join(actor("late")))
    world.change(seats, [*seats, actor("late")])
    assert [one.since_epoch for one in world.roster.members] == [0, 1]


def test_an_epoch_may_end_without_a_new_committee():
    world, seats = grown(4)
    world.change(seats, seats)
    assert world.closed is not None
    assert world.roster.epoch == 1
    assert world.nodes == [one.node for one in seats]


def test_a_silent_joiner_is_dropped_where_f_stays():
    world, seats = grown(4)
    joiners = [actor("good"), actor("bad")]
    world.commit(*[world.join(one) for one in joiners])
    good = [*seats[:3], joiners[0]]
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in good])
    world.commit(rounds=65)
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in good])
    assert world.closed is None, "four of six are no quorum"
    world.commit(ms=MINUTE)
    assert world.closed is not None
    assert world.nodes == [one.node for one in (*seats, joiners[0])]
    assert world.closed.change.members[-1].node == joiners[0].node
    assert [len(world.closed.proposal.sealed), len(world.closed.change.prekeys)] == [5, 5]
    assert not rules.wants_close(world.roster, "none"), "who was dropped does not come at once"
    assert world.roster.following(joiners[1].node) is not None


def test_a_change_is_void_where_f_would_fall():
    world, seats, joiner = frozen_with_joiner(3)
    world.commit(*[world.ack(one) for one in seats[:2]])
    world.commit(ms=MINUTE)
    assert world.roster.change is not None, "two of three seats: the joiner is not to blame"
    world, seats, joiner = frozen_with_joiner(6)
    world.commit(*[world.ack(one) for one in seats[:4]])
    assert world.closed is None
    world.commit(world.ack(seats[4]))
    assert world.closed is not None, "five of seven"
    assert joiner.node in world.nodes


def test_a_network_of_three_is_not_stopped_by_a_joiner_that_vanishes():
    world, seats, _ = frozen_with_joiner(1)
    world.commit(world.ack(seats[0]))
    world.commit(ms=MINUTE)
    assert world.closed is None
    assert world.roster.change is None
    assert world.roster.attempt == 1
    assert not rules.wants_close(world.roster, "none")


def test_a_joiner_that_holds_only_its_own_garbage_is_in_the_way():
    world, seats = grown(1)
    bad = actor("bad")
    world.commit(world.join(bad))
    world.freeze(seats)
    world.commit(world.prekey(seats[0]), world.prekey(bad))
    world.commit(world.rekey(bad))
    world.commit(world.ack(bad))
    assert world.commit(world.rekey(seats[0]), ms=MINUTE) == [""]
    world.commit(world.ack(seats[0], 1))
    world.commit(ms=MINUTE)
    assert world.roster.change is None
    assert rules.next_members(world.roster, "none") == world.roster.members


def test_who_was_left_out_comes_back_with_a_newer_request_three_times():
    world, seats = grown(1)
    late = actor("late")
    for attempt in range(limits.MAX_JOIN_TRIES):
        world.checkpoint()
        assert world.commit(world.join(late)) == [""]
        assert rules.wants_close(world.roster, "none"), attempt
        world.freeze(seats)
        world.commit(world.prekey(seats[0]))
        world.commit(world.rekey(seats[0]), rounds=65)
        world.commit(world.ack(seats[0]))
        world.commit(ms=MINUTE)
        assert world.roster.attempt == attempt + 1
        assert not rules.wants_close(world.roster, "none")
    world.checkpoint()
    assert world.commit(world.join(late)) == [""]
    assert not rules.wants_close(world.roster, "none"), "this epoch was held up often enough"
    again = actor("again", platform="late")
    world.checkpoint()
    world.commit(world.join(again))
    assert not rules.wants_close(world.roster, "none"), "another key on the chip is no other chip"
    other = actor("other")
    world.commit(world.join(other))
    world.change(seats, [*seats, other])
    assert world.nodes == [seats[0].node, other.node]
    assert rules.wants_close(world.roster, "none"), "a new epoch is a new beginning"


def test_garbage_first_leaves_the_next_minute_to_others():
    world, seats = grown(4)
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[3]))
    assert world.commit(world.rekey(seats[0])) == ["rekey"]
    assert world.commit(world.rekey(seats[3]), ms=MINUTE) == ["rekey"], "one a member"
    assert world.commit(world.rekey(seats[0])) == [""]
    world.commit(*[world.ack(one, 1) for one in seats[:3]])
    assert world.closed is not None
    assert world.closed.proposal.node == seats[0].node


def test_a_change_that_gets_nowhere_is_void_and_another_may_be_tried():
    """A seat leaves while another is away: f would be 0 with one of three missing."""
    world, seats = grown(4)
    awake = seats[:3]
    world.commit(world.leave(seats[2]))
    world.freeze(awake)
    world.commit(*[world.prekey(one) for one in seats[:2]])
    world.commit(world.rekey(seats[0]), rounds=65)
    world.commit(world.ack(seats[0]), world.ack(seats[1]))
    world.commit(world.rekey(seats[1]), ms=MINUTE)
    world.commit(ms=limits.CHANGE_PATIENCE_MS - 1)
    assert world.roster.change is not None
    world.commit(ms=1)
    assert world.roster.change is None
    assert world.roster.left_out == ()
    new = actor("new")
    assert world.commit(world.join(new)) == [""]
    world.change(awake, [*seats[:2], new])
    assert world.nodes == [one.node for one in (seats[0], seats[1], seats[3], new)]


def test_a_change_without_any_proposal_is_void_too():
    world, seats, late = World(actors(1)), actors(1), actor("late")
    world.commit(world.join(late))
    world.freeze(seats)
    world.commit(ms=limits.CHANGE_PATIENCE_MS, rounds=65)
    assert world.roster.change is None
    assert [platform for platform, _ in world.roster.left_out] == [late.platform]


def test_close_counts_the_next_committee():
    world, seats = grown(4)
    joiners = [actor(f"j{i}") for i in range(3)]
    world.commit(*[world.join(one) for one in joiners])
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in (*seats, *joiners)])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats])
    assert world.closed is None, "a quorum of four is none of seven"
    world.commit(world.ack(joiners[0]))
    assert world.closed is not None


def test_who_is_on_its_way_out_proposes_and_acknowledges_nothing():
    world, seats = grown(4)
    world.commit(world.leave(seats[3]))
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in seats[:3]])
    outsiders = [world.prekey(seats[3]), world.rekey(seats[3])]
    assert world.commit(*outsiders) == ["no-change"] * 2
    world.commit(world.rekey(seats[0]))
    assert world.commit(world.ack(seats[3])) == ["no-change"]


def test_what_was_said_for_a_void_change_is_nothing_for_the_next():
    world, seats, joiner = frozen_with_joiner(1)
    world.commit(world.ack(seats[0]))
    old = list(world.said)
    world.commit(ms=MINUTE)
    assert world.roster.attempt == 1
    assert world.commit(*old) == ["", "attempt", "no-change", "no-change", "no-change", "no-change"]
    assert world.roster.change is None, "an intent of before ends no epoch now"
    world.freeze(seats)
    assert world.commit(*old) == ["", "attempt", "attempt", "no-change", "attempt", "attempt"]
    world.commit(world.prekey(seats[0]))
    world.commit(world.rekey(seats[0]))
    assert world.commit(old[-1]) == ["attempt"], "an acknowledgement of another secret"
    assert joiner.node not in world.nodes


def test_events_of_another_epoch_do_not_count():
    world, seats = grown(4)
    leaving = world.leave(seats[3])
    world.change(seats, seats)
    assert world.commit(leaving) == ["wrong-epoch"]
    assert world.commit(world.say(seats[0], CloseIntent(0), epoch=2)) == ["wrong-epoch"]
    assert world.roster.leaving == ()


# FREEZE, REKEY, CLOSE one by one


def test_a_quorum_of_intents_freezes():
    world, seats = grown(4)
    outsider = actor("outsider")
    world.commit(world.join(outsider))
    codes = world.commit(world.intent(seats[0]), world.intent(seats[1]), world.intent(outsider))
    assert codes == ["", "", "no-seat"]
    world.commit(world.intent(seats[0]), world.intent(seats[0]))
    assert world.roster.change is None
    world.commit(world.intent(seats[2]))
    assert world.roster.change is not None
    assert world.roster.intents == ()
    assert not rules.wants_close(world.roster, "none")
    before = world.roster
    assert world.commit(world.intent(seats[3])) == [""]
    assert world.roster == before


def test_prekeys_count_for_64_rounds():
    world, seats = grown(4)
    world.freeze(seats)
    change = world.roster.change
    assert change is not None
    assert rules.awaits_prekeys(change, change.round + 64)
    assert not rules.awaits_prekeys(change, change.round + 65)
    assert world.commit(world.prekey(seats[0]), rounds=64) == [""]
    assert world.commit(world.prekey(seats[0])) == ["prekey"]
    assert world.commit(world.prekey(seats[1])) == ["prekey"]


def test_no_prekey_counts_beside_a_proposal():
    world, seats = grown(2)
    world.freeze(seats)
    world.commit(world.prekey(seats[0]), world.prekey(seats[1]))
    assert world.commit(world.rekey(seats[0]), world.prekey(seats[1])) == ["", "prekey"]


def test_a_proposal_waits_for_the_prekeys():
    world, seats = grown(4)
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in seats[:3]])
    assert world.commit(world.rekey(seats[0])) == ["rekey"]
    assert world.commit(world.rekey(seats[0]), rounds=64) == [""]


@pytest.mark.parametrize(
    "changes",
    [
        {"sealed": (b"s",) * 3},
        {"sealed": (b"s",) * 5},
        {"sealed": (b"s", b"s", b"s", b"")},
        {"sealed": ()},
        {"coin_anchor": bytes(32)},
        {"epoch_key": bytes(32)},
    ],
)
def test_a_proposal_seals_fresh_secrets_to_exactly_the_prekeys(changes):
    world, seats = grown(4)
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in seats])
    assert world.commit(world.rekey(seats[0], **changes)) == ["rekey"]
    assert world.commit(world.rekey(seats[0])) == [""]


def test_as_many_proposals_as_one_change_may_need():
    world, seats = grown(limits.MAX_COMMITTEE)
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in seats])
    count = 0
    while world.commit(world.rekey(seats[count]), ms=MINUTE) == [""]:
        count += 1
    assert count == limits.MAX_PROPOSALS == (limits.MAX_COMMITTEE - 1) // 3 + 1
    world.commit(*[world.ack(one, count - 1) for one in seats[:134]])
    assert world.closed is not None
    assert Roster.decode(world.roster.encode()) == world.roster


@pytest.mark.parametrize("number", [-1, 1, 2**63])
def test_an_acknowledgement_names_a_proposal(number: int):
    world, seats = grown(4)
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[0]))
    assert world.commit(world.ack(seats[0], number)) == ["ack"]


def test_acknowledgements_of_two_proposals_do_not_add_up():
    world, seats = grown(4)
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[0]))
    world.commit(world.rekey(seats[1]), ms=MINUTE)
    world.commit(world.ack(seats[0]), world.ack(seats[1]), world.ack(seats[2], 1))
    world.commit(world.ack(seats[0]), world.ack(seats[3], 1))
    assert world.closed is None
    world.commit(world.ack(seats[0], 1))
    assert world.closed is not None
    assert world.closed.proposal.node == seats[1].node


def test_without_a_change_nothing_of_one_counts():
    world, seats = grown(4)
    bodies = [Acknowledgement(0, 0), Rekey(0, b"c" * 32, b"e" * 32, (b"",) * 4)]
    for data in (world.prekey(seats[0]), *[world.say(seats[0], body) for body in bodies]):
        assert world.commit(data) == ["no-change"]


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
        world.roster = Roster(0, world.roster.members, tuple(member(one) for one in joiners))
        members = rules.next_members(world.roster, cap)
        assert len(members) == limits.MAX_COMMITTEE
        assert members[-1].node == last.node


def test_the_roster_reads_as_it_was_written():
    world, seats, joiner = frozen_with_joiner(4)
    world.checkpoint()
    world.commit(world.ack(seats[0]), world.leave(joiner), world.accuse(seats[0], seats[1]))
    assert Roster.decode(world.roster.encode()) == world.roster
    assert codec.encode(Roster.decode(world.roster.encode())) == world.roster.encode()
