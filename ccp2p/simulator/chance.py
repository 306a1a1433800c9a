"""Draws that a world makes by the thousand."""

from random import Random


def below(random: Random, end: int) -> int:
    """What `random.randrange(end)` draws, without looking at its arguments first. `end` >= 1."""
    bits = end.bit_length()
    draw = random.getrandbits(bits)
    while draw >= end:
        draw = random.getrandbits(bits)
    return draw
