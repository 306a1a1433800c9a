"""What a client and a node say to each other on the client listener: one message a frame.

The transport protects nothing here; evidence, sessions and signatures do.
"""

from typing import Annotated, ClassVar, TypeVar

from msgspec import Meta

from ccp2p.model import codec, limits
from ccp2p.model.checkpoint import Certified
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import Fault

M = TypeVar("M")

Number = Annotated[int, Meta(ge=0, lt=1 << 62)]
"""Names a request; it is part of what seals are bound to, as 8 bytes."""


class Hello(Wire, frozen=True):
    """Client: who are you? `nonce` (32 bytes) must come back inside fresh evidence.

    `pinned` is the digest of an epoch record that the client trusts already, or empty. `network` is
    the id of the network that is meant, the same all along a stream; empty: the node's only one.
    """

    kind: ClassVar[str] = "hello"
    nonce: bytes
    pinned: bytes = b""
    network: bytes = b""


class Welcome(Wire, frozen=True):
    """Node: evidence over its keys and the nonce, and what the client checks it against.

    `records` are encoded SignedEpochRecords in order: from the one that the client pinned, or from
    record 0, to the newest. There is none while the network is being founded. When they fill a page
    (RECORD_PAGE_BYTES) a Hello that pins the last one brings what follows. `policy` is the text of
    the one in force, empty while it is the genesis's.
    """

    kind: ClassVar[str] = "welcome"
    genesis: bytes
    records: tuple[bytes, ...]
    node: bytes
    sealing: bytes
    evidence: bytes
    node_addresses: tuple[str, ...]
    client_addresses: tuple[str, ...]
    policy: str = ""


class Submit(Wire, frozen=True):
    """Client: order these encoded envelopes."""

    kind: ClassVar[str] = "submit"
    envelopes: tuple[bytes, ...]


class Refusal(Wire, frozen=True):
    """Why an envelope, named by its tag, goes nowhere. `code` is stable, `message` for people."""

    tag: bytes
    code: str
    message: str


class Refused(Wire, frozen=True):
    """Node: these envelopes were not taken, or were dropped when their turn came."""

    kind: ClassVar[str] = "refused"
    refusals: tuple[Refusal, ...]


class Outcomes(Wire, frozen=True):
    """Node: (tag, outcome sealed to the member) of envelopes that this client submitted."""

    kind: ClassVar[str] = "outcomes"
    outcomes: tuple[tuple[bytes, bytes], ...]


class Query(Wire, frozen=True):
    """Client: a question in session `session`, numbered by the client.

    `sealed` holds a `Question`, so that a host cannot tell a read from a request for a receipt.
    """

    kind: ClassVar[str] = "query"
    number: Number
    session: bytes
    sealed: bytes


class Reply(Wire, frozen=True):
    """Node: the sealed answer to a query, or why there is none (`refusal`, else empty)."""

    kind: ClassVar[str] = "reply"
    number: Number
    sealed: bytes
    refusal: str


class Read(Wire, frozen=True, tag="read"):
    """A question to the app: `body`, answered from the state after commit `after` or a later one.

    The answer is the app's.
    """

    after: Number
    body: bytes


class Prove(Wire, frozen=True, tag="prove"):
    """Prove what became of an event of this session's member, which is shown whole.

    It was executed in `commit` of `epoch`. The answer is an encoded `Proof`.
    """

    epoch: Number
    commit: Number
    sequence: Number
    body: bytes


class ListRecords(Wire, frozen=True, tag="records"):
    """Show the epoch records from epoch `first` on. The answer is encoded `Records`."""

    first: Number


Asked = Read | Prove | ListRecords


class Question(Wire, frozen=True):
    """What a query's seal holds."""

    asked: Asked


class QueryResult(Wire, frozen=True):
    """What a reply's seal holds: the answer, or a reason code for refusing."""

    refusal: str
    answer: bytes


class Records(Wire, frozen=True):
    """As many consecutive records as fit a reply; none beyond the newest."""

    records: tuple[SignedEpochRecord, ...]


class Proof(Wire, frozen=True):
    """A certified checkpoint, and an encoded `OutcomeProof` under its outcomes root."""

    certified: Certified
    outcome: bytes


class GetStatus(Wire, frozen=True):
    """Client: how far are you? `commit` 0 asks for the newest executed commit."""

    kind: ClassVar[str] = "status?"
    number: Number
    commit: Number


class SeatStatus(Wire, frozen=True):
    """A seat as a node sees it: `last_round` is that of its newest block, 0 where it has none.

    `tee` is empty for one that founded the network.
    """

    node: bytes
    tee: str
    since_epoch: int
    last_round: int


class Status(Wire, frozen=True):
    """Node: roots after `commit`; `commit` is 0 when the one asked for is not known here.

    `connected` counts committee peers with a live attested connection; `observers` are node keys.
    `waits` is empty, or what the node waits for in vain (`node.patience`).
    """

    kind: ClassVar[str] = "status"
    number: Number
    epoch: int
    commit: int
    chain: bytes
    state_root: bytes
    ledger_time_ms: int
    round: int
    certified: int
    connected: int
    floor: str
    seats: tuple[SeatStatus, ...] = ()
    observers: tuple[bytes, ...] = ()
    outcomes_root: bytes = b""
    waits: str = ""


class Recover(Wire, frozen=True):
    """Client: go on by this plan of a recovery, which these governors approved: (index, signature).

    What counts are the approvals, whoever brings them.
    """

    kind: ClassVar[str] = "recover"
    number: Number
    plan: bytes
    approvals: tuple[tuple[int, bytes], ...]


class Recovered(Wire, frozen=True):
    """Node: the recovery's encoded SignedEpochRecord, or why there is none (`code`, else empty)."""

    kind: ClassVar[str] = "recovered"
    number: Number
    code: str
    reason: str
    record: bytes


class GiveShare(Wire, frozen=True):
    """Client: a governor's recovery share of the secret behind the public `epoch_key`.

    `governor` is the place of its key in the epoch's record; `sealed` is the share, sealed to the
    node's sealing key.
    """

    kind: ClassVar[str] = "share"
    number: Number
    epoch_key: bytes
    governor: Number
    sealed: bytes


class ShareTaken(Wire, frozen=True):
    """Node: of `needed` different shares it holds `held`; or why it took none (`code`)."""

    kind: ClassVar[str] = "share-taken"
    number: Number
    code: str
    reason: str
    held: int
    needed: int


class GetPeers(Wire, frozen=True):
    """Client: whom are you connected to?"""

    kind: ClassVar[str] = "peers?"
    number: Number


class PeerShown(Wire, frozen=True):
    """A peer as one node sees it, since their connection began; times are ages.

    `dialed` is whether the node dialled it, `tee` and `vendor` are of its accepted verdict, empty
    while there is none. `faults` are (code, count) over all connections.
    """

    node: bytes
    address: str
    connected: bool
    dialed: bool
    since_ms: int
    silent_ms: int
    tee: str
    vendor: str
    bytes_in: int
    bytes_out: int
    dropped_frames: int
    queued_bytes: int
    faults: tuple[tuple[str, int], ...]
    failure: str


class Peers(Wire, frozen=True):
    """Node: its scoreboard. `refused` are (code, count) of connections that got no further.

    `clients` counts connected members, `addresses` are the node's own listeners.
    """

    kind: ClassVar[str] = "peers"
    number: Number
    peers: tuple[PeerShown, ...]
    refused: tuple[tuple[str, int], ...]
    clients: int
    clients_refused: int
    addresses: tuple[str, ...]


class AskHosting(Wire, frozen=True):
    """Client: `sealed` is a question of `sealing.hosting` to this node of a mesh."""

    kind: ClassVar[str] = "hosting?"
    number: Number
    sealed: bytes


class Hosting(Wire, frozen=True):
    """Node: the sealed answer, or why there is none (`refusal`, else empty)."""

    kind: ClassVar[str] = "hosting"
    number: Number
    sealed: bytes
    refusal: str


ClientMessage = Hello | Submit | Query | GetStatus | Recover | GiveShare | GetPeers | AskHosting
NodeMessage = (
    Welcome | Refused | Outcomes | Reply | Status | Recovered | ShareTaken | Peers | Hosting
)

_CLIENT_KINDS: dict[str, type[Wire]] = {
    k.kind: k for k in (Hello, Submit, Query, GetStatus, Recover, GiveShare, GetPeers, AskHosting)
}
_NODE_KINDS: dict[str, type[Wire]] = {kind.kind: kind for kind in NodeMessage.__args__}


def encode_message(message: ClientMessage | NodeMessage) -> bytes:
    """The frame of a message."""
    return codec.wrap(message.kind, codec.encode(message))


def decode_client_message(frame: bytes, fault: type[Fault]) -> ClientMessage:
    """Read a client's frame, or raise `fault`."""
    return _decode(frame, _CLIENT_KINDS, fault)  # type: ignore[return-value]


def decode_node_message(frame: bytes, fault: type[Fault]) -> NodeMessage:
    """Read a node's frame, or raise `fault`."""
    return _decode(frame, _NODE_KINDS, fault)  # type: ignore[return-value]


def _decode(frame: bytes, kinds: dict[str, type[Wire]], fault: type[Fault]) -> Wire:
    outer = codec.decode(frame, codec.Outer, limits.MAX_CLIENT_FRAME_BYTES, fault)
    kind = kinds.get(outer.type)
    if kind is None:
        raise fault("wrong-type", f"unknown message {outer.type[:32]!r}")
    if outer.version != 1:
        raise fault("unknown-version", f"{outer.type} version {outer.version} is not known here")
    return codec.decode(bytes(outer.body), kind, limits.MAX_CLIENT_FRAME_BYTES, fault)
