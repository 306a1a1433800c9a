"""The attestation that follows Noise, over the fresh session, before anything else.

    dialer -> listener   route, evidence, signature
    listener -> dialer   refusal, or evidence, signature
    dialer -> listener   refusal, or nothing

Evidence is bound to (role, handshake hash, node key) and the node key signs (network id, role,
handshake hash): what one session proved is worthless in another (relay), for another node (theft)
and in the other direction (reflection). The dialer proves first, so a prober learns nothing and
costs no quote. Whoever refuses says why before it closes.

A listener may be of several networks. The route, a digest of the network id and of this handshake,
says which is meant to those who know the id, and nothing to others.
"""

from collections.abc import Callable
from typing import Any, Final

import trio

from ccp2p.crypto import signatures
from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import AttestationFault, Fault, LocalFault, PeerFault
from ccp2p.network.contract import Attestor
from ccp2p.network.session import Session

_DOMAIN: Final = b"ccp2p.attested-noise/1"
_DIALER: Final = b"\x00"
_LISTENER: Final = b"\x01"
_LENGTH_BYTES: Final = 4
_MAX_REASONS: Final = 16
_MAX_REASON_CHARS: Final = 200
# A proof may carry its endorsements; the rest is a signature and a few reasons.
_MAX_TURN_BYTES: Final = limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES + 16 * 1024


class _Turn(Wire, frozen=True):
    """One message: a refusal (`code` and `reasons`) or what its place in the order asks for."""

    code: str = ""
    reasons: tuple[str, ...] = ()
    evidence: bytes = b""
    signature: bytes = b""
    route: bytes = b""


_STRANGE = "the signature over this handshake is wrong, or made for another network"


class Exchange:
    """Our side of the exchange in one session, for one network."""

    def __init__(
        self, attestor: Attestor, network_id: bytes, admit: Callable[[bytes], str]
    ) -> None:
        """`admit(node)` has the last word: a refusal code, or "" to accept."""
        self._attestor = attestor
        self._network_id = network_id
        self._admit = admit

    async def run(self, session: Session) -> Any:
        """The verdict on the peer; AttestationFault or PeerFault when either side refuses."""
        if not session.is_initiator:
            return await answer(session, self._find)
        if session.node == self._attestor.node:
            raise PeerFault("self", "this address leads back to this node")
        await _send(session, await self._prove(session, _DIALER))
        verdict = await self._judge(session, await _receive(session), _LISTENER)
        await self._accept(session, _Turn())
        return verdict

    def _find(self, handshake_hash: bytes, route: bytes) -> "Exchange | None":
        return self if route == route_of(self._network_id, handshake_hash) else None

    async def answer(self, session: Session, turn: _Turn) -> Any:
        """The listener's side, once the dialer's first turn is read."""
        if session.node == self._attestor.node:
            raise PeerFault("self", "this address leads back to this node")
        verdict = await self._judge(session, turn, _DIALER)
        await self._accept(session, await self._prove(session, _LISTENER))
        await _receive(session)
        return verdict

    async def _prove(self, session: Session, role: bytes) -> _Turn:
        bound = binding(role, session.handshake_hash, self._attestor.node)
        try:
            evidence = await trio.to_thread.run_sync(
                self._attestor.evidence, bound, abandon_on_cancel=True
            )
        except Fault:
            raise
        except Exception as error:
            raise LocalFault("evidence", f"no evidence: {type(error).__name__}") from error
        message = signed_bytes(self._network_id, role, session.handshake_hash)
        route = route_of(self._network_id, session.handshake_hash) if role == _DIALER else b""
        return _Turn(evidence=evidence, signature=self._attestor.sign(message), route=route)

    async def _judge(self, session: Session, turn: _Turn, role: bytes) -> Any:
        message = signed_bytes(self._network_id, role, session.handshake_hash)
        if not signatures.verify(session.node, turn.signature, message):
            await _refuse(session, "attestation", (_STRANGE,))
            raise AttestationFault(_STRANGE, (_STRANGE,))
        bound = binding(role, session.handshake_hash, session.node)
        try:
            return await trio.to_thread.run_sync(
                self._attestor.check, session.node, bound, turn.evidence, abandon_on_cancel=True
            )
        except AttestationFault as fault:
            await _refuse(session, "attestation", fault.reasons)
            raise
        except PeerFault as fault:
            await _refuse(session, fault.code, (str(fault),))
            raise
        except Exception as error:
            # A verifier that trips over a peer's bytes has not verified them.
            reason = f"the evidence could not be judged: {type(error).__name__}"
            await _refuse(session, "attestation", (reason,))
            raise AttestationFault(reason, (reason,)) from error

    async def _accept(self, session: Session, turn: _Turn) -> None:
        code = self._admit(session.node)
        if code:
            await _refuse(session, code, ())
            raise PeerFault(code, f"this connection is not wanted: {code}")
        await _send(session, turn)


async def answer(session: Session, find: Callable[[bytes, bytes], Exchange | None]) -> Any:
    """The listener's side, in the network that the dialer means: `find(handshake hash, route)`.

    The verdict; AttestationFault or PeerFault when either side refuses.
    """
    turn = await _receive(session)
    exchange = find(session.handshake_hash, turn.route)
    if exchange is None:
        await _refuse(session, "attestation", (_STRANGE,))
        raise AttestationFault(_STRANGE, (_STRANGE,))
    return await exchange.answer(session, turn)


def route_of(network_id: bytes, handshake_hash: bytes) -> bytes:
    """What leads to one network in one session: 32 bytes."""
    return hashing.digest(hashing.ROUTE, handshake_hash, network_id)


def binding(role: bytes, handshake_hash: bytes, node: bytes) -> bytes:
    """The 32 bytes that evidence covers."""
    return hashing.digest(hashing.NONCE, role, handshake_hash, node)


def signed_bytes(network_id: bytes, role: bytes, handshake_hash: bytes) -> bytes:
    """What the node key signs."""
    return _DOMAIN + network_id + role + handshake_hash


async def _refuse(session: Session, code: str, reasons: tuple[str, ...]) -> None:
    kept = tuple(reason[:_MAX_REASON_CHARS] for reason in reasons[:_MAX_REASONS])
    await _send(session, _Turn(code=code, reasons=kept))


async def _send(session: Session, turn: _Turn) -> None:
    body = codec.encode(turn)
    await session.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)


async def _receive(session: Session) -> _Turn:
    length = int.from_bytes(await session.read(_LENGTH_BYTES), "big")
    if length > _MAX_TURN_BYTES:
        raise PeerFault("oversized", f"a proof of {length} bytes; the limit is {_MAX_TURN_BYTES}")
    turn = codec.decode(await session.read(length), _Turn, _MAX_TURN_BYTES)
    if not turn.code:
        return turn
    reasons = tuple(_printable(reason) for reason in turn.reasons[:_MAX_REASONS])
    if turn.code == "attestation":
        listed = "; ".join(reasons) or "no reason given"
        raise AttestationFault(f"the peer refused our evidence: {listed}", reasons)
    code = _printable(turn.code)
    raise PeerFault(code, f"the peer refused this connection: {code}")


def _printable(text: str) -> str:
    kept = "".join(
        character for character in text if character.isascii() and character.isprintable()
    )
    return kept[:_MAX_REASON_CHARS]
