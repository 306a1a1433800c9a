"""The draw: bounded rotation, caps, no gain by withdrawing, the same chance for everybody."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ccp2p.membership import rules
from ccp2p.membership.events import Candidacy
from ccp2p.membership.roster import Drawing, Member, Roster
from ccp2p.membership.sampling import Sampling, lot, subnets_of
from ccp2p.membership.succession import next_members
from ccp2p.model import hashing, limits
from tests.membership.world import POLICY, Actor, World, actor, actors, member

SEATS = 7


def at(one: Member, subnet: int) -> Member:
    return replace(one, addresses=(f"/ip4/10.{subnet}.0.1/tcp/1",))


def beacon_of(number: int) -> bytes:
    return hashing.digest(hashing.BEACON, number.to_bytes(8))


def drawing_roster(seats: list[Member], waiting: list[Member], beacon: bytes) -> Roster:
    """A roster whose epoch has its beacon, and in which everybody who waits registered."""
    registered = tuple(one.platform_id for one in waiting)
    return Roster(
        0,
        tuple(seats),
        tuple(waiting),
        last_rounds=(0,) * len(seats),
        policy=POLICY,
        drawing=Drawing(registered, beacon=beacon),
    )


class Drawn:
    """A roster with seats, candidates, caps and what goes wrong, from one seed."""

    def __init__(self, seed: int) -> None:
        random = self.random = Random(seed)
        self.seats = random.choice((4, 7, 10))
        held = random.randrange(self.seats - 2, self.seats + 1)
        vendors = random.choice(("a", "ab", "abcde"))
        chips = [
            at(member(actor(f"n{i}", vendor=random.choice(vendors))), random.randrange(6))
            for i in range(held + self.seats + random.randrange(12))
        ]
        self.members, self.waiting = chips[:held], chips[held:]
        self.cap = random.choice(("none", "no-fork", "f"))
        self.sampling = Sampling(self.seats, 1, random.choice((0, 0, 1, 2)))
        roster = drawing_roster(self.members, self.waiting, beacon_of(seed))
        rounds = tuple(random.choice((9, 9, 9, limits.EVICTION_ROUNDS + 99)) for _ in range(held))
        gone = tuple(one.node for one in self.members if random.random() < 0.1)
        unregistered = {one.platform_id for one in self.waiting if random.random() < 0.2}
        registered = tuple(p for p in roster.drawing.registered if p not in unregistered)
        self.registered = set(registered)
        self.roster = replace(
            roster,
            last_rounds=rounds,
            leaving=gone[: held - 1],
            drawing=replace(roster.drawing, registered=registered),
        )
        self.after = self.of(self.roster)

    def of(self, roster: Roster) -> tuple[Member, ...]:
        return next_members(roster, self.cap, self.sampling)


def most_of_a_vendor(cap: str, size: int) -> int:
    faulty = (size - 1) // 3
    return {"none": size, "f": faulty, "no-fork": size - 2 * faulty - 1}[cap]


seeds = st.integers(0, 1 << 30)


@given(seeds)
def test_at_most_a_third_goes_and_only_candidates_come(seed: int) -> None:
    drawn = Drawn(seed)
    before = {one.node for one in drawn.members}
    after = {one.node for one in drawn.after}
    forced = before & {*drawn.roster.leaving}
    assert len(before - after) <= max(len(before) // 3, len(forced))
    assert len(after) <= drawn.seats
    assert not forced & after or after == before
    came = [one for one in drawn.after if one.node not in before]
    assert all(one.platform_id in drawn.registered for one in came)
    assert len({one.platform_id for one in drawn.after}) == len(drawn.after)


@given(seeds)
def test_no_seat_is_given_up_that_nobody_takes(seed: int) -> None:
    """f is what it is without rotation, or more."""
    drawn = Drawn(seed)
    staying = [one for one in drawn.members if one.node not in drawn.roster.leaving]
    assert len(drawn.after) >= len(staying)


@given(seeds)
def test_the_draw_keeps_the_caps(seed: int) -> None:
    drawn = Drawn(seed)
    before = {one.node for one in drawn.members}
    came = [one for one in drawn.after if one.node not in before]
    if not came:
        return
    vendors = Counter(one.vendor for one in drawn.after)
    assert max(vendors.values()) <= most_of_a_vendor(drawn.cap, len(drawn.after))
    held = Counter(subnet for one in drawn.after for subnet in subnets_of(one))
    for one in came if drawn.sampling.subnet_seats else ():
        assert all(held[subnet] <= drawn.sampling.subnet_seats for subnet in subnets_of(one))


@given(seeds)
def test_silent_seats_go_first(seed: int) -> None:
    drawn = Drawn(seed)
    after = {one.node for one in drawn.after}
    lost = [one for one in drawn.members if one.node not in {*after, *drawn.roster.leaving}]
    kept_silent = [one for one in drawn.members if drawn.roster.is_silent(one.node)]
    kept_silent = [one for one in kept_silent if one.node in after]
    live_lost = [one for one in lost if not drawn.roster.is_silent(one.node)]
    assert not (kept_silent and live_lost)


@given(seeds)
def test_the_order_of_registration_does_not_matter(seed: int) -> None:
    drawn = Drawn(seed)
    mixed = list(drawn.roster.observers)
    drawn.random.shuffle(mixed)
    names = list(drawn.registered)
    again = replace(
        drawn.roster,
        observers=tuple(mixed),
        drawing=replace(drawn.roster.drawing, registered=tuple(names)),
    )
    assert drawn.of(again) == drawn.after


@given(seeds, st.integers(1, 4))
def test_who_withdraws_platforms_gains_no_seat(seed: int, few: int) -> None:
    """However a party with several candidates stays away after the draw, and whom it leaves."""
    random = Random(seed)
    seats, waiting = ([member(actor(f"{k}{i}")) for i in range(9)] for k in "nw")
    own = {one.node for one in waiting[:5]}
    roster = drawing_roster(seats, waiting, beacon_of(seed))
    withdrawn = {one.platform_id for one in random.sample(waiting[:5], few)}
    less = replace(roster, left_out=tuple((platform, 9) for platform in withdrawn))
    sampling = Sampling(9)
    counts = [
        len(own & {one.node for one in next_members(each, "none", sampling)})
        for each in (roster, less)
    ]
    assert counts[1] <= counts[0]


def test_every_platform_has_the_same_chance_to_come_and_to_go() -> None:
    """3,000 draws of 3 of 30 candidates, and of 3 of 9 seats: each within five deviations."""
    seats = [member(actor(f"n{i}")) for i in range(9)]
    waiting = [member(actor(f"w{i}")) for i in range(30)]
    draws = 3000
    came, went = Counter[bytes](), Counter[bytes]()
    for number in range(draws):
        roster = drawing_roster(seats, waiting, beacon_of(number))
        after = {one.node for one in next_members(roster, "none", Sampling(9))}
        came.update(one.node for one in waiting if one.node in after)
        went.update(one.node for one in seats if one.node not in after)
    for counts, chance, many in ((came, 3 / 30, 30), (went, 3 / 9, 9)):
        deviation = (draws * chance * (1 - chance)) ** 0.5
        assert len(counts) == many
        assert all(abs(count - draws * chance) < 5 * deviation for count in counts.values())


def test_lots_to_come_and_to_go_are_different_ones() -> None:
    assert lot(beacon_of(1), b"join", b"p") != lot(beacon_of(1), b"retire", b"p")
    assert lot(beacon_of(1), b"join", b"p") != lot(beacon_of(2), b"join", b"p")


def test_a_member_counts_in_every_subnet_that_it_names() -> None:
    two = replace(
        member(actor("n")), addresses=("/ip4/10.1.2.3/tcp/1", "/ip6/2001:db8::1/tcp/1", "odd")
    )
    assert subnets_of(two) == {"4/a01", "6/20010db8"}
    assert subnets_of(member(actor("n"))) == {""}


# In the order of the log


def mesh(more: int, sampling: Sampling | None = None) -> tuple[World, list[Actor], list[Actor]]:
    founders, others = actors(4), [actor(f"more{i}") for i in range(more)]
    world = World(founders, sampling=sampling or Sampling(4))
    world.commit(*[world.join(one) for one in others])
    return world, founders, others


def test_seats_that_were_drawn_out_follow_and_may_be_drawn_again() -> None:
    world, founders, others = mesh(3)
    world.commit(*map(world.stand, others))
    world.draw(founders)
    change = world.roster.change
    assert change is not None
    everybody = [*founders, *others]
    members = [one for one in everybody if change.index_of(one.node) is not None]
    world.commit(*map(world.prekey, members))
    world.commit(world.rekey(members[0]))
    world.commit(*map(world.ack, members))
    assert world.roster.epoch == 1
    assert (len(world.roster.members), len(world.roster.observers)) == (4, 3)
    assert {one.node for one in (*world.roster.members, *world.roster.observers)} == {
        one.node for one in everybody
    }
    assert (world.roster.candidates, world.roster.drawing) == ((), None)
    out = next(one for one in founders if world.roster.following(one.node))
    assert world.commit(world.stand(out)) == [""]


def test_only_observers_of_a_mesh_with_a_chip_of_their_own_are_candidates() -> None:
    world, founders, others = mesh(1)
    cloud = actor("cloud", platform="")
    world.commit(world.join(cloud))
    words = [world.stand(one) for one in (founders[0], cloud, actor("stranger"))]
    assert world.commit(*words) == ["no-candidate"] * 3
    assert world.commit(world.stand(others[0]), world.stand(others[0])) == ["", ""]
    assert world.roster.candidates == (others[0].node,)
    group = World(founders)
    group.commit(group.join(others[0]))
    assert group.commit(group.say(others[0], Candidacy())) == ["no-candidate"]


def test_who_waits_and_does_not_register_is_not_drawn() -> None:
    world, founders, others = mesh(3)
    world.commit(world.stand(others[2]))
    world.draw(founders)
    assert world.roster.change is not None
    came = {one.node for one in world.roster.change.members} - {one.node for one in founders}
    assert came == {others[2].node}


def test_while_there_are_seats_for_all_nobody_is_drawn() -> None:
    world, founders, _ = mesh(3, Sampling(7))
    world.freeze(founders)
    assert world.roster.change is not None
    assert len(world.roster.change.members) == 7
    assert world.roster.drawing is None


@pytest.mark.parametrize(
    ("elapsed_ms", "stands", "due"),
    [(59_999, True, False), (60_000, True, True), (60_000, False, False)],
)
def test_a_rotation_is_due_in_its_time_and_when_there_are_candidates(
    elapsed_ms: int, stands: bool, due: bool
) -> None:
    world, _, others = mesh(3, Sampling(4, 60_000))
    if stands:
        world.commit(*map(world.stand, others))
    assert rules.is_due(world.roster, "none", world.sampling, elapsed_ms) == due


def test_a_seat_that_leaves_is_replaced_once_candidates_could_register() -> None:
    world, founders, others = mesh(3, Sampling(4, 3_600_000))
    world.commit(world.leave(founders[1]), *map(world.stand, others))
    early, late = (
        rules.is_due(world.roster, "none", world.sampling, elapsed_ms)
        for elapsed_ms in (limits.REGISTRATION_MS - 1, limits.REGISTRATION_MS)
    )
    assert (early, late) == (False, True)
    world.draw(founders)
    assert world.roster.change is not None
    after = {one.node for one in world.roster.change.members}
    assert len(after) == 4
    assert after & {one.node for one in founders} == {
        one.node for one in founders if one is not founders[1]
    }, "one goes anyway: a third of four seats"


def test_candidates_on_one_chip_are_one() -> None:
    """A new key on the chip takes the place of the old one, and the list does not grow."""
    world, _, others = mesh(3)
    world.commit(*map(world.stand, others))
    for number in range(20):
        world.checkpoint()
        twin = actor(f"twin{number}", platform="more0")
        assert world.commit(world.join(twin), world.stand(twin)) == ["", ""]
        assert len(world.roster.candidates) == 3
