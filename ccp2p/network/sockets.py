"""TCP sockets for addresses of ours and of others."""

import ipaddress
import socket
from typing import Final

import trio

from ccp2p.model import limits
from ccp2p.model.errors import LocalFault, Unreachable
from ccp2p.network.addresses import Address, format_address

# A host that vanished is noticed by the kernel after IDLE + COUNT * INTERVAL seconds.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


EVERYWHERE: Final = "::"
"""Listening here is listening on every address of this machine, IPv4 and IPv6."""


async def listen_tcp(address: Address) -> list[trio.SocketListener]:
    """Listeners on an address; LocalFault where it cannot be had."""
    try:
        if address.host == EVERYWHERE:
            return [_listen_everywhere(address.port)]
        return list(await trio.open_tcp_listeners(address.port, host=address.host))
    except OSError as error:
        place = f"{address.host}:{address.port}"
        raise LocalFault("listen", f"cannot listen on {place}: {error.strerror}") from None


def _listen_everywhere(port: int) -> trio.SocketListener:
    """One socket for both families, where the kernel has both."""
    both = socket.has_dualstack_ipv6()
    family, host = (socket.AF_INET6, "::") if both else (socket.AF_INET, "0.0.0.0")
    server = socket.create_server((host, port), family=family, dualstack_ipv6=both, backlog=1024)
    return trio.SocketListener(trio.socket.from_stdlib_socket(server))


def addresses_of(listeners: list[trio.SocketListener], node: bytes) -> tuple[str, ...]:
    """The multiaddresses of listeners, with the port that the system gave."""
    names = (listener.socket.getsockname() for listener in listeners)
    return tuple(text for name in names for text in addresses_on(name[0], name[1], node))


def addresses_on(host: str, port: int, node: bytes) -> tuple[str, ...]:
    """The multiaddresses of a listener; of one that listens everywhere those that others reach."""
    hosts = _hosts_of(host)[: limits.OWN_ADDRESSES]
    return tuple(format_address(one, port, node) for one in hosts)


def _hosts_of(host: str) -> list[str]:
    if not ipaddress.ip_address(host).is_unspecified:
        return [host]
    found = [one for one in _machine_addresses() if one.version == 4 or host == EVERYWHERE]
    return [str(one) for one in sorted(found, key=lambda one: one.version)] or ["127.0.0.1"]


def _machine_addresses() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Every address of this machine's interfaces that means something on another."""
    import ifaddr

    texts = (
        ip.ip if ip.is_IPv4 else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips
    )
    found = [ipaddress.ip_address(str(text).split("%")[0]) for text in texts]
    return [one for one in found if not (one.is_loopback or one.is_link_local)]


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
    except ValueError:  # peers name hosts, and what the resolver takes for a name is its affair
        raise Unreachable(f"cannot reach {place}: it is no name of a host") from None


def keep_alive(stream: trio.SocketStream) -> None:
    """Let the kernel probe an idle connection."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
