"""TCP sockets for addresses of ours and of others."""

import socket
from typing import Final

import trio

from ccp2p.model.errors import LocalFault, Unreachable
from ccp2p.network.addresses import Address, format_address

# A host that vanished is noticed by the kernel after IDLE + COUNT * INTERVAL seconds.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


async def listen_tcp(address: Address) -> list[trio.SocketListener]:
    """Listeners on an address; LocalFault where it cannot be had."""
    try:
        return list(await trio.open_tcp_listeners(address.port, host=address.host))
    except OSError as error:
        place = f"{address.host}:{address.port}"
        raise LocalFault("listen", f"cannot listen on {place}: {error.strerror}") from None


def addresses_of(listeners: list[trio.SocketListener], node: bytes) -> tuple[str, ...]:
    """The multiaddresses of listeners, with the port that the system gave."""
    names = (listener.socket.getsockname() for listener in listeners)
    return tuple(format_address(name[0], name[1], node) for name in names)


async def dial_tcp(address: Address, timeout_ms: int) -> trio.SocketStream:
    """A connected stream; Unreachable when nobody answers in time."""
    place = f"{address.host}:{address.port}"
    try:
        with trio.fail_after(timeout_ms / 1000):
            return await trio.open_tcp_stream(address.host, address.port)
    except trio.TooSlowError:
        raise Unreachable(f"{place} does not answer") from None
    except OSError as error:
        raise Unreachable(f"cannot reach {place}: {error.strerror or error}") from None


def keep_alive(stream: trio.SocketStream) -> None:
    """Let the kernel probe an idle connection."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
