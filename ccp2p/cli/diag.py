"""`ccp2p diag net`: whether the node of this machine can be reached, by whom, and what to do."""

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console

if TYPE_CHECKING:
    from ccp2p.model.member_protocol import Peers

_SCOPES = {
    "machine": "this machine only",
    "local": "this local network",
    "global": "everywhere, unless something filters",
}


@click.group()
def diag() -> None:
    """Find out what is wrong."""


@diag.command("net")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The node's folder. [default: `node` in the folder of your keys]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def diag_net(data: Path | None, as_json: bool) -> None:
    """Can this machine's node be reached? It has to run; it is asked what it sees."""
    console.run(lambda: _diagnose(data, as_json))


async def _diagnose(data: Path | None, as_json: bool) -> None:
    from ccp2p.cli.net_peers import shown_peers

    answers, node = await _ask(data)
    places = [_place(address) for address in next(iter(answers.values())).addresses]
    networks = []
    for network, told in answers.items():
        reached = [row["node"] for row in shown_peers(told, node)["peers"] if _came_in(row)]
        advice = advise(told, places)
        networks.append({"network": network.hex(), "reached_by": reached, "advice": advice})
    if as_json:
        console.emit(
            {
                "schema": "diag-net/1",
                "node": node.hex(),
                "addresses": places,
                "reached": "relay" if _is_relayed(places) else "direct",
                "reached_by": _all_of(networks, "reached_by"),
                "advice": _all_of(networks, "advice"),
                "networks": networks,
            }
        )
        return
    console.show(f"node {node.hex()[:16]}... listens on:")
    for place in places:
        way = "through a relay" if place["way"] == "relay" else _SCOPES[place["scope"]]
        console.show(f"  {place['address']}  ({place['family']}, {way})")
    for row in networks:
        if len(networks) > 1:
            console.show(f"network {row['network'][:16]}...:")
        for line in row["advice"]:
            console.show(line)


def _all_of(rows: list[dict[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(value for row in rows for value in row[key]))


async def _ask(data: Path | None) -> "tuple[dict[bytes, Peers], bytes]":
    """What the node tells of each network that it runs, and its key."""
    from ccp2p.client.connection import open_connection
    from ccp2p.client.profile import default_folder
    from ccp2p.model.errors import LocalFault, Unreachable, fault_in
    from ccp2p.network.addresses import format_address
    from ccp2p.node import setup
    from ccp2p.node.home import Listen, NodeHome

    directory = data or default_folder() / "node"
    node = setup.identity_in(directory).node
    home = NodeHome(directory)
    networks = home.networks()
    if not networks:
        raise LocalFault("data-folder", f"the node in {directory} has no network yet: run it first")
    listen = home.listen(Listen())
    anywhere = ipaddress.ip_address(listen.host).is_unspecified
    host = "127.0.0.1" if anywhere else listen.host
    address = format_address(host, listen.client_port, node)
    answers: dict[bytes, Peers] = {}
    refusals: dict[bytes, str] = {}
    for network in networks:
        try:
            async with open_connection(address, network, b"", allow_simulated=True) as connection:
                answers[network] = await connection.peers()
        except* Unreachable as group:
            refusals[network] = str(fault_in(group))
    if not answers:
        raise Unreachable(
            f"the node of {directory} does not answer on this machine ({refusals[networks[0]]}): "
            "is `ccp2p node` running?"
        )
    for network, reason in refusals.items():
        console.say(f"network {network.hex()[:16]}... does not run: {reason}")
    return answers, node


def _place(address: str) -> dict[str, str]:
    """An address, where it means something, and whether a relay takes connections there for us."""
    from ccp2p.network.addresses import parse_address

    parsed = parse_address(address)
    host = ipaddress.ip_address(parsed.host)
    scope = "machine" if host.is_loopback else "global" if host.is_global else "local"
    way = "relay" if parsed.relay is not None else "direct"
    return {"address": address, "family": f"IPv{host.version}", "scope": scope, "way": way}


def advise(told: "Peers", places: list[dict[str, str]]) -> list[str]:
    """What these addresses and peers mean, in plain words."""
    connected = [peer for peer in told.peers if peer.connected]
    reached = sum(not peer.dialed for peer in connected)
    away = len(told.peers) - len(connected)
    scopes = {place["scope"] for place in places if place["way"] == "direct"}
    lines = [
        f"{len(connected)} peer(s) connected: {reached} came in from outside, "
        f"{len(connected) - reached} were dialled from here; {away} cannot be reached"
    ]
    if _is_relayed(places):
        through = [place["address"] for place in places if place["way"] == "relay"]
        relays = len({address.split("/p2p-circuit")[0] for address in through})
        lines.append(f"It is not reached directly: {relays} relay(s) take its connections.")
    elif reached:
        lines.append("This node can be reached: other nodes have connected to it.")
    elif not told.peers:
        lines.append("There is no other node in its network yet, so nobody has tried to reach it.")
    else:
        lines.append("No other node has connected to this one yet; it may just not have had to.")
    if _is_relayed(places):
        lines.append(
            "Peers dialled it and got no answer, so a router or firewall is between. To be"
        )
        lines.append(f"reached directly, let TCP ports {_ports(places)} through to this machine.")
    elif scopes == {"machine"}:
        lines.append("It listens on loopback only: other machines cannot reach it. To change that,")
        lines.append("restart it with --listen :: (all addresses) or --listen ADDRESS.")
    elif "global" not in scopes:
        lines.append("It has addresses of a local network only. Nodes elsewhere reach it if the")
        lines.append(f"router forwards TCP ports {_ports(places)} to this machine, or")
        lines.append("through a relay, which it asks for when a peer dials it in vain.")
    elif not reached and told.peers:
        lines.append(
            "If nodes elsewhere cannot connect, look at the firewall: the first port above"
        )
        lines.append("is for nodes, the last for members; both are TCP.")
    if "IPv6" not in {place["family"] for place in places}:
        lines.append("It has no IPv6 address: nodes that only have IPv6 cannot reach it.")
    if told.clients_refused:
        lines.append(
            f"{told.clients_refused} member connection(s) found no place: many come at once."
        )
    return lines


def _is_relayed(places: list[dict[str, str]]) -> bool:
    return any(place["way"] == "relay" for place in places)


def _ports(places: list[dict[str, str]]) -> str:
    direct = [place["address"] for place in places if place["way"] == "direct"]
    return " and ".join(sorted({address.split("/")[4] for address in direct}))


def _came_in(row: dict[str, Any]) -> bool:
    return bool(row["connected"] and not row["dialed"])
