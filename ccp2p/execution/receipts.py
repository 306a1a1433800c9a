"""Receipts: what became of an event, verifiable offline against nothing but the network id.

The genesis hashes to the network id and names the founders; the chain of epoch records leads from
them to the committee that voted; Q of its seats signed the checkpoint; the path leads from its
outcomes root to the outcome; and the outcome names its event, which the receipt shows whole. The
file form is text with base64 inside, so that it can be pasted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ccp2p.crypto import signatures
from ccp2p.execution.apps import kv_protocol
from ccp2p.execution.checkpoints import checkpoint_of_close
from ccp2p.execution.outcomes import OutcomeProof, verify_outcome
from ccp2p.membership.records import check_chain
from ccp2p.model import armour, codec, limits
from ccp2p.model.checkpoint import Certified
from ccp2p.model.codec import Wire
from ccp2p.model.committee import Committee
from ccp2p.model.envelope import event_id
from ccp2p.model.epoch import SignedEpochRecord, parse_record
from ccp2p.model.errors import Fault, MemberFault, PeerFault
from ccp2p.model.genesis import Genesis, network_id, parse_genesis
from ccp2p.model.outcome import Outcome

T = TypeVar("T")

_KIND: Final = "receipt"


class Receipt(Wire, frozen=True):
    """`records` are those of epochs 0 to the checkpoint's, and the next one where that certifies
    the checkpoint in the place of votes, as it does for CLOSE. `member`, `sequence` and `body` are
    the event. `content` is empty, or what the outcome names by its digest alone.
    """

    genesis: bytes
    records: tuple[SignedEpochRecord, ...]
    certified: Certified
    member: bytes
    sequence: int
    body: bytes
    outcome: Outcome
    proof: OutcomeProof
    content: bytes


@dataclass(frozen=True, slots=True)
class Check:
    """One check, for people: `detail` says what holds, or why it does not."""

    name: str
    passed: bool
    detail: str


@dataclass(slots=True)
class Verification:
    """All checks in order. `genesis` and `committee` are there once the checks on them passed."""

    checks: list[Check] = field(default_factory=list)
    genesis: Genesis | None = None
    committee: Committee | None = None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def run(self, name: str, step: Callable[[], tuple[T, str]]) -> T | None:
        """Note what `step` found: its value and a word about it, or the fault that it raised."""
        try:
            value, detail = step()
        except Fault as fault:
            self.checks.append(Check(name, False, str(fault)))
            return None
        self.checks.append(Check(name, True, detail))
        return value


def verify(
    receipt: Receipt, network: bytes, vendor_cap_of: Callable[[Genesis], str]
) -> Verification:
    """Check a receipt of the network with this id; never raises for what the receipt holds.

    `vendor_cap_of` reads the genesis's policy, which is not this package's business.
    """
    found = Verification()
    found.genesis = found.run("network", lambda: _check_network(receipt, network))
    found.committee = found.run(
        "epoch records", lambda: _check_records(receipt, found.genesis, network, vendor_cap_of)
    )
    found.run("votes", lambda: _check_votes(receipt, found.committee, network))
    found.run("outcome", lambda: _check_outcome(receipt))
    found.run("event", lambda: _check_event(receipt, network))
    found.run("content", lambda: _check_content(receipt, found.genesis))
    return found


def check_history(
    found: Verification, receipt: Receipt, records: Sequence[SignedEpochRecord]
) -> None:
    """Hold a receipt against the network's chain of records, which was checked from record 0 on.

    Only so shows that a recovery went on from an earlier commit: votes for what it lost stay good.
    """
    found.run("history", lambda: _check_history(receipt, records))


def format_receipt(receipt: Receipt) -> str:
    """The text of a receipt file."""
    return armour.format_file(_KIND, codec.encode(receipt))


def parse_receipt(text: str) -> Receipt:
    """Read a receipt file; MemberFault when it is none. Whether it holds is another matter."""
    body = armour.parse_file(text, _KIND, limits.MAX_RECEIPT_BYTES)
    return codec.decode_canonical(body, Receipt, limits.MAX_RECEIPT_BYTES, MemberFault)


def _check_network(receipt: Receipt, network: bytes) -> tuple[Genesis, str]:
    actual = network_id(receipt.genesis)
    if actual != network:
        raise PeerFault("network", f"the receipt is of network {actual.hex()}")
    return parse_genesis(receipt.genesis), "the genesis hashes to the network id"


def _check_records(
    receipt: Receipt,
    genesis: Genesis | None,
    network: bytes,
    vendor_cap_of: Callable[[Genesis], str],
) -> tuple[Committee, str]:
    if genesis is None:
        raise PeerFault("record", "not checked without a genesis")
    epoch = receipt.certified.checkpoint.epoch
    if not 0 <= epoch < len(receipt.records) == epoch + 1 + _is_of_close(receipt):
        raise PeerFault("record", f"the chain does not end at the checkpoint's epoch {epoch}")
    chain = check_chain(
        receipt.records, genesis, network, vendor_cap_of(genesis), signatures.verify_batch
    )
    founders = len(chain[0].record.seats)
    more = len(chain) - 1
    later = f", then {more} more, each signed by Q of the one before" if more else ""
    word = f"record 0 is signed by all {founders} founder(s){later}"
    return chain[epoch].record.committee(), word


def _is_of_close(receipt: Receipt) -> bool:
    """Whether the next epoch's record is what certifies the checkpoint."""
    return not receipt.certified.signatures


def _check_votes(receipt: Receipt, committee: Committee | None, network: bytes) -> tuple[bool, str]:
    certified = receipt.certified
    if committee is None:
        raise PeerFault("votes", "not checked without a committee")
    if _is_of_close(receipt):
        successor = parse_record(receipt.records[-1].record)
        if certified.checkpoint != checkpoint_of_close(successor):
            raise PeerFault("votes", "the next epoch's record certifies another checkpoint")
        return True, f"it is where epoch record {successor.epoch} says that the epoch ended"
    if certified.checkpoint.network != network:
        raise PeerFault("votes", "the checkpoint is another network's")
    seats = [seat for seat, _ in certified.signatures]
    if seats != sorted(set(seats)) or not all(0 <= seat < committee.size for seat in seats):
        raise PeerFault("votes", "the votes are not one a seat, in seat order")
    word = f"{len(seats)} of {committee.size} seats signed it; {committee.quorum} are needed"
    if len(seats) < committee.quorum:
        raise PeerFault("votes", word)
    message = certified.checkpoint.signed_bytes()
    verdicts = signatures.verify_batch(
        [(committee.seats[seat].node, vote, message) for seat, vote in certified.signatures]
    )
    for seat, good in zip(seats, verdicts, strict=True):
        if not good:
            raise PeerFault("votes", f"the signature of seat {seat} is wrong")
    return True, word


def _check_history(receipt: Receipt, records: Sequence[SignedEpochRecord]) -> tuple[bool, str]:
    for shown, known in zip(receipt.records, records, strict=False):
        if shown.record != known.record:
            raise PeerFault("history", "the network goes by other epoch records than the receipt")
    checkpoint = receipt.certified.checkpoint
    following = records[checkpoint.epoch + 1 : checkpoint.epoch + 2]
    for signed in following:
        successor = parse_record(signed.record)
        if checkpoint.commit > successor.close_commit:
            raise PeerFault(
                "history",
                f"epoch {successor.epoch} began after commit {successor.close_commit} of epoch "
                f"{checkpoint.epoch}, so the network knows nothing of commit {checkpoint.commit}: "
                "it was lost when governors recovered the network",
            )
    return True, f"the network's chain of {len(records)} record(s) bears it out"


def _check_outcome(receipt: Receipt) -> tuple[bool, str]:
    checkpoint, proof = receipt.certified.checkpoint, receipt.proof
    if (proof.epoch, proof.commit) != (checkpoint.epoch, checkpoint.commit):
        raise PeerFault("outcome", "the path is to another checkpoint")
    if not verify_outcome(checkpoint.outcomes_root, receipt.outcome, proof):
        raise PeerFault("outcome", "the path does not lead from the outcome to the checkpoint")
    return True, "a path leads from it to the checkpoint's outcomes root"


def _check_event(receipt: Receipt, network: bytes) -> tuple[bool, str]:
    if len(receipt.member) != 32 or not 0 < receipt.sequence < 1 << 63:
        raise PeerFault("event", "the member's key or number is out of range")
    identifier = event_id(network, receipt.member, receipt.sequence, receipt.body)
    if identifier != receipt.outcome.event:
        raise PeerFault("event", "the outcome is another event's")
    return True, "the outcome names this member, number and body"


def _check_content(receipt: Receipt, genesis: Genesis | None) -> tuple[bool, str]:
    if genesis is None:
        raise PeerFault("content", "not checked without a genesis")
    digest = b""
    if genesis.app == "kv" and receipt.outcome.status == "ok":
        digest = kv_protocol.content_digest(receipt.body, receipt.outcome.body)
    if not digest:
        if receipt.content:
            raise PeerFault("content", "the receipt carries content that its outcome does not name")
        return True, "the outcome is shown whole"
    if kv_protocol.value_digest(receipt.content) != digest:
        raise PeerFault("content", "the value is not the one that the outcome names")
    return True, "the value has the digest that the outcome names"
