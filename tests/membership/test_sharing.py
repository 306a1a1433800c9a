"""Shares open one secret or none, whichever are shown, and too few of them say nothing."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.membership import sharing
from ccp2p.membership.sharing import PRIME, commitment, deal, recover

CONTEXT = b"c" * 32
numbers = st.integers(0, PRIME - 1)


def commitments_of(shares: tuple[bytes, ...]) -> list[bytes]:
    return [commitment(CONTEXT, place, share) for place, share in enumerate(shares)]


def opened(shares: tuple[bytes, ...], places: tuple[int, ...]) -> int | None:
    return recover(CONTEXT, commitments_of(shares), {place: shares[place] for place in places})


@given(st.lists(numbers, min_size=1, max_size=5), st.integers(0, 4), st.randoms())
def test_any_shares_that_are_enough_open_the_secret(
    coefficients: list[int], more: int, random
) -> None:
    count = len(coefficients) + more
    shares = deal(coefficients, count)
    places = tuple(random.sample(range(count), len(coefficients)))
    assert opened(shares, places) == coefficients[0]


def test_a_polynomial_worked_out_by_hand() -> None:
    """5 + 2x + x^2 is 8, 13, 20, 29 at 1 to 4."""
    shares = deal([5, 2, 1], 4)
    assert [int.from_bytes(share) for share in shares] == [8, 13, 20, 29]
    assert {opened(shares, places) for places in combinations(range(4), 3)} == {5}


@given(st.lists(numbers, min_size=2, max_size=5), numbers)
def test_one_share_too_few_fits_every_secret(coefficients: list[int], other: int) -> None:
    """Whatever the secret is taken for, some polynomial gives just the shares that are known."""
    threshold = len(coefficients)
    known = deal(coefficients, threshold - 1)
    points = [(place + 1, int.from_bytes(share)) for place, share in enumerate(known)]
    places = range(threshold + 1)
    guess = sharing._interpolate([(0, other), *points], places)
    assert guess[0] == other
    assert guess[1:threshold] == [value for _, value in points]


@pytest.mark.parametrize("wrong", range(7))
def test_a_cheating_dealer_is_found_out_whichever_shares_are_shown(wrong: int) -> None:
    shares = list(deal([5, 2, 1], 7))
    shares[wrong] = (int.from_bytes(shares[wrong]) + 1).to_bytes(32)
    found = {opened(tuple(shares), places) for places in combinations(range(7), 3)}
    assert found == {None}


@pytest.mark.parametrize("wrong", range(4))
def test_a_share_written_in_another_way_is_cheating_whichever_shares_are_shown(wrong: int) -> None:
    shares = list(deal([5, 2], 4))
    shares[wrong] = (int.from_bytes(shares[wrong]) + PRIME).to_bytes(32)
    found = {opened(tuple(shares), places) for places in combinations(range(4), 2)}
    assert found == {None}


def test_a_commitment_is_of_one_dealer_place_and_share() -> None:
    made = {
        commitment(context, place, share)
        for context in (CONTEXT, b"d" * 32)
        for place in (0, 1)
        for share in (b"s" * 32, b"t" * 32)
    }
    assert len(made) == 8
