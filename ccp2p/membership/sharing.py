"""Shamir's secret sharing (1979) modulo the prime 2^255 - 19, with a hash for every share.

A dealer draws a polynomial of degree t-1 whose value at 0 is the secret; the member at place i of n
gets its value at i+1. Fewer than t shares say nothing of the secret, any t give the polynomial.
The hashes, published with the shares, fix what a dealer said: whoever has t shares that match
theirs computes all n again. If every hash matches, all choices of t shares give the same secret; if
one does not, none does, and the dealer cheated. So the outcome, also that there is none, was fixed
when the hashes were published (the check of dispersed shares in Cachin and Tessaro 2005, as
hash-based verifiable secret sharing uses it: Shoup and Smart, ePrint 2023/536).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from ccp2p.model import hashing

PRIME: Final = (1 << 255) - 19
SHARE_BYTES: Final = 32


def deal(coefficients: Sequence[int], count: int) -> tuple[bytes, ...]:
    """The shares of `count` members. The first coefficient is the secret; all are below `PRIME`."""
    return tuple(_encode(_at(coefficients, place + 1)) for place in range(count))


def commitment(context: bytes, place: int, share: bytes) -> bytes:
    """The hash that stands for the share of the member at `place`.

    `context` (32 bytes) names the dealer and the occasion: nobody can pass on another's as its own.
    """
    return hashing.digest(hashing.BEACON_SHARE, context, place.to_bytes(2, "big"), share)


def recover(
    context: bytes, commitments: Sequence[bytes], shares: Mapping[int, bytes]
) -> int | None:
    """The secret, from as many shares by place as the threshold is; None when the dealer cheated.

    The shares match their commitments. Whichever they are, the result is the same.
    """
    points = [(place + 1, int.from_bytes(share, "big")) for place, share in sorted(shares.items())]
    if any(value >= PRIME for _, value in points):
        return None
    secret, *values = _interpolate(points, range(len(commitments) + 1))
    for place, (value, expected) in enumerate(zip(values, commitments, strict=True)):
        if commitment(context, place, _encode(value)) != expected:
            return None
    return secret


def _interpolate(points: Sequence[tuple[int, int]], wanted: Sequence[int]) -> list[int]:
    """The values at `wanted` of the polynomial of lowest degree through `points` (Lagrange)."""
    known, weights = dict(points), []
    for at, value in points:
        weight = value
        for other, _ in points:
            if other != at:
                weight = weight * _inverse(at - other) % PRIME
        weights.append((at, weight))
    values = []
    for place in wanted:
        whole, total = 1, 0
        for at, weight in () if place in known else weights:
            whole = whole * (place - at) % PRIME
            total += weight * _inverse(place - at)
        values.append(known[place] if place in known else whole * total % PRIME)
    return values


@cache
def _inverse(number: int) -> int:
    """Of a difference of two places, of which there are few."""
    return pow(number, -1, PRIME)


def _at(coefficients: Sequence[int], place: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * place + coefficient) % PRIME
    return value


def _encode(value: int) -> bytes:
    return value.to_bytes(SHARE_BYTES, "big")
