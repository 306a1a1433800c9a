"""How a node takes part in founding a network: as its first node, or by a node ticket.

Both sides end with record 0 signed by everyone, the epoch secret, and where the others listen.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import trio
from msgspec.structs import replace

from ccp2p.crypto import signatures
from ccp2p.membership import founding
from ccp2p.membership.founding import FounderRequest
from ccp2p.model import codec
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import (
    EpochRecord,
    SignedEpochRecord,
    parse_record,
    record_digest,
    record_signed_bytes,
)
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.model.genesis import Genesis
from ccp2p.model.host_commands import invite_digest
from ccp2p.node.at_rest import shares_of
from ccp2p.node.attestor import NodeAttestor
from ccp2p.node.messages import (
    FoundingComplete,
    FoundingJoin,
    FoundingProposal,
    FoundingRefusal,
    FoundingSignature,
    PeerMessage,
    decode_message,
    encode_message,
)
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import EpochSecrets, open_from_proposer, seal_to_seat

_LAST_WORD_S = 0.5  # for a refusal to leave this node, which ends with it

Frames = AsyncIterator[tuple[bytes, bytes]]
"""(node, frame) pairs from attested nodes, as they arrive."""


@dataclass(frozen=True, slots=True)
class Founded:
    """The result; the requests say where every founder listens."""

    signed: SignedEpochRecord
    secrets: EpochSecrets
    requests: tuple[FounderRequest, ...]


@dataclass(frozen=True, slots=True)
class Founder:
    """What both sides need. `report` tells people how far the founding is."""

    genesis: Genesis
    network: bytes
    identity: Identity
    attestor: NodeAttestor
    addresses: tuple[str, ...]
    client_addresses: tuple[str, ...]
    send_frame: Callable[[bytes, bytes], bool]
    report: Callable[[str], None]

    def request(self, invite: bytes) -> FounderRequest:
        """Our own request; its evidence is bound to the network."""
        return FounderRequest(
            self.identity.node,
            self.identity.sealing.public,
            self.attestor.bundle(self.network),
            self.addresses,
            self.client_addresses,
            invite,
        )

    def seat(self, request: FounderRequest) -> Seat:
        """The seat that a request's evidence earns; PeerFault when it earns none."""
        founding.check_request(request)
        verdict = self.attestor.judge(request.node, request.sealing, self.network, request.evidence)
        if not signatures.is_admissible_key(request.node):
            raise PeerFault("founding", "a founder's key is not a valid point")
        return Seat(request.node, request.sealing, verdict.platform_id, verdict.vendor)

    def send(self, node: bytes, message: PeerMessage) -> None:
        """Queue a message; a founding is small, so a full queue means a lost peer."""
        self.send_frame(node, encode_message(message))


async def lead(founder: Founder, frames: Frames, secret: bytes) -> Founded:
    """The first node's part: gather founders, propose, collect every signature."""
    genesis = founder.genesis
    requests = {founder.identity.node: founder.request(b"")}
    seats = {founder.identity.node: founder.seat(requests[founder.identity.node])}
    founding.check_platforms(list(seats.values()))
    founding.check_vendors(
        list(seats.values()), founder.attestor.policy.caps.vendor, founder.genesis.founders
    )
    founder.report(f"1 of {genesis.founders} founders is here")
    while len(seats) < genesis.founders:
        node, message = await _next(frames)
        if isinstance(message, FoundingJoin):
            await _admit(founder, node, message.request, requests, seats)
    secrets = await trio.to_thread.run_sync(EpochSecrets, secret, genesis.parameters.coin_length)
    record = founding.record_zero(
        genesis,
        founder.network,
        list(seats.values()),
        secrets.coin.anchor,
        secrets.epoch_key.public,
        [],
    )
    record = replace(record, shares=shares_of(genesis.parameters, secret, record))
    signed = await _collect(founder, frames, record, requests, secret)
    return Founded(signed, secrets, tuple(requests.values()))


async def _admit(
    founder: Founder,
    node: bytes,
    request: FounderRequest,
    requests: dict[bytes, FounderRequest],
    seats: dict[bytes, Seat],
) -> None:
    try:
        if request.node != node:
            raise PeerFault("founding", "a founder speaks for itself only")
        if invite_digest(request.invite) != founder.genesis.founder_invite:
            raise PeerFault("invite", "the ticket's invite is not this network's")
        seat = founder.seat(request)
        others = [held for other, held in seats.items() if other != node]
        founding.check_platforms([*others, seat])
        founding.check_vendors(
            [*others, seat], founder.attestor.policy.caps.vendor, founder.genesis.founders
        )
    except PeerFault as fault:
        founder.send(node, FoundingRefusal(str(fault)))
        founder.report(f"refused a founder: {fault}")
        return
    seats[node] = seat
    requests[node] = replace(request, invite=b"")
    founder.report(f"{len(seats)} of {founder.genesis.founders} founders are here")


async def _collect(
    founder: Founder,
    frames: Frames,
    record: EpochRecord,
    requests: dict[bytes, FounderRequest],
    secret: bytes,
) -> SignedEpochRecord:
    record_bytes = codec.encode(record)
    message = record_signed_bytes(record_bytes)
    for seat in record.seats[1:]:
        sealed = seal_to_seat(secret, seat.sealing, founder.network, 0)
        proposal = FoundingProposal(record_bytes, tuple(requests.values()), sealed)
        founder.send(seat.node, proposal)
    found = {0: founder.identity.signing.sign(message)}
    committee = record.committee()
    while len(found) < committee.size:
        node, answer = await _next(frames)
        index = committee.index_of(node)
        if index is None:
            continue
        if isinstance(answer, FoundingRefusal):
            reason = f"founder {index} refused: {answer.reason[:500]}"
            for seat in record.seats[1:]:
                founder.send(seat.node, FoundingRefusal(reason))
            await trio.sleep(_LAST_WORD_S)
            raise LocalFault("founding", reason)
        if isinstance(answer, FoundingSignature) and signatures.verify(
            node, answer.signature, message
        ):
            found[index] = answer.signature
            founder.report(f"{len(found)} of {committee.size} founders signed epoch record 0")
    signed = SignedEpochRecord(record_bytes, tuple(sorted(found.items())))
    for seat in record.seats[1:]:
        founder.send(seat.node, FoundingComplete(signed))
    return signed


async def follow(
    founder: Founder, frames: Frames, invite: bytes, mark_signed: Callable[[bytes], None]
) -> Founded:
    """Another founder's part. `mark_signed(record digest)` persists it or refuses a second one."""
    first = founder.genesis.first_node
    founder.send(first, FoundingJoin(founder.request(invite)))
    founder.report("asked to join; waiting for the other founders")
    proposal = None
    secrets = None
    while True:
        node, message = await _next(frames)
        if node != first:
            continue
        if isinstance(message, FoundingRefusal):
            raise PeerFault("founding", f"the first node refused: {message.reason[:500]}")
        if isinstance(message, FoundingProposal) and proposal is None:
            try:
                secrets = await trio.to_thread.run_sync(_check_proposal, founder, message)
            except PeerFault as fault:
                founder.send(first, FoundingRefusal(str(fault)))
                await trio.sleep(_LAST_WORD_S)
                raise
            mark_signed(record_digest(message.record))
            proposal = message
            signature = founder.identity.signing.sign(record_signed_bytes(message.record))
            founder.send(first, FoundingSignature(signature))
            founder.report("checked and signed epoch record 0")
        if isinstance(message, FoundingComplete) and proposal and secrets:
            if message.signed.record != proposal.record:
                raise PeerFault("founding", "the first node completed another record")
            founding.check_founding(
                message.signed,
                founder.genesis,
                founder.network,
                founder.attestor.policy.caps.vendor,
                signatures.verify_batch,
            )
            return Founded(message.signed, secrets, proposal.requests)


def _check_proposal(founder: Founder, proposal: FoundingProposal) -> EpochSecrets:
    """Every check before signing: rules, evidence, and the secrets recomputed."""
    record = parse_record(proposal.record)
    founding.check_record_zero(
        record, founder.genesis, founder.network, founder.attestor.policy.caps.vendor
    )
    if tuple(founder.seat(request) for request in proposal.requests) != record.seats:
        raise PeerFault("founding", "the record's seats are not what their evidence earns")
    if founder.identity.node not in {seat.node for seat in record.seats}:
        raise PeerFault("founding", "the record has no seat for this node")
    secret = open_from_proposer(proposal.secret, founder.identity.sealing, founder.network, 0)
    secrets = EpochSecrets.of_record(secret, founder.genesis.parameters.coin_length, record)
    if record.shares != shares_of(founder.genesis.parameters, secret, record):
        raise PeerFault("founding", "the record's recovery shares are not those of the secret")
    return secrets


async def _next(frames: Frames) -> tuple[bytes, PeerMessage | None]:
    node, frame = await anext(frames)
    try:
        return node, decode_message(frame)
    except PeerFault:
        return node, None
