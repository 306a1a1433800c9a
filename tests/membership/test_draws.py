"""Random histories of draws keep every invariant, and catch every wrong rule that is known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from ccp2p.membership import beacon, rules, sampling, sharing, succession
from ccp2p.membership.roster import Drawing, Member, Roster
from tests.membership.draws import violation
from tests.membership.mutations import Mutation, apply

SEEDS = 20
SEEDS_NEEDED = 60  # the hardest, `draws_given_up`, shows at seed 56


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_draw_breaks_nothing(seed: int) -> None:
    assert violation(seed) is None


def held_by_few() -> list[Mutation]:
    """A contribution counts once anybody holds it."""
    return [(beacon, "quorum_of", lambda _size: 1)]


def one_dealer() -> list[Mutation]:
    """One contribution makes a beacon: a hostile seat's may be the first."""

    def fixed(drawing: Drawing, size: int) -> Drawing:
        held = [n for n, one in enumerate(drawing.dealt) if len(one.holders) >= size - 1]
        return replace(drawing, counted=tuple(held[:1]))

    return [(beacon, "_fixed", fixed)]


def unchecked_polynomials() -> list[Mutation]:
    """Whatever f+1 shares give is the secret: who opens decides which."""

    def recover(_context: bytes, _commitments: Sequence[bytes], shares: Mapping[int, bytes]) -> int:
        points = [(place + 1, int.from_bytes(share)) for place, share in sorted(shares.items())]
        return sharing._interpolate(points, (0,))[0]

    return [(sharing, "recover", recover)]


def second_beacons() -> list[Mutation]:
    """A change that is void takes the beacon with it: silence buys another draw."""
    honest = rules._void

    def void(*arguments: Any) -> Roster:
        return replace(honest(*arguments), drawing=None)

    return [(rules, "_void", void)]


def late_candidates() -> list[Mutation]:
    """Who registers while the beacon is made may be drawn by it."""

    def stand(roster: Roster, node: bytes, _means: Any) -> Roster:
        drawing, own = roster.drawing, roster.following(node)
        if drawing is not None and own is not None:
            registered = (*drawing.registered, own.platform_id)
            return replace(roster, drawing=replace(drawing, registered=registered))
        return replace(roster, candidates=(*roster.candidates, node))

    return [(rules, "_stand", stand)]


def anybody_is_drawn() -> list[Mutation]:
    """Who waits may be drawn, registered or not."""
    waiting = lambda roster: {one.platform_id for one in roster.observers}  # noqa: E731
    return [(sampling, "_registered", waiting)]


def all_new() -> list[Mutation]:
    """Every seat may change hands at once."""

    def drawn(
        roster: Roster, _staying: Sequence[Member], joining: Sequence[Member], *around: Any
    ) -> tuple[Member, ...]:
        able = [one for one in joining if one.platform_id in roster.drawing.registered]
        return tuple(able[: around[0].seats]) or roster.members

    return [(succession, "drawn", drawn)]


def forgotten_seats() -> list[Mutation]:
    """Who is drawn out is no longer in the network."""
    return [(rules, "_retired", lambda _roster, _members: ())]


def draws_given_up() -> list[Mutation]:
    """A draw is none once all who are left have room."""

    def must_draw(roster: Roster, how: sampling.Sampling | None) -> bool:
        return how is not None and sum(map(len, succession._standing(roster))) > how.seats

    return [(rules, "must_draw", must_draw), (succession, "must_draw", must_draw)]


WRONG: dict[str, Callable[[], list[Mutation]]] = {
    mutation.__name__: mutation
    for mutation in (
        held_by_few,
        one_dealer,
        unchecked_polynomials,
        second_beacons,
        late_candidates,
        anybody_is_drawn,
        all_new,
        forgotten_seats,
        draws_given_up,
    )
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_draw_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(WRONG[name], monkeypatch)
    assert any(violation(seed) for seed in range(SEEDS_NEEDED))
