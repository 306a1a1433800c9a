import msgspec
import pytest

from ccp2p.crypto.signatures import SigningKey, verify_batch
from ccp2p.membership import founding
from ccp2p.membership.founding import FounderRequest
from ccp2p.model import codec, hashing, limits
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_signed_bytes
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Genesis, Parameters, network_id

KEYS = [SigningKey(bytes([i + 1]) * 32) for i in range(4)]
SEATS = [Seat(key.public, bytes([i]) * 32, bytes([i]) * 32, "sim-a") for i, key in enumerate(KEYS)]
GENESIS = Genesis(
    name="home",
    kind="group",
    app="rooms",
    policy="# the policy",
    parameters=Parameters(),
    governors=(KEYS[0].public,),
    governor_threshold=1,
    first_node=KEYS[0].public,
    founders=4,
    member_invite=b"m" * 32,
    node_invite=b"n" * 32,
    founder_invite=b"i" * 32,
    created_ms=1,
)
NETWORK = network_id(codec.encode(GENESIS))
RECORD = founding.record_zero(GENESIS, NETWORK, SEATS, b"c" * 32, b"e" * 32, [])


def signed(record: EpochRecord, signers: list[int] | None = None) -> SignedEpochRecord:
    data = codec.encode(record)
    message = record_signed_bytes(data)
    signers = list(range(4)) if signers is None else signers
    return SignedEpochRecord(data, tuple((i, KEYS[i].sign(message)) for i in signers))


def refusal(record: SignedEpochRecord) -> str:
    with pytest.raises(PeerFault) as caught:
        founding.check_founding(record, GENESIS, NETWORK, "none", verify_batch)
    return str(caught.value)


def test_a_record_that_all_founders_signed_is_good():
    assert founding.check_founding(signed(RECORD), GENESIS, NETWORK, "none", verify_batch) == RECORD


@pytest.mark.parametrize("missing", range(4))
def test_a_missing_signature_is_refused(missing: int):
    others = [i for i in range(4) if i != missing]
    assert "not signed by all founders" in refusal(signed(RECORD, others))


@pytest.mark.parametrize("signers", [[0, 1, 2, 2], [3, 2, 1, 0], [0, 1, 2, 3, 3], []])
def test_signatures_are_one_a_seat_in_order(signers: list[int]):
    assert "not signed by all founders" in refusal(signed(RECORD, signers))


@pytest.mark.parametrize("wrong", range(4))
def test_a_wrong_signature_names_its_founder(wrong: int):
    good = signed(RECORD)
    signatures = list(good.signatures)
    other = KEYS[(wrong + 1) % 4].sign(record_signed_bytes(good.record))
    signatures[wrong] = (wrong, other)
    assert f"founder {wrong}'s" in refusal(SignedEpochRecord(good.record, tuple(signatures)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": b"x" * 32}, "does not follow"),
        ({"epoch": 1}, "does not follow"),
        ({"predecessor": b"x" * 32}, "does not follow"),
        ({"policy_digest": b"x" * 32}, "does not follow"),
        ({"governors": ()}, "does not follow"),
        ({"close_commit": 1}, "does not follow"),
        ({"close_chain": b"x" * 32}, "does not follow"),
        ({"state_root": b"x" * 32}, "does not follow"),
        ({"outcomes_root": b"x" * 32}, "does not follow"),
        ({"ledger_time_ms": 2}, "does not follow"),
        ({"protocol": 2}, "does not follow"),
    ],
)
def test_what_genesis_settles_is_no_founders_choice(changes, said: str):
    assert said in refusal(signed(msgspec.structs.replace(RECORD, **changes)))


def test_the_number_of_founders_is_the_genesis_s():
    record = msgspec.structs.replace(RECORD, seats=tuple(SEATS[:3]))
    assert "3 founders; the genesis asks for 4" in refusal(signed(record, [0, 1, 2]))


def test_the_first_seat_is_the_genesis_s_node():
    seats = (SEATS[1], SEATS[0], *SEATS[2:])
    data = codec.encode(msgspec.structs.replace(RECORD, seats=seats))
    message = record_signed_bytes(data)
    signatures = tuple((i, KEYS[j].sign(message)) for i, j in enumerate((1, 0, 2, 3)))
    assert "the first seat" in refusal(SignedEpochRecord(data, signatures))


@pytest.mark.parametrize(
    ("platform", "said"),
    [(SEATS[1].platform_id, "founders 1 and 3 run on one platform"), (b"", "no hardware id")],
)
def test_one_platform_has_one_vote(platform: bytes, said: str):
    seats = (*SEATS[:3], msgspec.structs.replace(SEATS[3], platform_id=platform))
    assert said in refusal(signed(msgspec.structs.replace(RECORD, seats=seats)))
    with pytest.raises(PeerFault) as caught:
        founding.check_platforms(seats)
    assert caught.value.code == "platform"


@pytest.mark.parametrize(
    ("cap", "vendors", "most"),
    [
        ("no-fork", "aabb", 1),
        ("no-fork", "aaabc", 2),
        ("no-fork", "abcd", None),
        ("no-fork", "aabbcc", None),
        ("f", "aabbccd", None),
        ("f", "aaabbcd", 2),
        ("f", "abc", 0),
        ("f", "a", None),
        ("none", "aaaa", None),
    ],
)
def test_a_vendor_holds_no_more_seats_than_the_cap(cap: str, vendors: str, most: int | None):
    seats = [Seat(KEYS[0].public, b"s" * 32, bytes([i]) * 32, v) for i, v in enumerate(vendors)]
    if most is None:
        founding.check_vendors(seats, cap, len(seats))
        return
    with pytest.raises(PeerFault, match=f"allows {most}") as caught:
        founding.check_vendors(seats, cap, len(seats))
    assert caught.value.code == "vendor-cap"


def test_clients_and_founders_refuse_a_record_over_the_cap():
    with pytest.raises(PeerFault, match="vendor sim-a would hold 4 of 4 seats"):
        founding.check_founding(signed(RECORD), GENESIS, NETWORK, "no-fork", verify_batch)


def test_the_record_commits_to_the_policys_text():
    assert RECORD.policy_digest == hashing.digest(hashing.POLICY, b"# the policy")


REQUEST = FounderRequest(b"n" * 32, b"s" * 32, b"evidence", ("a",), ("b",), b"invite")


def test_a_request_within_bounds_is_taken():
    founding.check_request(REQUEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"node": b"n" * 31},
        {"sealing": b""},
        {"evidence": bytes(limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES + 1)},
        {"addresses": ("a",) * limits.MAX_ADDRESSES},
        {"addresses": ("a" * (limits.MAX_ADDRESS_CHARS + 1),)},
        {"client_addresses": ("a" * (limits.MAX_ADDRESS_CHARS + 1),)},
    ],
)
def test_a_request_out_of_bounds_is_refused(changes):
    with pytest.raises(PeerFault) as caught:
        founding.check_request(msgspec.structs.replace(REQUEST, **changes))
    assert caught.value.code == "founding"
