"""Hosts far from each other: public ones in subnets of their own, others behind NAT boxes.

One namespace is the internet and routes; no multicast crosses it. A NAT box masquerades by nftables
and lets nothing in that was not asked for. Addresses look public, and mean something here only.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.namespaces.lan import Host

_NAT = """
table ip nat {
  chain out { type nat hook postrouting priority 100; oifname "wan" masquerade; }
}
table ip guard {
  chain forward {
    type filter hook forward priority 0; policy drop;
    iifname "lan" accept;
    ct state established,related accept;
  }
}
"""


@dataclass
class Internet:
    """The hosts: `public` ones can be dialled, `hidden` ones are behind a NAT box each."""

    public: list[Host]
    hidden: list[Host]
    namespaces: list[str]


@contextmanager
def internet(folder: Path, public: int, hidden: int) -> Iterator[Internet]:
    """So many hosts of each kind, every one at home in another /16."""
    prefix = f"ccp2p-{os.getpid()}-net"
    built = Internet([], [], [prefix])
    _ip("netns", "add", prefix)
    try:
        _inside(prefix, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number in range(public):
            built.public.append(_public(built, prefix, folder, number))
        for number in range(public, public + hidden):
            built.hidden.append(_hidden(built, prefix, folder, number))
        yield built
    finally:
        for host in (*built.public, *built.hidden):
            if host.node is not None:
                host.node.end(signal.SIGKILL)
        for namespace in reversed(built.namespaces):
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _host(folder: Path, number: int, namespace: str, address: str) -> Host:
    home = folder / f"far-{number}"
    home.mkdir()
    return Host(number, namespace, address, home, "")


def _public(built: Internet, prefix: str, folder: Path, number: int) -> Host:
    namespace = f"{prefix}-{number}"
    _join(built, prefix, namespace, f"to-{number}", "eth0", number)
    return _host(folder, number, namespace, f"20.{number + 1}.0.1")


def _hidden(built: Internet, prefix: str, folder: Path, number: int) -> Host:
    box, namespace = f"{prefix}-box-{number}", f"{prefix}-{number}"
    _join(built, prefix, box, f"to-{number}", "wan", number)
    built.namespaces.append(namespace)
    _ip("netns", "add", namespace)
    _ip("-n", box, "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _ip("-n", box, "addr", "add", "192.168.1.254/24", "dev", "lan")
    _ip("-n", box, "link", "set", "lan", "up")
    _inside(box, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    done = subprocess.run(
        ["ip", "netns", "exec", box, "nft", "-f", "-"], input=_NAT, text=True, check=True
    )
    assert done.returncode == 0
    _ip("-n", namespace, "addr", "add", "192.168.1.1/24", "dev", "eth0")
    for link in ("lo", "eth0"):
        _ip("-n", namespace, "link", "set", link, "up")
    _ip("-n", namespace, "route", "add", "default", "via", "192.168.1.254")
    return _host(folder, number, namespace, "192.168.1.1")


def _join(built: Internet, prefix: str, namespace: str, far: str, near: str, number: int) -> None:
    """A line from a new namespace to the internet, in a subnet of its own."""
    built.namespaces.append(namespace)
    _ip("netns", "add", namespace)
    _ip("-n", prefix, "link", "add", far, "type", "veth", "peer", "name", near, "netns", namespace)
    _ip("-n", prefix, "addr", "add", f"20.{number + 1}.0.254/24", "dev", far)
    _ip("-n", prefix, "link", "set", far, "up")
    _ip("-n", namespace, "addr", "add", f"20.{number + 1}.0.1/24", "dev", near)
    for link in ("lo", near):
        _ip("-n", namespace, "link", "set", link, "up")
    _ip("-n", namespace, "route", "add", "default", "via", f"20.{number + 1}.0.254")


def _inside(namespace: str, *command: str) -> None:
    subprocess.run(["ip", "netns", "exec", namespace, *command], check=True, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
