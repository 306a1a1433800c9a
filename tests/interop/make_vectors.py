"""The test vectors of docs/protocol.md, out of the real code.

`python -m tests.interop.make_vectors` writes the file again. Every key and nonce is fixed, so that
anybody gets the same bytes; all are published here and protect nothing. Bytes are in hexadecimal.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

from msgspec.structs import replace

from ccp2p.attestation import simulated
from ccp2p.attestation.binding import report_data
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.attestation.policy import simulated_policy
from ccp2p.attestation.verify import platform_id
from ccp2p.client import rooms
from ccp2p.crypto import aead, hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.apps import rooms_protocol
from ccp2p.execution.receipts import format_receipt
from ccp2p.membership import recovery
from ccp2p.membership.founding import record_zero
from ccp2p.model import codec, hashing
from ccp2p.model.amendment import Amendment, amendment_digest, approval_bytes
from ccp2p.model.committee import Seat
from ccp2p.model.envelope import Event, event_id, event_signed_bytes, pad
from ccp2p.model.epoch import (
    EpochRecord,
    SignedEpochRecord,
    record_digest,
    record_signed_bytes,
)
from ccp2p.model.genesis import Genesis, Parameters, network_id, policy_digest
from ccp2p.model.host_commands import invite_digest
from ccp2p.model.member_protocol import (
    GetStatus,
    Hello,
    Outcomes,
    Query,
    QueryResult,
    Question,
    Read,
    Refusal,
    Refused,
    Reply,
    Submit,
    Welcome,
    encode_message,
)
from ccp2p.model.outcome import Outcome
from ccp2p.model.ticket import Ticket, format_ticket
from ccp2p.network import framing
from ccp2p.network.addresses import format_address
from ccp2p.sealing import session as sessions
from tests.crypto import hpke_by_the_book
from tests.execution.receipt_world import WORLD

FILE: Final = Path(__file__).parent / "vectors.json"

FOUNDERS: Final = tuple(SigningKey(bytes([number]) * 32) for number in (1, 2))
CHIPS: Final = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12))
SEALING: Final = tuple(hpke.PrivateKey(bytes([number]) * 32) for number in (21, 22))
EPOCH_KEY: Final = hpke.PrivateKey(bytes([31]) * 32)
EPHEMERAL: Final = bytes([32]) * 32
MEMBER: Final = SigningKey(bytes([41]) * 32)
SESSION_KEY: Final = bytes([42]) * 32
INVITE: Final = bytes([43]) * 16
NONCE: Final = bytes(range(32))
MEASUREMENT: Final = bytes([51]) * 32
LATER_POLICY: Final = simulated_policy(MEASUREMENT) + 'vendors = ["sim-a"]\n'
EPOCH: Final = 2
QUERY_NUMBER: Final = 0x0102030405

GENESIS: Final = Genesis(
    name="friends",
    kind="group",
    app="rooms",
    policy=simulated_policy(MEASUREMENT),
    parameters=Parameters(),
    governors=(MEMBER.public,),
    governor_threshold=1,
    first_node=FOUNDERS[0].public,
    founders=2,
    member_invite=invite_digest(INVITE),
    node_invite=b"",
    founder_invite=b"",
    created_ms=1_700_000_000_000,
)
GENESIS_BYTES: Final = codec.encode(GENESIS)
NETWORK: Final = network_id(GENESIS_BYTES)
ADDRESS: Final = format_address("192.0.2.1", 4001, FOUNDERS[0].public)


def vectors() -> dict[str, Any]:
    """All of them, as they are published."""
    chain = records()
    return {
        "about": "Test vectors of docs/protocol.md. Bytes are in hexadecimal; every key is public.",
        "hashing": _hashing(),
        "genesis": {"bytes": GENESIS_BYTES.hex(), "network": NETWORK.hex()},
        "ticket": _ticket(chain[0]),
        "evidence": _evidence(),
        "records": [_record(signed) for signed in chain],
        "welcome": _welcome(chain),
        "hpke": _hpke(),
        "session": _session(),
        "event": _event(),
        "envelopes": [_envelope(algorithm) for algorithm in aead.NONCE_BYTES],
        "rooms": _rooms(),
        "frames": _frames(),
        "receipt": {"network": WORLD.network.hex(), "text": format_receipt(WORLD.receipt())},
    }


def records() -> tuple[SignedEpochRecord, ...]:
    """Record 0; the same seats under a policy that the governor changed; one of them, recovered."""
    seats = [
        Seat(founder.public, sealing.public, platform_id("sim-a", chip.public, NETWORK), "sim-a")
        for founder, sealing, chip in zip(FOUNDERS, SEALING, CHIPS, strict=True)
    ]
    zero = record_zero(GENESIS, NETWORK, seats, bytes([61]) * 32, bytes([62]) * 32, [MEASUREMENT])
    first = _signed(zero)
    amendment = codec.encode(Amendment(NETWORK, 0, LATER_POLICY))
    one = replace(
        zero,
        epoch=1,
        predecessor=record_digest(first.record),
        policy_digest=policy_digest(LATER_POLICY),
        amendment=amendment_digest(amendment),
        coin_anchor=bytes([63]) * 32,
        epoch_key=bytes([64]) * 32,
        close_commit=99,
        close_chain=bytes([65]) * 32,
        state_root=bytes([66]) * 32,
        outcomes_root=bytes([67]) * 32,
        ledger_time_ms=GENESIS.created_ms + 60_000,
    )
    approval = MEMBER.sign(approval_bytes(NETWORK, amendment_digest(amendment)))
    second = replace(_signed(one), amendment=amendment, approvals=((0, approval),))
    stand = recovery.Stand(88, *(bytes([n]) * 32 for n in (71, 72, 73)), one.ledger_time_ms + 1)
    planned = recovery.plan(
        one, record_digest(second.record), [FOUNDERS[0].public], stand, (80, bytes([74]) * 32)
    )
    two = replace(planned, coin_anchor=bytes([75]) * 32, epoch_key=EPOCH_KEY.public)
    approval = MEMBER.sign(recovery.approval_bytes(two))
    third = replace(_signed(two), approvals=((0, approval),))
    return first, second, replace(third, signatures=third.signatures[:1])


def context(algorithm: str) -> sessions.SessionContext:
    """What the seals of the session are bound to."""
    return sessions.SessionContext(NETWORK, EPOCH, algorithm)


def opening() -> bytes:
    """The session's opening, with a fixed ephemeral key."""
    plaintext = codec.encode(sessions.Opening(SESSION_KEY, INVITE))
    return hpke_by_the_book.seal(EPHEMERAL, EPOCH_KEY.public, _info(), plaintext)


def event(sequence: int, body: bytes) -> Event:
    """A signed event of the member."""
    signed = event_signed_bytes(event_id(NETWORK, MEMBER.public, sequence, body))
    return Event(MEMBER.public, sequence, body, MEMBER.sign(signed))


def _info() -> bytes:
    """What our HPKE binds: the length of its info, the info, and the associated data."""
    associated = context("aegis256").associated(b"open", b"")
    return len(sessions._INFO).to_bytes(4, "big") + sessions._INFO + associated


def _signed(record: EpochRecord) -> SignedEpochRecord:
    data = codec.encode(record)
    message = record_signed_bytes(data)
    return SignedEpochRecord(data, tuple((i, key.sign(message)) for i, key in enumerate(FOUNDERS)))


def _hashing() -> list[dict[str, str]]:
    plain = {"person": hashing.EVENT.decode(), "key": "", "data": b"abc".hex()}
    keyed = {"person": hashing.SESSION.decode(), "key": SESSION_KEY.hex(), "data": b"tag".hex()}
    return [
        plain | {"digest": hashing.digest(hashing.EVENT, b"abc").hex()},
        keyed | {"digest": hashing.keyed(hashing.SESSION, SESSION_KEY, b"tag").hex()},
    ]


def _ticket(zero: SignedEpochRecord) -> dict[str, Any]:
    pinned = record_digest(zero.record)
    ticket = Ticket(NETWORK, "friends", "member", True, pinned, (ADDRESS,), INVITE)
    return {
        "text": format_ticket(ticket),
        "network": NETWORK.hex(),
        "name": ticket.name,
        "role": ticket.role,
        "simulated": ticket.simulated,
        "record": pinned.hex(),
        "addresses": list(ticket.addresses),
        "secret": INVITE.hex(),
        "expires_ms": ticket.expires_ms,
    }


def _evidence() -> dict[str, str]:
    data = report_data(NETWORK, FOUNDERS[0].public, SEALING[0].public, NONCE)
    return {
        "network": NETWORK.hex(),
        "node": FOUNDERS[0].public.hex(),
        "sealing": SEALING[0].public.hex(),
        "nonce": NONCE.hex(),
        "report_data": data.hex(),
        "simulated_root": SigningKey(simulated.ROOT_SEED).public.hex(),
        "measurement": MEASUREMENT.hex(),
        "platform_id": platform_id("sim-a", CHIPS[0].public, NETWORK).hex(),
        "bundle": _bundle(data).hex(),
    }


def _bundle(data: bytes) -> bytes:
    report = simulated.sign_report(bytes([11]) * 32, MEASUREMENT, data)
    certificate = simulated.certify(CHIPS[0].public, "sim-a")
    return codec.encode(EvidenceBundle(simulated.TEE, report, (certificate,)))


def _record(signed: SignedEpochRecord) -> dict[str, str]:
    return {
        "bytes": signed.record.hex(),
        "digest": record_digest(signed.record).hex(),
        "signed_bytes": record_signed_bytes(signed.record).hex(),
        "signed_record": codec.encode(signed).hex(),
    }


def _welcome(chain: tuple[SignedEpochRecord, ...]) -> dict[str, str]:
    data = report_data(NETWORK, FOUNDERS[0].public, SEALING[0].public, NONCE)
    welcome = Welcome(
        genesis=GENESIS_BYTES,
        records=tuple(codec.encode(signed) for signed in chain),
        node=FOUNDERS[0].public,
        sealing=SEALING[0].public,
        evidence=_bundle(data),
        node_addresses=(),
        client_addresses=(ADDRESS,),
        policy=LATER_POLICY,
    )
    return {
        "nonce": NONCE.hex(),
        "remote": FOUNDERS[0].public.hex(),
        "network": NETWORK.hex(),
        "epoch_key": EPOCH_KEY.public.hex(),
        "frame": encode_message(welcome).hex(),
    }


def _hpke() -> dict[str, str]:
    return {
        "private_key": (bytes([31]) * 32).hex(),
        "public_key": EPOCH_KEY.public.hex(),
        "ephemeral_private_key": EPHEMERAL.hex(),
        "info": _info().hex(),
        "plaintext": codec.encode(sessions.Opening(SESSION_KEY, INVITE)).hex(),
        "sealed": opening().hex(),
    }


def _session() -> dict[str, Any]:
    keys = sessions.SessionKeys.derive(SESSION_KEY)
    return {
        "network": NETWORK.hex(),
        "epoch": EPOCH,
        "key": SESSION_KEY.hex(),
        "invite": INVITE.hex(),
        "tag_key": keys.tag.hex(),
        "up_key": keys.up.hex(),
        "down_key": keys.down.hex(),
        "tags": [keys.tag_of(sequence).hex() for sequence in range(3)],
        "opening": opening().hex(),
        "session": sessions.session_id(opening()).hex(),
    }


def _event() -> dict[str, Any]:
    body = rooms.post("lobby", "Hello")
    signed = event(2, body)
    identifier = event_id(NETWORK, MEMBER.public, 2, body)
    return {
        "seed": (bytes([41]) * 32).hex(),
        "member": MEMBER.public.hex(),
        "sequence": 2,
        "body": body.hex(),
        "id": identifier.hex(),
        "signed_bytes": event_signed_bytes(identifier).hex(),
        "signature": signed.signature.hex(),
        "bytes": codec.encode(signed).hex(),
        "padded": pad(codec.encode(signed)).hex(),
    }


def _envelope(algorithm: str) -> dict[str, Any]:
    """The first envelope, an ordinary one, and a question, each with the answer."""
    keys, bound = sessions.SessionKeys.derive(SESSION_KEY), context(algorithm)
    identifier, tag = sessions.session_id(opening()), keys.tag_of(2)
    body = rooms.post("lobby", "Hello")
    outcome = codec.encode(
        Outcome(event_id(NETWORK, MEMBER.public, 2, body), "ok", 7, 0, codec.encode((4,)))
    )
    question = codec.encode(
        Question(Read(7, codec.encode(rooms_protocol.Query(rooms_protocol.Read("lobby")))))
    )
    answer = codec.encode(QueryResult("", _messages()))
    with _fixed_nonces():
        first = sessions.seal_event(bound, keys, event(0, NONCE[:16]), opening())
        ordinary = sessions.seal_event(bound, keys, event(2, body))
        told = sessions.seal_outcomes(bound, [keys], [tag], [outcome])[0]
        asked = sessions.seal_query(bound, keys, identifier, QUERY_NUMBER, question)
        replied = sessions.seal_reply(bound, keys, identifier, QUERY_NUMBER, answer)
    return {
        "aead": algorithm,
        "nonce": bytes(range(aead.NONCE_BYTES[algorithm])).hex(),
        "first_body": NONCE[:16].hex(),
        "first_envelope": codec.encode(first).hex(),
        "associated": bound.associated(b"event", tag).hex(),
        "envelope": codec.encode(ordinary).hex(),
        "tag": tag.hex(),
        "outcome": outcome.hex(),
        "sealed_outcome": told.hex(),
        "query_number": QUERY_NUMBER,
        "question": question.hex(),
        "sealed_question": asked.hex(),
        "answer": answer.hex(),
        "sealed_answer": replied.hex(),
    }


def _fixed_nonces() -> Any:
    """Nonces count from zero while this lasts: sealing draws them itself."""
    fixed = SimpleNamespace(urandom=lambda size: bytes(range(size)))
    return mock.patch.object(aead, "os", fixed)


def _messages() -> bytes:
    message = rooms_protocol.Message(4, MEMBER.public, "ann", "Hello", GENESIS.created_ms)
    return codec.encode(rooms_protocol.Messages((message,), 5, 5))


def _rooms() -> dict[str, str]:
    read = rooms_protocol.Query(rooms_protocol.Read("lobby", 4, 100))
    bodies = {
        "create": rooms.create("lobby", False, "ann"),
        "join": rooms.join("lobby", "bob"),
        "admit": rooms.admit("den", MEMBER.public),
        "post": rooms.post("lobby", "Hello"),
        "joined": codec.encode(rooms_protocol.Joined("owner")),
        "posted": codec.encode(rooms_protocol.Posted(4)),
        "read": codec.encode(read),
        "messages": _messages(),
    }
    return {name: body.hex() for name, body in bodies.items()}


def _frames() -> dict[str, str]:
    """Whole frames as they cross the stream, each with its length in front."""
    messages = {
        "hello": Hello(NONCE, network=NETWORK),
        "submit": Submit((b"an envelope",)),
        "query": Query(QUERY_NUMBER, bytes(16), b"sealed"),
        "status": GetStatus(1, 0),
        "outcomes": Outcomes(((bytes(16), b"sealed"),)),
        "refused": Refused((Refusal(bytes(16), "busy", "the node's queue is full"),)),
        "reply": Reply(QUERY_NUMBER, b"sealed", ""),
    }
    return {
        name: framing.encode([encode_message(message)]).hex() for name, message in messages.items()
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
