"""The beacon: fixed before anybody knows it, the same whoever opens it, and one an epoch."""

from itertools import permutations

import pytest

from ccp2p.membership import beacon
from ccp2p.membership.events import Contribution
from ccp2p.membership.roster import Drawing
from ccp2p.membership.sampling import Sampling
from tests.membership.world import Actor, World, actor, actors


def mesh(seats: int = 4, more: int = 3) -> tuple[World, list[Actor], list[Actor]]:
    """A full committee, and candidates that registered."""
    founders, others = actors(seats), [actor(f"more{i}") for i in range(more)]
    world = World(founders, sampling=Sampling(seats))
    world.commit(*[world.join(one) for one in others])
    world.commit(*[world.stand(one) for one in others])
    return world, founders, others


def drawing_of(world: World) -> Drawing:
    assert world.roster.drawing is not None
    return world.roster.drawing


def begun(seats: int = 4) -> tuple[World, list[Actor]]:
    world, founders, _ = mesh(seats)
    world.freeze(founders)
    assert world.roster.change is None, "the draw comes first"
    return world, founders


def dealt(seats: int = 4, spoilt: int | None = None) -> tuple[World, list[Actor]]:
    """f+1 contributions, the first with a share off the curve if told so, and all hold them."""
    world, founders = begun(seats)
    dealers = founders[: beacon.threshold_of(seats)]
    world.commit(world.contribute(dealers[0], spoilt), *map(world.contribute, dealers[1:]))
    world.commit(*[world.hold(one, *range(len(dealers))) for one in founders])
    return world, founders


def test_a_draw_freezes_a_committee_by_the_beacon() -> None:
    world, founders, others = mesh()
    world.draw(founders)
    change = world.roster.change
    assert change is not None
    assert len(drawing_of(world).beacon) == 32
    frozen = {one.node for one in change.members}
    assert len(frozen) == 4
    assert len(frozen & {one.node for one in others}) == 1, "a third of four seats"
    assert drawing_of(world).dealt == (), "what is opened is not kept"


@pytest.mark.parametrize("seats", [4, 7])
def test_it_is_the_same_whoever_opens_first(seats: int) -> None:
    found = set()
    for order in list(permutations(range(4)))[::5]:
        world, founders = dealt(seats)
        for place in order:
            if world.roster.beacon:
                break
            world.commit(world.open(founders[place]))
        found.add(world.roster.beacon)
    assert len(found) == 1
    assert found != {b""}


@pytest.mark.parametrize("seats", [4, 7])
def test_f_shares_are_too_few_and_one_more_is_enough(seats: int) -> None:
    world, founders = dealt(seats)
    few = beacon.threshold_of(seats) - 1
    for _ in range(2):
        world.commit(*[world.open(one) for one in founders[:few]])
        assert not world.roster.beacon
    world.commit(world.open(founders[-1]))
    assert world.roster.beacon


def test_who_deals_badly_changes_nothing_by_opening_or_not() -> None:
    """With a share off the curve the contribution is worth nothing, whoever opens it."""
    found = set()
    for openers in permutations(range(4), 2):
        world, founders = dealt(spoilt=2)
        world.commit(*[world.open(founders[place]) for place in openers])
        found.add(world.roster.beacon)
    assert len(found) == 1
    assert found != {b""}
    honest, seats = dealt()
    honest.commit(*map(honest.open, seats))
    assert honest.roster.beacon not in found


def test_what_fewer_than_a_quorum_holds_does_not_count() -> None:
    world, founders = begun()
    world.commit(*map(world.contribute, founders))
    world.commit(*[world.hold(one, 0, 1, 2, 3) for one in founders[:2]])
    world.commit(world.hold(founders[0], 0, 1, 2, 3))
    assert drawing_of(world).counted == ()
    world.commit(world.hold(founders[2], 2))
    assert drawing_of(world).counted == (), "one is not f+1"
    world.commit(world.hold(founders[3], 1))
    assert drawing_of(world).counted == (1, 2)


def test_nothing_is_opened_before_it_is_fixed_what_counts_nor_dealt_after() -> None:
    world, founders = begun()
    world.commit(*map(world.contribute, founders[:2]))
    assert world.commit(world.open(founders[0])) == ["beacon"]
    world.commit(*[world.hold(one, 0, 1) for one in founders])
    assert world.commit(world.contribute(founders[2])) == ["beacon"]
    assert world.commit(world.hold(founders[2], 0)) == [""]
    assert drawing_of(world).counted == (0, 1)


def test_a_seat_contributes_once_and_nobody_else_does() -> None:
    world, founders = begun()
    stranger = actor("more0")
    assert world.commit(world.contribute(founders[0])) == [""]
    assert world.commit(world.contribute(founders[0], spoilt=1)) == ["beacon"]
    assert world.commit(world.contribute(stranger)) == ["no-drawing"]
    assert world.commit(world.hold(stranger, 0)) == ["no-drawing"]
    assert world.commit(world.hold(founders[1], 1), world.hold(founders[1], -1)) == ["beacon"] * 2
    short = Contribution((b"c" * 32,) * 3, (b"s",) * 3)
    assert world.commit(world.say(founders[1], short)) == ["beacon"]


def test_shares_that_were_not_dealt_are_refused() -> None:
    world, founders = dealt()
    honest = world.open(founders[0])
    forged = world.open(founders[0], shares=(b"f" * 32, b""))
    assert world.commit(forged, world.open(founders[0], shares=(b"",))) == ["beacon", "beacon"]
    swapped = world.open(founders[1], shares=drawing_of(world).dealt[0].sealed[:2])
    assert world.commit(swapped) == ["beacon"]
    assert world.commit(honest) == [""]


def test_another_dealers_contribution_cannot_be_passed_on() -> None:
    """Its hashes name their dealer: the shares do not fit them under another name."""
    world, founders = begun()
    world.commit(world.contribute(founders[0]))
    first = drawing_of(world).dealt[0]
    world.commit(world.say(founders[1], Contribution(first.commitments, first.sealed)))
    world.commit(*[world.hold(one, 0, 1) for one in founders])
    assert world.commit(world.open(founders[2])) == ["beacon"]


def test_nothing_is_drawn_where_all_have_seats_or_nobody_asked() -> None:
    world, founders, _ = mesh(more=0)
    assert world.commit(world.contribute(founders[0])) == ["no-drawing"]
    world.freeze(founders)
    assert world.roster.drawing is None
    assert world.roster.change is not None


def test_one_beacon_an_epoch_whatever_becomes_of_the_change() -> None:
    """Who let the change fail waits for nothing: the lot stays, and the next by it moves up."""
    world, founders, others = mesh()
    world.draw(founders)
    first, change = world.roster.beacon, world.roster.change
    assert change is not None
    drawn = next(one for one in others if change.index_of(one.node) is not None)
    members = [one for one in founders if change.index_of(one.node) is not None]
    world.commit(*[world.prekey(one) for one in (*members, drawn)])
    world.commit(world.rekey(members[0]))
    world.commit(*[world.ack(one) for one in members[:2]], ms=300_000)
    assert world.roster.change is None, "void"
    assert world.commit(*map(world.contribute, founders)) == ["no-drawing"] * 4
    world.freeze(founders)
    again = world.roster.change
    assert again is not None
    assert world.roster.beacon == first
    assert again.index_of(drawn.node) is None
    retired = {one.node for one in founders} - {one.node for one in change.members}
    assert not retired & {one.node for one in again.members}, "the same seat goes"


def test_registration_ends_before_anything_is_dealt() -> None:
    world, founders = begun()
    late = actor("late")
    assert world.commit(world.join(late)) == [""]
    assert world.commit(world.stand(late)) == ["no-candidate"]
    world.draw(founders)
    assert world.roster.change is not None
    assert world.roster.change.index_of(late.node) is None


def test_every_contribution_that_counts_turns_the_beacon() -> None:
    found = set()
    for salted in ((), (0,), (1,), (0, 1)):
        world, founders = begun()
        salts = [b"other" if number in salted else b"" for number in range(2)]
        pairs = zip(founders, salts, strict=False)
        world.commit(*[world.contribute(one, salt=salt) for one, salt in pairs])
        world.commit(*[world.hold(one, 0, 1) for one in founders])
        world.commit(*map(world.open, founders))
        found.add(world.roster.beacon)
    assert len(found) == 4
