from collections.abc import Callable

import msgspec
import pytest

from ccp2p.consensus.validity import Rules
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import block as blocks
from ccp2p.model import codec
from ccp2p.model.block import BlockHeader, BlockReference, Payload, VerifiedBlock
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.genesis import Parameters
from ccp2p.node.intake import BlockIntake, Delivery, Intake

NETWORK = b"n" * 32
KEYS = [SigningKey(bytes([i + 1]) * 32) for i in range(4)]
COMMITTEE = Committee(
    0, tuple(Seat(key.public, b"s" * 32, bytes([i]), "sim-a") for i, key in enumerate(KEYS))
)
PARAMETERS = Parameters(coin_length=256)
RULES = Rules.of(NETWORK, COMMITTEE, PARAMETERS)


def block(author: int = 0, signer: int | None = None, **changes: object) -> VerifiedBlock:
    payload = Payload()
    payload_bytes = codec.encode(payload)
    root = (blocks.epoch_root(NETWORK, 0),)
    digest = blocks.payload_digest(payload_bytes)
    header = BlockHeader(NETWORK, 0, 1, author, root, digest, b"", 1)
    header = msgspec.structs.replace(header, **changes)
    unsigned = blocks.build(header, payload, payload_bytes, b"")
    key = KEYS[author if signer is None else signer]
    signature = key.sign(unsigned.signed_bytes())
    return blocks.build(header, payload, payload_bytes, signature)


def intake(
    *deliveries: Delivery, known: Callable[[BlockReference], bool] = lambda _: False
) -> list[Intake]:
    return BlockIntake(RULES, COMMITTEE, known).verify(deliveries)


def deliver(sender: int, *sent: bytes, solicited: bool = False) -> Delivery:
    return Delivery(sender, sent, solicited)


def test_good_blocks_become_verified_ones_in_order():
    (found,) = intake(deliver(2, block(0).to_bytes(), block(1).to_bytes(), solicited=True))
    assert [type(one) for one in found.blocks] == [VerifiedBlock] * 2
    assert [one.header.author for one in found.blocks] == [0, 1]
    assert (found.sender, found.solicited, found.faults) == (2, True, ())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"garbage", "malformed"),
        (block().to_bytes()[:-1], "malformed"),
        (bytes(2 << 20), "oversized"),
        (block(0, signer=1).to_bytes(), "signature"),
        (block(0, network=b"m" * 32).to_bytes(), "network"),
        (block(0, epoch=1).to_bytes(), "early-epoch"),
        (block(0, round=0).to_bytes(), "round"),
        (block(0, parents=()).to_bytes(), "parents"),
        (block(0, coin=b"c" * 32).to_bytes(), "coin"),
        (block(0, timestamp_ms=-1).to_bytes(), "timestamp"),
        (block(9, signer=1).to_bytes(), "author"),
    ],
    ids=lambda value: value if isinstance(value, str) else "block",
)
def test_whoever_sends_a_bad_block_is_blamed_and_the_good_one_beside_it_is_taken(
    sent: bytes, code: str
):
    (found,) = intake(deliver(3, sent, block(1).to_bytes()))
    assert [fault.code for fault in found.faults] == [code]
    assert [one.header.author for one in found.blocks] == [1]
    assert found.sender == 3


@pytest.mark.parametrize(("ours", "code"), [(0, "early-epoch"), (2, "past-epoch")])
def test_a_block_of_another_epoch_is_told_of_also_where_its_round_is_one_of_the_past(
    ours: int, code: str
):
    rules = Rules.of(NETWORK, msgspec.structs.replace(COMMITTEE, epoch=ours), PARAMETERS)
    sent = deliver(1, block(0, epoch=1).to_bytes(), block(0, epoch=ours).to_bytes())
    (found,) = BlockIntake(rules, COMMITTEE, lambda _: True).verify([sent])
    assert [fault.code for fault in found.faults] == [code]
    assert found.blocks == ()


def test_one_peers_bad_signature_costs_another_peer_nothing():
    bad, good = deliver(1, block(0, signer=1).to_bytes()), deliver(2, block(0).to_bytes())
    first, second = intake(bad, good)
    assert ([f.code for f in first.faults], first.blocks) == (["signature"], ())
    assert (second.faults, len(second.blocks)) == ((), 1)


def test_known_blocks_are_skipped_without_a_second_look():
    replayed = block(0, signer=1)
    (found,) = intake(deliver(1, replayed.to_bytes()), known=lambda r: r == replayed.reference)
    assert (found.blocks, found.faults) == ((), ())


def test_an_empty_delivery_is_nothing():
    assert intake(deliver(1)) == [Intake(1, (), False, ())]
