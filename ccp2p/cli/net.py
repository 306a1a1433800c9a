"""`ccp2p net`: join networks and look at them."""

from typing import Any

import click

from ccp2p.cli import console, session

_FIRST_COMMANDS = {
    "rooms": ("room create lobby", "send lobby Hello", "read lobby"),
    "kv": ("kv put greeting hello", "kv get greeting"),
}


@click.group()
def net() -> None:
    """Join networks and look at them."""


@net.command("join")
@click.argument("ticket")
@click.option("--as", "local_name", help="Local name of the network. [default: its own]")
@click.option(
    "--allow-simulated",
    is_flag=True,
    envvar="CCP2P_ALLOW_SIMULATED",
    help="Accept simulated TEEs, which protect nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def net_join(ticket: str, local_name: str | None, allow_simulated: bool, as_json: bool) -> None:
    """Verify the network of a member TICKET and keep it. `-` reads stdin, `@FILE` a file."""
    console.run(lambda: _join(console.read_secret(ticket), local_name, allow_simulated, as_json))


async def _join(text: str, local_name: str | None, allow_simulated: bool, as_json: bool) -> None:
    import msgspec

    from ccp2p.client.network import open_network
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.errors import MemberFault
    from ccp2p.model.ticket import parse_ticket

    ticket = parse_ticket(text)
    if ticket.role != "member":
        raise MemberFault("ticket", "this ticket is for a node: use it with `ccp2p node --join`")
    async with open_network(ticket, allow_simulated=allow_simulated) as client:
        verified = client.verified
        addresses = dict.fromkeys([*ticket.addresses, *verified.client_addresses])
    pinned = msgspec.structs.replace(
        ticket, record=verified.record_digest, addresses=tuple(addresses)[:16]
    )
    name = Profile(default_folder()).add_network(pinned, local_name)
    if verified.policy.is_simulated:
        console.say(console.SIMULATED_WARNING)
    if as_json:
        console.emit({"schema": "net-join/1", "name": name, "id": ticket.network.hex()})
        return
    console.say(f"joined {name}: {len(verified.record.seats)} node(s), app {verified.genesis.app}")
    console.say("next:")
    if verified.policy.is_simulated:
        console.say("  export CCP2P_ALLOW_SIMULATED=1")
    for command in _FIRST_COMMANDS[verified.genesis.app]:
        console.say(f"  {console.program()} {command}")


@net.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def net_list(as_json: bool) -> None:
    """Networks that you joined."""
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.errors import Fault

    try:
        networks = Profile(default_folder()).networks()
    except Fault as fault:
        console.fail(fault)
    rows = [
        {"name": name, "id": ticket.network.hex(), "simulated": ticket.simulated}
        for name, ticket in networks.items()
    ]
    if as_json:
        console.emit({"schema": "net-list/1", "networks": rows})
        return
    if not rows:
        console.say("no network joined yet: ccp2p net join TICKET")
    for row in rows:
        mark = "  SIMULATED" if row["simulated"] else ""
        console.show(f"{row['name']}  {str(row['id'])[:16]}{mark}")


@net.command("show")
@session.network_options
def net_show(**options: Any) -> None:
    """What a network is and how far it has come."""
    console.run(lambda: _show(options))


async def _show(options: dict[str, Any]) -> None:
    async with session.open_network(options) as client:
        verified = client.verified
        status = await client.connections[0].status()
    record = verified.record
    if verified.policy.is_simulated:
        console.say(console.SIMULATED_WARNING)
    shown = {
        "schema": "net/1",
        "id": verified.network.hex(),
        "name": verified.genesis.name,
        "app": verified.genesis.app,
        "epoch": status.epoch,
        "commit": status.commit,
        "committee": [
            {
                "node": seat.node.hex(),
                "tee": "simulated" if verified.policy.is_simulated else seat.vendor,
                "vendor": seat.vendor,
                "platform_id": seat.platform_id.hex() or None,
                "since_epoch": record.epoch,
            }
            for seat in record.seats
        ],
        "observers": [],
        "policy_digest": record.policy_digest.hex(),
        "state_root": status.state_root.hex(),
        "round": status.round,
        "certified_commit": status.certified,
        "at_rest": verified.genesis.parameters.at_rest,
        "resume": verified.genesis.parameters.resume,
    }
    if options["as_json"]:
        console.emit(shown)
        return
    _print(shown)


def _print(shown: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    name = console.printable(shown["name"], "")
    table = Table(title=Text(f"{name} ({shown['app']})"), show_header=False, box=None)
    for key in ("id", "epoch", "commit", "certified_commit", "state_root", "policy_digest"):
        table.add_row(key.replace("_", " "), str(shown[key]))
    table.add_row("at rest", f"{shown['at_rest']}; resumes from {shown['resume']}")
    for number, seat in enumerate(shown["committee"]):
        table.add_row(f"node {number}", f"{seat['node'][:32]}... {seat['tee']} {seat['vendor']}")
    Console().print(table)
