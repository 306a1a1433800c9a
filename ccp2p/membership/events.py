"""Membership events: what nodes ask for and agree on about the committee, in the order of the log.

Each is signed by the node that it speaks for, and any seat may carry it: a joiner has no blocks of
its own. Bytes are read once, here, into a typed event whose signature is then checked in a batch
with others'.

An event may be ordered many times, by any seat and at any later time: so the signature covers the
epoch, and what speaks of one change also names it. `attempt` is the roster's: the number of changes
of the epoch that were void before this one. An acknowledgement of a void change's first proposal is
thus none of the next one's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, get_args

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import are_shares
from ccp2p.model.errors import PeerFault


class JoinRequest(Wire, frozen=True):
    """A node asks to follow, and for a seat at the next epoch.

    `anchor` is the digest that its evidence is bound to: the epoch record's, or the chain digest
    of a recent checkpoint commit. `invite` is the secret of its node ticket. `replaces` is empty,
    or the node whose seat on the same platform it takes over, with that node's `consent`: its
    signature over `consent_bytes`, or empty when that node is silent.
    """

    kind: ClassVar[str] = "join"
    sealing: bytes
    anchor: bytes
    evidence: bytes
    invite: bytes
    addresses: tuple[str, ...]
    client_addresses: tuple[str, ...]
    replaces: bytes = b""
    consent: bytes = b""


class Renewal(Wire, frozen=True):
    """Fresh evidence of a node that has a seat or follows; `anchor` as in its JoinRequest."""

    kind: ClassVar[str] = "renew"
    anchor: bytes
    evidence: bytes


class LeaveRequest(Wire, frozen=True):
    """A node gives up its seat, or its place among the observers, at the next epoch."""

    kind: ClassVar[str] = "leave"


class CloseIntent(Wire, frozen=True):
    """A seat wants its epoch to end: Q of them freeze the next committee."""

    kind: ClassVar[str] = "close"
    attempt: int


class Prekey(Wire, frozen=True):
    """A one-epoch X25519 key of a member of the frozen committee."""

    kind: ClassVar[str] = "prekey"
    attempt: int
    key: bytes


class Rekey(Wire, frozen=True):
    """A member of the frozen committee proposes the next epoch's secrets.

    Public: the coin's anchor and the epoch key. `sealed` is, for every frozen seat in order, the
    secret sealed to its prekey, or empty bytes for a seat that gave none. `shares` are as in the
    record to come.
    """

    kind: ClassVar[str] = "rekey"
    attempt: int
    coin_anchor: bytes
    epoch_key: bytes
    sealed: tuple[bytes, ...]
    shares: tuple[bytes, ...] = ()


class Acknowledgement(Wire, frozen=True):
    """Its sender holds the secret of proposal `number` and recomputed what is public of it."""

    kind: ClassVar[str] = "ack"
    attempt: int
    number: int


class Accusation(Wire, frozen=True):
    """Two headers that one seat signed for one slot, as (header bytes, signature) each."""

    kind: ClassVar[str] = "accusation"
    first: tuple[bytes, bytes]
    second: tuple[bytes, bytes]


class Candidacy(Wire, frozen=True):
    """An observer of a mesh is here, and wants to be drawn for the next committee."""

    kind: ClassVar[str] = "candidacy"


class Contribution(Wire, frozen=True):
    """A seat's secret for the beacon, shared among all seats of its epoch, in their order.

    `commitments` are hashes of the shares (`sharing.commitment`), `sealed` the shares sealed to the
    seats' keys.
    """

    kind: ClassVar[str] = "contribution"
    commitments: tuple[bytes, ...]
    sealed: tuple[bytes, ...]


class Holding(Wire, frozen=True):
    """Its sender holds its share of the contributions with these numbers."""

    kind: ClassVar[str] = "holding"
    numbers: tuple[int, ...]


class Opening(Wire, frozen=True):
    """Its sender's shares of the contributions that count, in their order; empty where it has none.

    Honest seats say this once it is fixed which contributions count, and not before.
    """

    kind: ClassVar[str] = "opening"
    shares: tuple[bytes, ...]


Body = (
    JoinRequest
    | Renewal
    | LeaveRequest
    | CloseIntent
    | Prekey
    | Rekey
    | Acknowledgement
    | Accusation
    | Candidacy
    | Contribution
    | Holding
    | Opening
)

_KINDS: dict[str, type[Body]] = {kind.kind: kind for kind in get_args(Body)}


class _Signed(Wire, frozen=True):
    node: bytes
    body: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class MembershipEvent:
    """A well-formed event of `node`; `signature` is over `signed_bytes(network, body_bytes)`.

    `body_bytes` are epoch and body as they came in.
    """

    node: bytes
    epoch: int
    body: Body
    body_bytes: bytes
    signature: bytes


class _Place(Wire, frozen=True):
    """Which epoch an event is for, around its body."""

    epoch: int
    body: bytes


def encode_event(
    node: bytes, network: bytes, epoch: int, body: Body, sign: Callable[[bytes], bytes]
) -> bytes:
    """The wire form of a node's event. `sign(message)` is its key's 64-byte signature."""
    placed = codec.encode(_Place(epoch, codec.wrap(body.kind, codec.encode(body))))
    return codec.encode(_Signed(node, placed, sign(signed_bytes(network, placed))))


def parse_event(data: bytes) -> MembershipEvent:
    """Read `encode_event`'s result; PeerFault when it is malformed or out of bounds."""
    signed = codec.decode(data, _Signed, limits.MAX_MEMBERSHIP_EVENT_BYTES)
    placed = codec.decode(signed.body, _Place, limits.MAX_MEMBERSHIP_EVENT_BYTES)
    outer = codec.decode(placed.body, codec.Outer, limits.MAX_MEMBERSHIP_EVENT_BYTES)
    kind = _KINDS.get(outer.type)
    if kind is None:
        raise PeerFault("wrong-type", f"unknown membership event {outer.type[:32]!r}")
    if outer.version != 1:
        raise PeerFault("unknown-version", f"{outer.type} version {outer.version} is not known")
    _require(
        len(signed.node) == 32 and len(signed.signature) == 64 and placed.epoch >= 0,
        "a membership event's node, signature or epoch is impossible",
    )
    body = codec.decode(bytes(outer.body), kind, limits.MAX_MEMBERSHIP_EVENT_BYTES)
    _check(body)
    return MembershipEvent(signed.node, placed.epoch, body, signed.body, signed.signature)


def signed_bytes(network: bytes, placed: bytes) -> bytes:
    """What an event's node signs: domain, network, and the digest of epoch and body."""
    return hashing.MEMBERSHIP + network + hashing.digest(hashing.MEMBERSHIP, placed)


def consent_bytes(network: bytes, since_epoch: int, successor: bytes) -> bytes:
    """What the key of a seat signs so that `successor` may take over the seat.

    `since_epoch` is the seat's: a word given once does not count against a later seat of this key.
    No event reads as these bytes, since none begins with their first.
    """
    words = b"consent" + since_epoch.to_bytes(8, "big") + successor
    return hashing.MEMBERSHIP + network + hashing.digest(hashing.MEMBERSHIP, words)


def _check(body: Body) -> None:
    if isinstance(body, JoinRequest):
        _check_join(body)
    elif isinstance(body, Renewal):
        _check_evidence(body.anchor, body.evidence)
    elif isinstance(body, Prekey):
        _require(len(body.key) == 32, "a prekey has 32 bytes")
    elif isinstance(body, Rekey):
        _require(
            len(body.coin_anchor) == 32 and len(body.epoch_key) == 32,
            "a proposal's commitments have 32 bytes each",
        )
        _require(
            len(body.sealed) <= limits.MAX_COMMITTEE
            and all(len(sealed) <= limits.MAX_SEALED_SECRET_BYTES for sealed in body.sealed),
            "a proposal's sealed secrets are out of bounds",
        )
        _require(are_shares(body.shares), "a proposal's recovery shares are out of bounds")
    elif isinstance(body, Accusation):
        _require(
            all(
                len(header) <= limits.MAX_HEADER_BYTES and len(signature) == 64
                for header, signature in (body.first, body.second)
            ),
            "an accusation's blocks are out of bounds",
        )
    elif isinstance(body, Contribution | Holding | Opening):
        _check_beacon(body)


def _check_beacon(body: Contribution | Holding | Opening) -> None:
    most = limits.MAX_COMMITTEE
    if isinstance(body, Contribution):
        _require(
            len(body.commitments) == len(body.sealed) <= most
            and all(len(digest) == 32 for digest in body.commitments)
            and all(len(sealed) <= limits.MAX_SEALED_SECRET_BYTES for sealed in body.sealed),
            "a contribution's shares are out of bounds",
        )
    elif isinstance(body, Holding):
        _require(len(body.numbers) <= most, "more contributions than there can be")
    else:
        _require(
            len(body.shares) <= most and all(len(share) in (0, 32) for share in body.shares),
            "shares that are shown have 32 bytes, or none",
        )


def _check_join(body: JoinRequest) -> None:
    _require(len(body.sealing) == 32, "a joiner's keys have 32 bytes")
    _check_evidence(body.anchor, body.evidence)
    _require(
        len(body.invite) <= 64 and len(body.replaces) in (0, 32) and len(body.consent) in (0, 64),
        "a join request's invite or consent is out of bounds",
    )
    addresses = (*body.addresses, *body.client_addresses)
    _require(
        len(addresses) <= limits.MAX_ADDRESSES
        and all(len(address) <= limits.MAX_ADDRESS_CHARS for address in addresses),
        "a joiner's addresses are out of bounds",
    )


def _check_evidence(anchor: bytes, evidence: bytes) -> None:
    _require(len(anchor) == 32, "what evidence is bound to has 32 bytes")
    _require(
        len(evidence) <= limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES,
        "a node's evidence is too large",
    )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise PeerFault("membership", message)
