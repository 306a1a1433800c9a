"""Receipts from a member's side: order an event, wait for its certified checkpoint, check, keep.

An idle network commits slowly, so who waits for a checkpoint drives it with barriers, one at a
time: a receipt then takes at most a checkpoint interval and a few rounds.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import trio

from ccp2p.attestation.policy import parse_policy
from ccp2p.client.session import MemberSession
from ccp2p.execution import receipts
from ccp2p.execution.apps import kv_protocol, rooms_protocol
from ccp2p.execution.checkpoints import due_checkpoint
from ccp2p.execution.outcomes import OutcomeProof
from ccp2p.execution.receipts import Receipt, Verification
from ccp2p.model import codec, limits
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import (
    AttestationFault,
    Denied,
    Fault,
    MemberFault,
    NotCommitted,
    PeerFault,
    Unreachable,
)
from ccp2p.model.genesis import AppName, Genesis
from ccp2p.model.member_protocol import ListRecords, Proof, Prove, Records
from ccp2p.model.outcome import Outcome

REQUESTS: Final[dict[AppName, Any]] = {
    "kv": kv_protocol.Request,
    "rooms": rooms_protocol.Request,
}
"""What each app's events ask: a struct whose `operation` is one of several."""

_ELSEWHERE_S: Final = 5.0  # until no node that kept the proof is looked for any more

Progress = Callable[[int], None]
"""Told how many commits are left until the checkpoint that covers the event."""


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a checkpoint is waited for, and who is told meanwhile."""

    timeout_ms: int
    progress: Progress = lambda _: None


@dataclass(frozen=True, slots=True)
class Ordered:
    """An event of this member, which was ordered in `epoch`, and its outcome.

    An event without an outcome when its epoch ended was sent again: then it was ordered in one of
    the epochs from `since` to `epoch`, and whoever fetches its receipt sees in which.
    """

    epoch: int
    sequence: int
    body: bytes
    outcome: Outcome
    since: int


async def order(session: MemberSession, body: bytes, timeout_ms: int) -> Ordered:
    """Order one event, as `MemberSession.submit` does."""
    since = session.verified.record.epoch
    sealed = session.seal(body)
    outcome = await session.outcome_of(sealed, timeout_ms)
    return Ordered(session.verified.record.epoch, sealed.sequence, body, outcome, since)


async def fetch(
    session: MemberSession, ordered: Ordered, wait: Wait, content: bytes = b""
) -> Receipt:
    """The receipt of an executed event, verified; `session` may be a later one of the same member.

    NotCommitted when no certified checkpoint covers the event in time, Denied (`gone`) when no node
    that answers kept the proof; AttestationFault when what the node shows does not hold.
    """
    give_up_s: float | None = None
    interval = session.verified.genesis.parameters.checkpoint_interval
    due = due_checkpoint(ordered.outcome.commit, interval)
    with trio.move_on_after(wait.timeout_ms / 1000):
        while True:
            wait.progress(max(0, due - max(session.seen, ordered.outcome.commit)))
            for epoch in range(ordered.since, ordered.epoch + 1):
                if session.verified.record.epoch == epoch and session.seen <= due:
                    continue
                try:
                    proof = await _ask(session, ordered, epoch)
                    if proof is not None:
                        return await _checked(session, ordered, proof, content)
                except Unreachable:
                    pass  # the node ended in the middle of it: the barrier finds another one
                except Denied as refusal:
                    give_up_s = give_up_s or trio.current_time() + _ELSEWHERE_S
                    if refusal.code != "gone" or trio.current_time() > give_up_s:
                        raise
            await session.barrier(wait.timeout_ms)
    raise NotCommitted(
        f"no certified checkpoint covers the event within {wait.timeout_ms / 1000:.0f} s; it is in "
        f"commit {ordered.outcome.commit} all the same"
    )


def verify(receipt: Receipt, network: bytes) -> Verification:
    """Check a receipt offline against a network id."""
    return receipts.verify(receipt, network, _vendor_cap)


def asked(receipt: Receipt, app: AppName) -> dict[str, str | int | bool | None]:
    """What the event asked of its app, for people; MemberFault when it is not of that app."""
    operation = codec.decode(
        receipt.body, REQUESTS[app], limits.MAX_EVENT_BYTES, MemberFault
    ).operation
    shown = {name: _shown(getattr(operation, name)) for name in operation.__struct_fields__}
    return {"operation": str(operation.__struct_config__.tag), **shown}


def value(receipt: Receipt) -> bytes | None:
    """What an ordered read of a key found; MemberFault when the event is no such read."""
    operation = codec.decode(
        receipt.body, kv_protocol.Request, limits.MAX_EVENT_BYTES, MemberFault
    ).operation
    if not isinstance(operation, kv_protocol.Read) or receipt.outcome.status != "ok":
        raise MemberFault("receipt", "not the receipt of a read")
    found = codec.decode(receipt.outcome.body, kv_protocol.Reading, limits.MAX_OUTCOME_BYTES)
    return receipt.content if found.digest else found.value


def _shown(part: bytes | str | int | bool | None) -> str | int | bool | None:
    if not isinstance(part, bytes):
        return part
    try:
        return part.decode()
    except UnicodeDecodeError:
        return part.hex()


async def _ask(session: MemberSession, ordered: Ordered, epoch: int) -> Proof | None:
    """The proof, or None while there may be one later, or one of a later epoch."""
    asked = Prove(epoch, ordered.outcome.commit, ordered.sequence, ordered.body)
    try:
        answer: bytes | None = await session.ask(asked)
    except Denied as refusal:
        # A node that fetched state instead of executing it kept nothing; others executed it.
        answer = await _ask_others(session, asked) if refusal.code == "gone" else None
        is_elsewhere = epoch < ordered.epoch and refusal.code in ("unknown-event", "gone")
        if answer is None and refusal.code != "not-yet" and not is_elsewhere:
            raise
    if answer is None:
        return None
    return codec.decode(answer, Proof, limits.MAX_QUERY_REPLY_BYTES)


async def _ask_others(session: MemberSession, asked: Prove) -> bytes | None:
    for connection in session.others():
        with suppress(Fault):
            return await session.ask(asked, connection)
    return None


async def _records(session: MemberSession, count: int) -> tuple[SignedEpochRecord, ...]:
    """The chain from record 0: this client may have pinned a later one and know none before."""
    found: list[SignedEpochRecord] = []
    while len(found) < count:
        answer = await session.ask(ListRecords(len(found)))
        page = codec.decode(answer, Records, 2 * limits.MAX_QUERY_REPLY_BYTES).records
        if not page:
            raise PeerFault("records", "the node does not know all epoch records")
        found.extend(page)
    return tuple(found[:count])


async def _checked(
    session: MemberSession, ordered: Ordered, proof: Proof, content: bytes
) -> Receipt:
    network = session.verified
    is_of_close = not proof.certified.signatures
    records = await _records(session, proof.certified.checkpoint.epoch + 1 + is_of_close)
    receipt = Receipt(
        genesis=network.genesis_bytes,
        records=records,
        certified=proof.certified,
        member=session.member.public,
        sequence=ordered.sequence,
        body=ordered.body,
        outcome=ordered.outcome,
        proof=codec.decode(proof.outcome, OutcomeProof, limits.MAX_QUERY_REPLY_BYTES),
        content=content,
    )
    verification = verify(receipt, network.network)
    if not verification.passed:
        failed = tuple(f"{c.name}: {c.detail}" for c in verification.checks if not c.passed)
        raise AttestationFault("the node shows a receipt that does not hold", failed)
    return receipt


def _vendor_cap(genesis: Genesis) -> str:
    return parse_policy(genesis.policy).caps.vendor
