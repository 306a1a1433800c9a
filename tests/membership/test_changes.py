"""FREEZE, REKEY and CLOSE: stories of whole changes of the committee, and what does not count."""

import pytest

from ccp2p.membership import rules
from ccp2p.membership.events import (
    Acknowledgement,
    CloseIntent,
    Rekey,
)
from ccp2p.membership.roster import Roster
from ccp2p.model import limits
from tests.membership.world import (
    World,
    actor,
    actors,
    frozen_with_joiner,
    grown,
    names,
)

FAR = limits.EVICTION_ROUNDS + 1
MINUTE = limits.PROPOSAL_INTERVAL_MS


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
    assert world.closed is None, "five of seven, and the joiner is not among them"
    world.commit(ms=MINUTE)
    assert world.closed is None
    assert world.roster.change is None, "six bear one fault, and seven two"
    assert [platform for platform, _ in world.roster.left_out] == [joiner.platform]


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
    assert world.closed is None, "a quorum, but two joiners are not heard of"
    world.commit(*[world.ack(one) for one in joiners[1:]])
    assert world.closed is not None


def test_close_waits_for_joiners_but_not_for_seats():
    world, seats, joiner = frozen_with_joiner(4)
    world.commit(*[world.ack(one) for one in seats])
    assert world.closed is None
    world.commit(world.ack(joiner))
    assert world.nodes == [one.node for one in (*seats, joiner)]
    world, seats, joiner = frozen_with_joiner(4)
    world.commit(*[world.ack(one) for one in (*seats[:3], joiner)])
    assert world.nodes == [one.node for one in (*seats, joiner)]


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


def test_proposals_wait_64_rounds_for_prekeys():
    world, seats = grown(4)
    world.freeze(seats)
    change = world.roster.change
    assert change is not None
    assert rules.awaits_prekeys(change, change.round + 64)
    assert not rules.awaits_prekeys(change, change.round + 65)


def test_a_prekey_counts_until_close_and_once():
    world, seats = grown(4)
    world.freeze(seats)
    assert world.commit(world.prekey(seats[0]), rounds=65) == [""]
    assert world.commit(world.prekey(seats[0])) == ["prekey"]
    assert world.commit(world.rekey(seats[0]), world.prekey(seats[1])) == ["", ""]
    assert world.roster.change is not None
    assert [bool(key) for key in world.roster.change.prekeys] == [True, True, False, False]


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
