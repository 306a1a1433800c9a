"""How a network begins: epoch record 0, signed by every founder.

Genesis names the first node only. Founders bring keys and evidence; the first node proposes the
record; each founder checks it with these rules, recomputes the secrets, and signs one record ever.
Since all must sign, a dishonest founder can prevent a network and cannot split it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ccp2p.model import hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import (
    EpochRecord,
    SignedEpochRecord,
    parse_record,
    record_signed_bytes,
)
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Genesis, policy_digest

VerifyBatch = Callable[[Sequence[tuple[bytes, bytes, bytes]]], list[bool]]
"""(public key, signature, message) triples to verdicts; handed in by whoever may use crypto."""


class FounderRequest(Wire, frozen=True):
    """What a founder brings. `evidence` is an encoded evidence bundle over these very keys.

    `invite` is the node ticket's secret; the first node blanks it before others see the request.
    """

    node: bytes
    sealing: bytes
    evidence: bytes
    addresses: tuple[str, ...]
    client_addresses: tuple[str, ...]
    invite: bytes


def check_request(request: FounderRequest) -> None:
    """PeerFault when a request is out of bounds; its evidence is judged elsewhere."""
    if len(request.node) != 32 or len(request.sealing) != 32:
        raise PeerFault("founding", "a founder's keys have 32 bytes each")
    if len(request.evidence) > limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES:
        raise PeerFault("founding", "a founder's evidence is too large")
    addresses = (*request.addresses, *request.client_addresses)
    if len(addresses) > limits.MAX_ADDRESSES or any(
        len(address) > limits.MAX_ADDRESS_CHARS for address in addresses
    ):
        raise PeerFault("founding", "a founder's addresses are out of bounds")


def check_platforms(seats: Sequence[Seat]) -> None:
    """One platform, one vote: PeerFault when two seats share a platform or one has none."""
    seen: dict[bytes, int] = {}
    for index, seat in enumerate(seats):
        if not seat.platform_id:
            raise PeerFault("platform", f"founder {index} has no hardware id")
        if seat.platform_id in seen:
            raise PeerFault(
                "platform",
                f"founders {seen[seat.platform_id]} and {index} run on one platform, "
                "which has one vote",
            )
        seen[seat.platform_id] = index


def check_vendors(seats: Sequence[Seat], cap: str, size: int) -> None:
    """Seats per vendor in a committee of `size`; PeerFault names the vendor that has too many.

    `"no-fork"`: at most n-2f-1, so that one vendor's break cannot fork; `"f"`: at most f, so that
    it cannot stop the network either; `"none"`: no bound. Committees of one have none either
    (design section 8).
    """
    most = _most_of_a_vendor(cap, size)
    for vendor, held in sorted(Counter(seat.vendor for seat in seats).items()):
        if held > most:
            raise PeerFault(
                "vendor-cap",
                f"vendor {vendor} would hold {held} of {size} seats; the policy's cap {cap!r} "
                f"allows {most}",
            )


def vendors_fit(held: Mapping[str, int], cap: str) -> bool:
    """Whether `check_vendors` accepts so many seats of each vendor as a whole committee."""
    return max(held.values(), default=0) <= _most_of_a_vendor(cap, sum(held.values()))


def _most_of_a_vendor(cap: str, size: int) -> int:
    if cap == "none" or size < 2:
        return size
    faulty = (size - 1) // 3
    return faulty if cap == "f" else size - 2 * faulty - 1


def record_zero(
    genesis: Genesis,
    network: bytes,
    seats: Sequence[Seat],
    coin_anchor: bytes,
    epoch_key: bytes,
    measurements: Sequence[bytes],
    shares: Sequence[bytes] = (),
) -> EpochRecord:
    """The record that the first node proposes."""
    return EpochRecord(
        network=network,
        epoch=0,
        predecessor=hashing.ZERO_DIGEST,
        seats=tuple(seats),
        policy_digest=policy_digest(genesis.policy),
        governors=genesis.governors,
        governor_threshold=genesis.governor_threshold,
        measurements=tuple(measurements),
        coin_anchor=coin_anchor,
        epoch_key=epoch_key,
        close_commit=0,
        close_chain=hashing.ZERO_DIGEST,
        state_root=hashing.ZERO_DIGEST,
        outcomes_root=hashing.ZERO_DIGEST,
        ledger_time_ms=genesis.created_ms,
        protocol=genesis.parameters.protocol,
        shares=tuple(shares),
    )


def check_record_zero(
    record: EpochRecord, genesis: Genesis, network: bytes, vendor_cap: str
) -> None:
    """PeerFault when `record` is not a record 0 of this genesis. Signatures are checked apart."""
    if len(record.seats) != genesis.founders:
        raise PeerFault(
            "record", f"{len(record.seats)} founders; the genesis asks for {genesis.founders}"
        )
    if record.seats[0].node != genesis.first_node:
        raise PeerFault("record", "the first seat is not the genesis's first node")
    expected = record_zero(
        genesis,
        network,
        record.seats,
        record.coin_anchor,
        record.epoch_key,
        record.measurements,
        record.shares,
    )
    if record != expected:
        raise PeerFault("record", "epoch record 0 does not follow from the genesis")
    check_shared(record, genesis)
    check_platforms(record.seats)
    check_vendors(record.seats, vendor_cap, len(record.seats))


def check_shared(record: EpochRecord, genesis: Genesis) -> None:
    """PeerFault unless a record has recovery shares exactly where the genesis asks for them."""
    is_shared = genesis.parameters.keeps_group(len(record.seats))
    if len(record.shares) != (len(record.governors) if is_shared else 0):
        raise PeerFault(
            "record", f"epoch record {record.epoch} lacks recovery shares, or has too many"
        )


def check_signed_by_all(signed: SignedEpochRecord, verify_batch: VerifyBatch) -> EpochRecord:
    """The record, once every one of its own seats has signed its bytes; else PeerFault."""
    record = parse_record(signed.record)
    if [index for index, _ in signed.signatures] != list(range(len(record.seats))):
        raise PeerFault("record", "epoch record 0 is not signed by all founders")
    message = record_signed_bytes(signed.record)
    verdicts = verify_batch(
        [(record.seats[i].node, signature, message) for i, signature in signed.signatures]
    )
    for index, good in enumerate(verdicts):
        if not good:
            raise PeerFault("record", f"founder {index}'s signature on epoch record 0 is wrong")
    return record


def check_founding(
    signed: SignedEpochRecord,
    genesis: Genesis,
    network: bytes,
    vendor_cap: str,
    verify_batch: VerifyBatch,
) -> EpochRecord:
    """All rules at once, as a client or a late founder applies them to a finished record 0."""
    record = check_signed_by_all(signed, verify_batch)
    check_record_zero(record, genesis, network, vendor_cap)
    return record
