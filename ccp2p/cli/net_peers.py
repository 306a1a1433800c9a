"""`ccp2p net peers`: a node's scoreboard of the nodes around it."""

from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session

if TYPE_CHECKING:
    from ccp2p.model.member_protocol import Peers, PeerShown


@click.command("peers")
@session.network_options
def net_peers(**options: Any) -> None:
    """Whom a node is connected to: verdict, traffic, faults, and since when.

    It is the word of the node that answers, the first of the network that can be reached.
    """
    console.run(lambda: _peers(options))


async def _peers(options: dict[str, Any]) -> None:
    async with session.open_network(options) as client:
        told = await client.connections[0].peers()
        answered = client.connections[0].node.node
    if options["as_json"]:
        console.emit(shown_peers(told, answered))
    else:
        _print(told, answered)


def shown_peers(told: "Peers", node: bytes) -> dict[str, Any]:
    """The JSON form of what `node` told."""
    return {
        "schema": "net-peers/1",
        "node": node.hex(),
        "addresses": list(told.addresses),
        "peers": [_row(peer) for peer in told.peers],
        "refused": dict(told.refused),
        "clients": told.clients,
        "clients_refused": told.clients_refused,
    }


def _row(peer: "PeerShown") -> dict[str, Any]:
    return {
        "node": peer.node.hex(),
        "address": peer.address or None,
        "connected": peer.connected,
        "dialed": peer.dialed,
        "since_ms": peer.since_ms,
        "silent_ms": peer.silent_ms,
        "tee": peer.tee or None,
        "vendor": peer.vendor or None,
        "bytes_in": peer.bytes_in,
        "bytes_out": peer.bytes_out,
        "dropped_frames": peer.dropped_frames,
        "queued_bytes": peer.queued_bytes,
        "faults": dict(peer.faults),
        "failure": peer.failure or None,
    }


def _print(told: "Peers", node: bytes) -> None:
    from rich.table import Table
    from rich.text import Text

    console.say(f"told by node {node.hex()[:16]}...")
    table = Table(box=None)
    for column in ("node", "state", "verdict", "since", "in", "out", "faults", "address"):
        table.add_column(column, overflow="fold")
    for peer in told.peers:
        state = ("dialled" if peer.dialed else "came in") if peer.connected else "AWAY"
        faults = ", ".join(f"{code} {count}" for code, count in peer.faults)
        where = peer.address if peer.connected else peer.failure or peer.address
        table.add_row(
            peer.node.hex()[:16],
            state,
            Text(console.printable(f"{peer.tee} {peer.vendor}".strip() or "none", "")),
            _age(peer.since_ms) if peer.connected else "",
            _size(peer.bytes_in),
            _size(peer.bytes_out),
            Text(console.printable(faults, "") or "none"),
            Text(console.printable(where, "")),
        )
    console.show_table(table)
    refused = ", ".join(f"{code} {count}" for code, count in told.refused) or "none"
    console.say(f"refused at the nodes' door: {refused}")
    console.say(f"members: {told.clients} connected, {told.clients_refused} found no place")


def _age(age_ms: int) -> str:
    seconds = age_ms // 1000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1000:.0f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1e6:.1f} MB"
