"""A governor's side of amendments, and their history as anybody checks it in the epoch records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ccp2p.client.session import MemberSession, require_executed
from ccp2p.crypto import signatures
from ccp2p.model import codec, limits
from ccp2p.model.amendment import (
    Amendment,
    amendment_digest,
    approval_bytes,
    parse_amendment,
)
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, parse_record
from ccp2p.model.errors import Denied, PeerFault
from ccp2p.model.host_commands import (
    AMENDMENT_REFUSALS,
    AmendmentList,
    AmendmentState,
    ApproveAmendment,
    HostQuestion,
    ListAmendments,
    ProposeAmendment,
    ProposedAmendment,
    ShowAmendment,
    encode_command,
)
from ccp2p.model.outcome import Outcome

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Proposed:
    """An amendment, and the keys of the governors who approved it, of whom `needed` must."""

    digest: bytes
    amendment: Amendment
    approved_by: tuple[bytes, ...]
    needed: int
    is_adopted: bool


def history(records: Sequence[SignedEpochRecord]) -> list[Proposed]:
    """What came into force, in order, with a chain of records that was checked."""
    found: list[Proposed] = []
    before: EpochRecord | None = None
    for signed in records:
        if before is not None and signed.amendment:
            amendment = parse_amendment(signed.amendment)
            found.append(_proposed(amendment, signed.amendment, signed.approvals, before, True))
        before = parse_record(signed.record)
    return found


async def propose(session: MemberSession, amendment: Amendment, timeout_ms: int) -> AmendmentState:
    """Propose and approve; Denied or MemberFault says why the network refuses it."""
    data = codec.encode(amendment)
    digest = amendment_digest(data)
    command = ProposeAmendment(data, _approval(session, digest))
    return _state(await session.submit(encode_command(command), timeout_ms))


async def approve(session: MemberSession, digest: bytes, timeout_ms: int) -> AmendmentState:
    """Approve what another governor proposed, once one has read it; refusals as above."""
    command = ApproveAmendment(digest, _approval(session, digest))
    return _state(await session.submit(encode_command(command), timeout_ms))


async def proposals(session: MemberSession) -> list[Proposed]:
    """What is proposed in this epoch, with the approvals that hold; PeerFault if the node lies."""
    listed = await _ask(session, ListAmendments(), AmendmentList)
    record = session.verified.record
    if listed.epoch != record.epoch:
        return []
    found = []
    for digest in listed.digests:
        shown = await _ask(session, ShowAmendment(digest), ProposedAmendment)
        if amendment_digest(shown.amendment) != digest:
            raise PeerFault("amendment", "the node shows another amendment than was asked for")
        amendment = parse_amendment(shown.amendment)
        is_adopted = digest == listed.adopted
        found.append(_proposed(amendment, shown.amendment, shown.approvals, record, is_adopted))
    return found


def _proposed(
    amendment: Amendment,
    data: bytes,
    approvals: Sequence[tuple[int, bytes]],
    record: EpochRecord,
    is_adopted: bool,
) -> Proposed:
    """Only approvals count that the governors of `record` signed."""
    digest = amendment_digest(data)
    message = approval_bytes(record.network, digest)
    governors = record.governors
    known = [(governors[i], signed) for i, signed in approvals if 0 <= i < len(governors)]
    verdicts = signatures.verify_batch([(key, signed, message) for key, signed in known])
    approved_by = tuple(key for (key, _), good in zip(known, verdicts, strict=True) if good)
    return Proposed(digest, amendment, approved_by, record.governor_threshold, is_adopted)


def _approval(session: MemberSession, digest: bytes) -> bytes:
    return session.member.sign(approval_bytes(session.verified.network, digest))


def _state(outcome: Outcome) -> AmendmentState:
    code = outcome.body.decode(errors="replace") if outcome.status == "rejected" else ""
    if code == "not-governor":
        raise Denied("this key is not a governor's (`ccp2p net show` lists them)", code)
    if code in AMENDMENT_REFUSALS:
        raise Denied(AMENDMENT_REFUSALS[code], code)
    return codec.decode(require_executed(outcome), AmendmentState, limits.MAX_OUTCOME_BYTES)


async def _ask(session: MemberSession, question: HostQuestion, kind: type[T]) -> T:
    answer = await session.query(encode_command(question))
    return codec.decode(answer, kind, limits.MAX_QUERY_REPLY_BYTES)
