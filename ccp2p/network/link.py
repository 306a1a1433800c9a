"""Links: a TCP stream made secure and split into streams, by libp2p's own protocols.

The only module that imports libp2p (0.9 s), so others import it inside functions. libp2p's swarm
and host are not used: a dial through them takes 250 ms, 250 inbound connections a lifetime are
all they accept, each leaves a task behind, and three kinds of malformed bytes end the process.
Multistream-select, Noise and identities are libp2p's.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport

from ccp2p.model.errors import Fault, PeerFault, Unreachable
from ccp2p.network import yamux
from ccp2p.network.addresses import node_of_identity
from ccp2p.network.session import ConnectionLost, Session, SocketConnection
from ccp2p.network.yamux import YamuxConnection, YamuxStream

PLAIN_NOISE: Final = str(NOISE)
ATTESTED_NOISE: Final = "/ccp2p/attested-noise/1"
_MAX_NEGOTIATION_BYTES: Final = 1024  # a protocol name is shorter
_FLUSH_TIMEOUT_S: Final = 1.0

# libp2p reports what peers do wrong through logging, and without a handler that is stderr.
_logger = logging.getLogger("libp2p")
_logger.addHandler(logging.NullHandler())
if _logger.level == logging.WARNING:
    _logger.setLevel(logging.CRITICAL + 1)


Exchange = Callable[[Session], Awaitable[Any]]


class Identity:
    """An Ed25519 identity and the Noise key that goes with it."""

    def __init__(self, key_seed: bytes) -> None:
        """From the 32-byte seed."""
        pair = create_new_key_pair(key_seed)
        self.node = bytes(pair.public_key.to_bytes())
        self._noise = NoiseTransport(pair, create_x25519_key_pair().private_key)

    async def handshake(self, connection: SocketConnection, node: bytes | None) -> Session:
        """Noise XX with a known node, or (None) with whoever is there."""
        pattern: Any = self._noise.get_pattern()  # which asks its connection for more than it uses
        if connection.is_initiator:
            secured = await pattern.handshake_outbound(connection, _peer_id(node))
        else:
            secured = await pattern.handshake_inbound(connection)
        remote = node_of_identity(secured.get_remote_peer().to_bytes())
        return Session(connection, secured.conn.noise_state, remote)


class Link:
    """A secured connection and its streams."""

    def __init__(self, session: Session, streams: YamuxConnection) -> None:
        self.node = session.node
        self.verdict = session.verdict
        self.connection = session.connection
        self._streams = streams

    async def open(self, protocol: str) -> YamuxStream:
        """A new stream that speaks `protocol`; PeerFault when the peer does not."""
        stream = self._streams.open()
        try:
            await _select(stream, True, protocol)
        except BaseException:
            stream.reset()
            raise
        return stream

    async def accept(self, timeout_ms: int, *protocols: str) -> tuple[str, YamuxStream] | None:
        """The next stream of the peer and what it speaks; None where it asked for nothing here."""
        stream = await self._streams.accept()
        with trio.move_on_after(timeout_ms / 1000):
            try:
                return await _select(stream, False, *protocols), stream
            except (Fault, ConnectionLost, yamux.StreamEnded):
                pass
        stream.reset()
        return None


@asynccontextmanager
async def link(
    stream: trio.abc.Stream,
    identity: Identity,
    exchange: Exchange | None = None,
    *,
    is_initiator: bool,
    node: bytes | None = None,
    timeout_ms: int,
    window_bytes: int,
    max_streams: int,
) -> AsyncIterator[Link]:
    """A link over `stream`, from its handshake until the body ends; attested with `exchange`.

    Before the body: PeerFault, AttestationFault, or Unreachable (no answer in time, or cut short).
    An exception of the body comes out unchanged. The stream is closed in any case.
    """
    failure: Exception | None = None
    connection = SocketConnection(stream, is_initiator)
    try:
        session = await _secure(connection, identity, exchange, node, timeout_ms)
        streams = YamuxConnection(session, window_bytes=window_bytes, max_streams=max_streams)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(streams.run)
            try:
                yield Link(session, streams)
                with trio.move_on_after(_FLUSH_TIMEOUT_S):
                    await streams.flush()
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
    finally:
        await connection.close()
    if failure is not None:
        raise failure


async def _secure(
    connection: SocketConnection,
    identity: Identity,
    exchange: Exchange | None,
    node: bytes | None,
    timeout_ms: int,
) -> Session:
    protocol = PLAIN_NOISE if exchange is None else ATTESTED_NOISE
    try:
        with trio.fail_after(timeout_ms / 1000):
            await _select(connection, connection.is_initiator, protocol)
            session = await identity.handshake(connection, node)
            if exchange is not None:
                session.verdict = await exchange(session)
            await _select(session, connection.is_initiator, yamux.PROTOCOL)
            return session
    except trio.TooSlowError:
        raise Unreachable("the peer did not finish the handshake in time") from None
    except Fault:
        raise
    except ConnectionLost as error:
        raise Unreachable(f"the handshake was cut short: {error}") from None
    except PeerIDMismatchesPubkey:
        raise PeerFault("identity", "another key than the address names answers there") from None
    except Exception as error:
        # libp2p and the libraries below it raise many types at malformed bytes.
        raise PeerFault("handshake", f"the handshake failed: {type(error).__name__}") from error


class _Negotiation:
    """What multistream-select reads and writes, with a limit to what a peer can announce."""

    def __init__(self, stream: SocketConnection | Session | YamuxStream) -> None:
        self._stream = stream

    async def read(self, size: int | None = None) -> bytes:
        if size is None or size > _MAX_NEGOTIATION_BYTES:
            raise PeerFault("negotiation", "the peer's protocol name is too long")
        return await self._stream.read(size)

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)


async def _select(
    stream: SocketConnection | Session | YamuxStream, is_initiator: bool, *protocols: str
) -> str:
    """Agree on one of these protocols."""
    communicator = MultiselectCommunicator(_Negotiation(stream))  # type: ignore[arg-type]
    try:
        if is_initiator:
            agreed = await MultiselectClient().select_one_of(protocols, communicator)  # type: ignore[arg-type]
        else:
            offered = dict.fromkeys(protocols)
            agreed, _ = await Multiselect(offered).negotiate(communicator)  # type: ignore[arg-type, assignment]
        return str(agreed)
    except (Fault, ConnectionLost, yamux.StreamEnded):
        raise
    except Exception as error:
        # A name that is not UTF-8, an unknown protocol, a malformed length: all the peer's.
        raise PeerFault("negotiation", f"no agreement on {' or '.join(protocols)}") from error


def _peer_id(node: bytes | None) -> ID | None:
    return None if node is None else ID(bytes.fromhex("002408011220") + node)
