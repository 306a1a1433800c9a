"""What an adopted amendment does to the committee: evictions, and a policy to satisfy."""

import pytest
from msgspec.structs import replace

from ccp2p.membership import rules
from ccp2p.membership.events import Renewal
from ccp2p.membership.roster import Amended
from ccp2p.model import hashing, limits
from tests.membership.world import (
    POLICY,
    Actor,
    World,
    actor,
    evidence,
    grown,
    names,
)

NEW = b"Q" * 32
BOTH = (POLICY, NEW)


def amended(
    world: World, *evict: Actor, policy: bytes = b"", vendor_cap: str | None = None
) -> Amended:
    """What governors adopted just before the commit that comes next."""
    nodes = tuple(one.node for one in evict)
    cap = vendor_cap or world.cap
    digest = hashing.digest(hashing.AMENDMENT, policy, *nodes, str(world.at).encode())
    return Amended(digest, world.at.time_ms, nodes, policy, cap)


def policies_of(world: World, one: Actor) -> tuple[bytes, ...]:
    place = world.roster.seated(one.node) or world.roster.following(one.node)
    assert place is not None
    return place.policies


# Evictions


def test_an_amendment_ends_the_epoch():
    world, seats = grown(4)
    assert not rules.wants_close(world.roster, "none")
    world.adopted = amended(world, policy=POLICY)
    world.commit()
    assert rules.wants_close(world.roster, "none"), "though nobody's vote changes"
    world.change(seats, seats)
    assert world.closed is not None
    assert world.closed.change.amendment
    assert world.roster.adopted is None
    assert not rules.wants_close(world.roster, "none")


def test_governors_evict_though_f_is_lower_then():
    world, seats = grown(4)
    world.adopted = amended(world, seats[1], seats[2])
    world.commit()
    world.change(seats, [seats[0], seats[3]])
    assert names(world, seats) == ["n0", "n3"]
    assert seats[1].node not in world.roster.expelled, "it may be invited again"


def test_an_evicted_observer_follows_no_longer_and_gets_no_seat():
    world, seats = grown(4)
    late = actor("late")
    world.commit(world.join(late))
    world.adopted = amended(world, late)
    world.commit()
    world.change(seats, seats)
    assert names(world, seats) == [one.name for one in seats]
    assert world.roster.following(late.node) is None


def test_governors_free_a_seat_for_its_platforms_new_node():
    world, seats = grown(4)
    heir = actor("heir", platform="n1")
    assert world.commit(world.join(heir, replaces=seats[1].node)) == ["replaces"]
    world.adopted = amended(world, seats[1])
    world.commit()
    assert world.commit(world.join(heir, replaces=seats[1].node)) == [""]
    members = [seats[0], heir, *seats[2:]]
    world.change(seats, members)
    assert names(world, [*seats, heir]) == ["n0", "heir", "n2", "n3"]


def test_governors_may_bar_the_new_node_too():
    world, seats = grown(4)
    heir = actor("heir", platform="n1")
    world.adopted = amended(world, seats[1], heir)
    world.commit(world.join(heir, replaces=seats[1].node))
    world.change(seats, [seats[0], *seats[2:]])
    assert names(world, [*seats, heir]) == ["n0", "n2", "n3"]


def test_a_removal_may_break_a_cap_and_an_addition_may_not():
    """Under "no-fork" a vendor may have 1 of 2 seats, or 2 of 3."""
    world, seats = grown(6, "aabbcc", cap="no-fork")
    world.adopted = amended(world, *seats[2:])
    late = actor("late", vendor="sim-a")
    world.commit(world.join(late))
    world.change(seats, seats[:2])
    assert names(world, [*seats, late]) == ["n0", "n1"]
    assert world.roster.following(late.node) is not None


def test_evicting_everybody_lapses():
    world, seats = grown(4)
    world.adopted = amended(world, *seats)
    world.commit()
    world.freeze(seats)
    change = world.roster.change
    assert change is not None
    assert not change.amendment
    assert [one.node for one in change.members] == world.nodes
    assert world.roster.amended is None


def test_the_caps_of_the_policy_to_come_bind_additions():
    world, seats = grown(4, "abcd")
    late = actor("late", vendor="sim-a")
    world.adopted = amended(world, policy=NEW, vendor_cap="f")
    world.commit(world.join(late))
    world.commit(*[world.renew(one) for one in seats])
    world.change(seats, seats)
    assert names(world, seats) == ["n0", "n1", "n2", "n3"], "2 of 5 are more than f"
    assert world.roster.following(late.node) is not None


# A change that was under way


def test_a_change_frozen_before_is_void_once_and_the_next_brings_it_in():
    world, seats = grown(4)
    late = actor("late")
    world.commit(world.join(late))
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in (*seats, late)])
    assert world.roster.change is not None
    world.adopted = amended(world, seats[3])
    assert world.commit(world.rekey(seats[0])) == ["no-change"]
    assert (world.roster.change, world.roster.attempt) == (None, 1)
    assert world.roster.left_out == (), "nobody is to blame for that"
    world.change(seats, [*seats[:3], late])
    assert names(world, [*seats, late]) == ["n0", "n1", "n2", "late"]


def test_an_amendment_stays_adopted_when_its_change_is_void():
    world, seats = grown(4)
    world.adopted = amended(world, seats[3])
    world.commit()
    world.freeze(seats)
    world.commit(ms=limits.CHANGE_PATIENCE_MS)
    assert (world.roster.change, world.roster.attempt) == (None, 1)
    assert rules.wants_close(world.roster, "none")
    world.change(seats, seats[:3])
    assert names(world, seats) == ["n0", "n1", "n2"]


def test_the_first_of_an_epoch_counts_and_no_later_one():
    world, seats = grown(4)
    world.adopted = amended(world, seats[3])
    world.commit()
    world.adopted = amended(world, seats[2])
    world.commit()
    assert world.roster.evicted == (seats[3].node,)


# A policy to satisfy


def test_a_policy_waits_until_all_seats_showed_that_they_satisfy_it():
    world, seats = grown(4)
    world.adopted = amended(world, policy=NEW)
    world.freeze(seats)
    assert world.roster.change is None
    for number, one in enumerate(seats):
        assert world.roster.change is None, f"{number} of 4 renewed"
        assert world.commit(world.renew(one)) == [""]
    assert world.roster.change is not None
    world.commit(*[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats])
    assert world.closed is not None
    assert world.roster.policy == NEW
    assert [one.policies for one in world.roster.members] == [(NEW,)] * 4
    assert [one.since_epoch for one in world.roster.members] == [0] * 4


def test_who_does_not_satisfy_it_in_time_goes_as_far_as_f_allows():
    world, seats = grown(5)
    world.adopted = amended(world, policy=NEW)
    world.freeze(seats)
    world.commit(*[world.renew(one) for one in seats[:3]], world.renew(seats[3], (POLICY,)))
    world.commit(ms=limits.RENEWAL_PATIENCE_MS - 300)
    assert world.roster.change is None
    world.commit(ms=300)
    change = world.roster.change
    assert change is not None
    stale = [one.name for one in seats[3:] if change.index_of(one.node) is None]
    assert (len(change.members), stale) == (4, ["n3"]), "one of two, or f would be lower"
    assert change.amendment


def test_a_seat_that_stays_without_satisfying_it_goes_once_f_allows():
    world, seats = grown(4)
    world.adopted = amended(world, policy=NEW)
    world.freeze(seats)
    world.commit(*[world.renew(one) for one in seats[:3]])
    world.commit(ms=limits.RENEWAL_PATIENCE_MS)
    world.commit(*[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats])
    assert names(world, seats) == ["n0", "n1", "n2", "n3"]
    assert policies_of(world, seats[3]) == ()
    assert not rules.wants_close(world.roster, "none")
    late = actor("late")
    anchor = world.record
    world.commit(world.join(late, evidence=evidence(late, anchor, (NEW,))))
    world.change(seats, [*seats[:3], late])
    assert names(world, [*seats, late]) == ["n0", "n1", "n2", "late"]


@pytest.mark.parametrize("count", [2, 3])
def test_a_policy_that_a_quorum_does_not_satisfy_lapses(count: int):
    """Else the network would stop: nodes talk to nobody who does not satisfy the policy."""
    world, seats = grown(4)
    world.adopted = amended(world, policy=NEW)
    world.freeze(seats)
    world.commit(*[world.renew(one) for one in seats[:count]])
    world.commit(ms=limits.RENEWAL_PATIENCE_MS)
    change = world.roster.change
    assert change is not None
    assert bool(change.amendment) == (count == 3)
    assert len(change.members) == 4
    world.commit(*[world.prekey(one) for one in seats])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats])
    assert world.roster.policy == (NEW if count == 3 else POLICY)


def test_governors_evict_who_cannot_follow_and_the_policy_comes_in():
    world, seats = grown(4)
    world.adopted = amended(world, seats[2], seats[3], policy=NEW)
    world.freeze(seats)
    world.commit(*[world.renew(one) for one in seats[:2]])
    assert world.roster.change is not None, "nobody waits for the evicted"
    world.commit(*[world.prekey(one) for one in seats[:2]])
    world.commit(world.rekey(seats[0]))
    world.commit(*[world.ack(one) for one in seats[:2]])
    assert (names(world, seats), world.roster.policy) == (["n0", "n1"], NEW)


def test_observers_renew_too_or_follow_no_longer():
    world, seats = grown(4)
    fresh, old = actor("fresh"), actor("old")
    world.commit(world.join(fresh), world.join(old))
    world.adopted = amended(world, policy=NEW)
    world.commit(*[world.renew(one) for one in (*seats, fresh)])
    world.change(seats, [*seats, fresh])
    assert names(world, [*seats, fresh]) == ["n0", "n1", "n2", "n3", "fresh"]
    assert world.roster.following(old.node) is None


# Renewals


def test_older_evidence_ordered_again_takes_nothing_back():
    world, seats = grown(4)
    world.checkpoint()
    older = world.renew(seats[0], (POLICY,))
    world.checkpoint()
    world.adopted = amended(world, policy=NEW)
    assert world.commit(world.renew(seats[0]), older) == ["", ""]
    assert policies_of(world, seats[0]) == BOTH


def test_evidence_of_the_same_checkpoint_only_adds():
    world, seats = grown(4)
    world.checkpoint()
    before = world.renew(seats[0], (POLICY,))
    world.adopted = amended(world, policy=NEW)
    world.commit(before, world.renew(seats[0]), before)
    assert policies_of(world, seats[0]) == BOTH


def test_newer_evidence_counts_alone():
    world, seats = grown(4)
    world.adopted = amended(world, policy=NEW)
    world.commit(world.renew(seats[0]))
    world.checkpoint()
    world.commit(world.renew(seats[0], (POLICY,)))
    assert policies_of(world, seats[0]) == (POLICY,)


def test_a_renewal_is_judged_and_of_the_same_platform():
    world, seats = grown(4)
    stranger = actor("stranger")
    anchor = world.record
    stolen = Renewal(anchor, evidence(seats[1], anchor, BOTH))
    moved = Actor(seats[0].name, seats[0].key, b"another chip", seats[0].vendor)
    world.adopted = amended(world, policy=NEW)
    words = world.commit(
        world.say(seats[0], stolen),
        world.say(seats[0], Renewal(anchor, evidence(moved, anchor, BOTH))),
        world.renew(seats[0], anchor=b"x" * 32),
        world.renew(stranger),
    )
    assert words == ["attestation", "platform", "stale", "no-seat"]
    assert policies_of(world, seats[0]) == (POLICY,)


def test_the_roster_keeps_all_of_it():
    world, seats = grown(4)
    world.adopted = amended(world, seats[3], policy=NEW)
    world.commit(*[world.renew(one) for one in seats])
    roster = world.roster
    assert type(roster).decode(roster.encode()) == roster
    assert replace(roster, adopted=None) != roster
