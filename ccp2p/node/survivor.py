"""One node's part in a recovery: it checks what governors approved, promises, and signs.

A promise (`Pledge`) is on disk before the signature leaves: from then on this node proposes and
executes nothing more in its epoch, and follows no other record than the promised one. It gives none
while a quorum lives, nor from another commit than the newest that it executed. The first seat of a
plan makes its secrets, once; a second try takes the same, so that a plan has one record.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio
from msgspec.structs import replace

from ccp2p.crypto import signatures
from ccp2p.membership.records import Link, check_plan, check_successor
from ccp2p.membership.recovery import Stand, first_stand, plan_of, stand_of
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import (
    EpochRecord,
    SignedEpochRecord,
    parse_record,
    record_digest,
    record_signed_bytes,
)
from ccp2p.model.errors import Fault, LocalFault, MemberFault, PeerFault, Unreachable
from ccp2p.model.genesis import Parameters
from ccp2p.node.at_rest import shares_of
from ccp2p.node.boundary import Boundary
from ccp2p.node.core import NodeCore
from ccp2p.node.executor import CommitRecord, Executor
from ccp2p.node.messages import RecoveryAnswer, RecoveryProposal, encode_message
from ccp2p.node.patience import Patience
from ccp2p.node.roster_keeper import Closing, begun_roster
from ccp2p.node.steward import Steward
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets, open_from_proposer, seal_to_seat
from ccp2p.storage.store import Batch, Store

PLEDGE: Final = "pledge"
"""Where the store keeps a promise, until the epoch that it leads to has begun."""

GATHER_S: Final = 40.0  # for all to sign: the slowest walks a long coin chain first
_REPEAT_S: Final = 1.0
_MAX_REASON_CHARS: Final = 500

Approvals = tuple[tuple[int, bytes], ...]


class Pledge(Wire, frozen=True):
    """To leave `epoch` by this record, whose secret is `secret`, and by no other."""

    epoch: int
    record: bytes
    approvals: Approvals
    secret: bytes


def kept_pledge(store: Store, epoch: int) -> Pledge | None:
    """The promise that this node gave in `epoch`."""
    data = store.meta(PLEDGE)
    pledge = codec.decode(data, Pledge, limits.MAX_FRAME_BYTES, LocalFault) if data else None
    return pledge if pledge and pledge.epoch == epoch else None


class Survivor:
    """The node of `identity` in the epoch of `link`.

    `settled()` is a moment without a commit under way, `write(batch)` is durable when it returns,
    `send(node, frame)` queues. `has_signed`: it was this very process that promised.
    """

    def __init__(
        self,
        *,
        link: Link,
        identity: Identity,
        parameters: Parameters,
        core: NodeCore,
        executor: Executor,
        store: Store,
        steward: Steward,
        boundary: Boundary,
        patience: Patience,
        settled: Callable[[], AbstractAsyncContextManager[None]],
        write: Callable[[Batch], Awaitable[None]],
        send: Callable[[bytes, bytes], bool],
    ) -> None:
        self._link = link
        self._identity = identity
        self._parameters = parameters
        self._coin_length = parameters.coin_length
        self._core = core
        self._executor = executor
        self._store = store
        self._steward = steward
        self._boundary = boundary
        self._patience = patience
        self._settled = settled
        self._write = write
        self._send = send
        self._leading = trio.Lock()
        self._answers: dict[bytes, RecoveryAnswer] = {}
        self._heard = trio.Event()
        self._pledge: Pledge | None = None
        self.has_signed = False
        pledge = kept_pledge(store, link.record.epoch)
        if pledge is not None:
            self._adopt(pledge)

    @property
    def is_bound(self) -> bool:
        """Whether this node promised to do nothing more in its epoch."""
        return self._pledge is not None

    async def lead(self, plan_bytes: bytes, approvals: Approvals) -> SignedEpochRecord:
        """Make the record of an approved plan, with everybody's signature; a Fault says why not."""
        if self._leading.locked():
            raise MemberFault("busy", "a recovery is under way at this node: wait for it")
        async with self._leading:
            plan = await trio.to_thread.run_sync(
                check_plan, plan_bytes, approvals, self._link, signatures.verify_batch
            )
            leader = plan.seats[0].node
            if leader != self._identity.node:
                raise MemberFault("leader", f"hand this recovery to its first node, {leader.hex()}")
            self._check_may(plan)
            pledge, secrets = await trio.to_thread.run_sync(self._made, plan, approvals)
            await self._bind(pledge, secrets)
            return await self._gather(pledge)

    async def answer(self, node: bytes, proposal: RecoveryProposal) -> RecoveryAnswer:
        """Our signature over the record that the first of a plan shows, or why it gets none."""
        digest = record_digest(proposal.record)
        try:
            if self._pledge is None or self._pledge.record != proposal.record:
                secrets = await trio.to_thread.run_sync(self._checked, node, proposal)
                epoch = self._link.record.epoch
                pledge = Pledge(epoch, proposal.record, proposal.approvals, secrets.secret)
                await self._bind(pledge, secrets)
        except Fault as fault:
            return RecoveryAnswer(digest, b"", str(fault)[:_MAX_REASON_CHARS])
        return RecoveryAnswer(digest, self._signature(proposal.record), "")

    def hear(self, node: bytes, answer: RecoveryAnswer) -> None:
        """Take what somebody says to our proposal; PeerFault when the signature is wrong."""
        pledge = self._pledge
        if pledge is None or not self._leading.locked():
            return
        record = parse_record(pledge.record)
        seats = [seat.node for seat in record.seats]
        if answer.record != record_digest(pledge.record) or node not in seats:
            return
        message = record_signed_bytes(pledge.record)
        if answer.signature and not signatures.verify(node, answer.signature, message):
            raise PeerFault("record", "a peer's signature on the recovery is wrong")
        self._answers[node] = answer
        self._heard.set()

    def closing(self, signed: SignedEpochRecord) -> Closing | None:
        """What a complete recovery leaves here; None when this node stands elsewhere."""
        record = parse_record(signed.record)
        if self.stand != stand_of(record):
            return None
        roster = begun_roster(record, self._executor.machine.roster)
        return Closing(record, roster.encode(), signed)

    def _made(self, plan: EpochRecord, approvals: Approvals) -> tuple[Pledge, EpochSecrets]:
        """The one record of a plan. Walks a coin chain, which takes seconds."""
        held = self._pledge
        if held is not None and plan_of(parse_record(held.record)) == plan:
            return held, EpochSecrets(held.secret, self._coin_length)
        secrets = EpochSecrets(os.urandom(SECRET_BYTES), self._coin_length)
        record = replace(
            plan,
            coin_anchor=secrets.coin.anchor,
            epoch_key=secrets.epoch_key.public,
            shares=shares_of(self._parameters, secrets.secret, plan),
        )
        epoch = self._link.record.epoch
        return Pledge(epoch, codec.encode(record), approvals, secrets.secret), secrets

    def _checked(self, node: bytes, proposal: RecoveryProposal) -> EpochSecrets:
        """The secrets of a proposal that holds; PeerFault when it does not."""
        record = parse_record(proposal.record)
        check_plan(
            codec.encode(plan_of(record)),
            proposal.approvals,
            self._link,
            signatures.verify_batch,
        )
        seats = [seat.node for seat in record.seats]
        if node != seats[0] or self._identity.node not in seats[1:]:
            raise PeerFault(
                "recovery", "only the first of a recovery may propose it, to the others"
            )
        self._check_may(record)
        secret = open_from_proposer(
            proposal.secret, self._identity.sealing, record.network, record.epoch
        )
        secrets = EpochSecrets.of_record(secret, self._coin_length, record)
        if record.shares != shares_of(self._parameters, secret, record):
            raise PeerFault("recovery", "the record's recovery shares are not those of its secret")
        return secrets

    def _check_may(self, record: EpochRecord) -> None:
        """LocalFault when this node cannot go on by this record or plan."""
        known = self._boundary.successor
        if known is not None:
            raise LocalFault(
                "two-records",
                f"epoch {known.epoch} has begun: this node knows its record "
                f"{record_digest(codec.encode(known)).hex()} and takes no other",
            )
        if not self.is_bound and not self._patience.waits:
            raise LocalFault("alive", "a quorum lives: this node sees its rounds go on")
        stand = self.stand
        if stand != stand_of(record):
            raise LocalFault(
                "stand",
                f"this node stands at commit {stand.commit} with state "
                f"{stand.state_root.hex()[:16]}, and the plan at {record.close_commit} with "
                f"{record.state_root.hex()[:16]}",
            )
        certified = record.recovery.commit if record.recovery else 0
        if certified < self._executor.certified:
            raise LocalFault(
                "certified",
                f"this node knows a certified checkpoint at commit {self._executor.certified}, the "
                f"plan none behind {certified}",
            )

    @property
    def stand(self) -> Stand:
        """How far this node executed the epoch, by its disk."""
        epoch = self._link.record.epoch
        newest = self._store.newest_commit(epoch)
        data = self._store.commit(epoch, newest) if newest else None
        if data is None:
            return first_stand(self._link.record)
        found = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES, LocalFault)
        commit = found.commit
        return Stand(
            commit.index,
            commit.digest,
            found.state_root,
            found.outcomes_root,
            commit.ledger_time_ms,
        )

    async def _bind(self, pledge: Pledge, secrets: EpochSecrets) -> None:
        """Promise: no block is signed and no commit executed here any more, nor after a restart.

        Whoever asked may go away meanwhile: what is written must be what this object knows.
        """
        if pledge == self._pledge:
            return
        async with self._settled():
            self._check_may(parse_record(pledge.record))
            self._core.halt()
            meta = {PLEDGE: codec.encode(pledge)}
            with trio.CancelScope(shield=True):
                await self._write(Batch(epoch=pledge.epoch, meta=meta))
            self._adopt(pledge)
        self._steward.adopt(secrets)
        self.has_signed = True

    def _adopt(self, pledge: Pledge) -> None:
        self._pledge = pledge
        self._core.halt()
        self._boundary.promise(record_digest(pledge.record), self._identity.node)

    async def _gather(self, pledge: Pledge) -> SignedEpochRecord:
        """Show the record to all others until each signed it or one refuses."""
        record = parse_record(pledge.record)
        self._answers = {}
        others = record.seats[1:]
        with trio.move_on_after(GATHER_S):
            while lacking := [seat for seat in others if seat.node not in self._answers]:
                for seat in lacking:
                    sealed = seal_to_seat(pledge.secret, seat.sealing, record.network, record.epoch)
                    proposal = RecoveryProposal(pledge.record, pledge.approvals, sealed)
                    self._send(seat.node, encode_message(proposal))
                self._heard = trio.Event()
                with trio.move_on_after(_REPEAT_S):
                    await self._heard.wait()
                self._stop_if_refused()
        return self._completed(pledge, record)

    def _stop_if_refused(self) -> None:
        for node, answer in self._answers.items():
            if not answer.signature:
                reason = answer.reason[:_MAX_REASON_CHARS]
                raise LocalFault("refused", f"node {node.hex()[:16]} does not sign: {reason}")

    def _completed(self, pledge: Pledge, record: EpochRecord) -> SignedEpochRecord:
        committee = self._link.record.committee()
        found = {self._identity.node: self._signature(pledge.record)}
        found |= {node: answer.signature for node, answer in self._answers.items()}
        silent = [seat.node.hex()[:16] for seat in record.seats if seat.node not in found]
        if silent:
            raise Unreachable(
                f"no signature in time from {', '.join(silent)}: try again, or leave them out"
            )
        signers = tuple(
            (committee.index_of(seat.node) or 0, found[seat.node]) for seat in record.seats
        )
        signed = SignedEpochRecord(pledge.record, signers, approvals=pledge.approvals)
        check_successor(signed, self._link, signatures.verify_batch)
        return signed

    def _signature(self, record: bytes) -> bytes:
        return self._identity.signing.sign(record_signed_bytes(record))
