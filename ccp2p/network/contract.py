"""What the node hands to the network, and what the network tells the node."""

from dataclasses import dataclass
from typing import Any, Protocol


class Attestor(Protocol):
    """Makes our evidence and judges a peer's. `evidence` and `check` run in worker threads."""

    @property
    def node(self) -> bytes:
        """Our Ed25519 public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message` by `node`."""

    def evidence(self, binding: bytes) -> bytes:
        """Fresh evidence over `binding` (32 bytes, of one handshake, one role and our key)."""

    def check(self, node: bytes, binding: bytes, evidence: bytes) -> Any:
        """The verdict on a peer's evidence; AttestationFault with reasons refuses the peer."""


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One frame of a connected node."""

    node: bytes
    frame: bytes


@dataclass(frozen=True, slots=True)
class Connected:
    """A node passed its attestation; `verdict` is what `Attestor.check` returned."""

    node: bytes
    verdict: Any


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection ended; `reason` is a slug or a short sentence of our own."""

    node: bytes
    reason: str


Event = FrameReceived | Connected | Disconnected


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """Counters of one connection; a kept peer without one shows `connected` False and why.

    Bytes and frames count since the connection began, heartbeats included in bytes only. `since`
    and `last_heard` are readings of trio's clock in seconds. `queued_*` wait to be written,
    `dropped_frames` arrived while the inbox stayed full.
    """

    connected: bool
    address: str
    dialed: bool = False
    since: float = 0.0
    last_heard: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    dropped_frames: int = 0
    queued_frames: int = 0
    queued_bytes: int = 0
    failure: str = ""
