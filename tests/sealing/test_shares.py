"""An epoch's secret among governors: any k of n shares give it, fewer do not."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey, SealedBox

from ccp2p.crypto import hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.sealing import shares

SECRET = bytes(range(100, 132))
KEYS = [SigningKey(bytes([number + 1]) * 32) for number in range(5)]
GOVERNORS = [key.public for key in KEYS]


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (2, 2), (2, 3), (3, 5), (5, 5)])
def test_any_k_of_n_give_the_secret_and_k_less_one_do_not(threshold: int, count: int):
    split = shares.split(SECRET, GOVERNORS[:count], threshold)
    assert len(split) == count
    for size in range(1, count + 1):
        for places in itertools.combinations(range(count), size):
            found = shares.combine({place: split[place] for place in places})
            assert (found == SECRET) == (size >= threshold)


@given(secret=st.binary(min_size=32, max_size=32), places=st.permutations(range(5)))
def test_every_secret_comes_back_whatever_the_order(secret: bytes, places: list[int]):
    split = shares.split(secret, GOVERNORS, 3)
    assert shares.combine({place: split[place] for place in places[:3]}) == secret


@given(guess=st.binary(min_size=32, max_size=32))
def test_one_share_less_goes_with_every_secret(guess: bytes):
    """What two of three coefficients' shares leave open: a polynomial exists for each guess."""
    split = shares.split(SECRET, GOVERNORS, 3)
    prime = shares._PRIME
    held = {1: int.from_bytes(split[0]), 2: int.from_bytes(split[1]), 0: int.from_bytes(guess)}

    def at(x: int) -> int:
        total = 0
        for own, value in held.items():
            weight = 1
            for other in held:
                if other != own:
                    weight = weight * (x - other) * pow(own - other, -1, prime) % prime
            total += value * weight
        return total % prime

    third = at(3).to_bytes(shares.SHARE_BYTES)
    assert shares.combine({0: split[0], 1: split[1], 2: third}) == guess


def test_shares_of_other_governors_or_another_threshold_do_not_go_together():
    one = shares.split(SECRET, GOVERNORS[:3], 2)
    for other in (
        shares.split(SECRET, GOVERNORS[:4], 2),
        shares.split(SECRET, GOVERNORS[1:4], 2),
        shares.split(SECRET, GOVERNORS[:3], 3),
    ):
        assert shares.combine({0: one[0], 1: other[1]}) != SECRET


def test_a_wrong_share_gives_another_secret_or_none():
    split = shares.split(SECRET, GOVERNORS[:3], 2)
    for wrong in (bytes(66), b"\xff" * 66, split[2]):
        assert shares.combine({0: split[0], 1: wrong}) != SECRET
    assert shares.combine({}) != SECRET


def test_boxes_are_the_same_for_everybody_and_open_for_their_governor_only():
    boxes = shares.boxes(SECRET, GOVERNORS, 3)
    assert boxes == shares.boxes(SECRET, GOVERNORS, 3)
    assert {len(box) for box in boxes} == {shares.BOX_BYTES}
    split = shares.split(SECRET, GOVERNORS, 3)
    for place, key in enumerate(KEYS):
        opened = [shares.open_box(box, key) for box in boxes]
        assert opened == [split[place] if place == at else None for at in range(5)]


def test_a_box_is_one_of_libsodium():
    (box,) = shares.boxes(SECRET, GOVERNORS[:1], 1)
    own = PrivateKey(KEYS[0].agreement_key())
    assert SealedBox(own).decrypt(box) == shares.split(SECRET, GOVERNORS[:1], 1)[0]


def test_whoever_is_given_a_share_can_tell_whether_it_is_the_one_in_the_box():
    boxes = shares.boxes(SECRET, GOVERNORS, 3)
    split = shares.split(SECRET, GOVERNORS, 3)
    assert shares.is_in_box(split[1], boxes[1], GOVERNORS[1])
    for share, box, governor in (
        (split[0], boxes[1], GOVERNORS[1]),
        (split[1], boxes[0], GOVERNORS[1]),
        (split[1], boxes[1], GOVERNORS[0]),
        (split[1][:-1], boxes[1], GOVERNORS[1]),
        (b"", b"", GOVERNORS[1]),
        (split[1], boxes[1], bytes(32)),
    ):
        assert not shares.is_in_box(share, box, governor)


def test_a_box_with_other_coins_than_the_shares_is_refused():
    split = shares.split(SECRET, GOVERNORS, 3)
    own = PrivateKey(KEYS[0].agreement_key())
    box = SealedBox(own.public_key).encrypt(split[0])
    assert shares.open_box(box, KEYS[0]) is None


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, b"c" * 32, b"short"])
def test_a_key_that_nothing_can_be_sealed_to_has_an_empty_box(bad: bytes):
    boxes = shares.boxes(SECRET, [GOVERNORS[0], bad, GOVERNORS[2]], 2)
    assert [bool(box) for box in boxes] == [True, False, True]
    share = {0: shares.open_box(boxes[0], KEYS[0]), 2: shares.open_box(boxes[2], KEYS[2])}
    assert shares.combine(share) == SECRET


def test_a_share_on_its_way_opens_for_its_node_network_and_epoch_only():
    node, other = hpke.PrivateKey(b"n" * 32), hpke.PrivateKey(b"o" * 32)
    share, network, epoch_key = b"s" * 66, b"w" * 32, b"e" * 32
    sealed = shares.seal_to_node(share, node.public, network, epoch_key)
    assert shares.open_at_node(sealed, node, network, epoch_key) == share
    assert shares.open_at_node(sealed, other, network, epoch_key) is None
    assert shares.open_at_node(sealed, node, b"x" * 32, epoch_key) is None
    assert shares.open_at_node(sealed, node, network, b"x" * 32) is None
