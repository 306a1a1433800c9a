"""`ccp2p inspect`: what a ticket, receipt or data folder holds, offline and without any key."""

from pathlib import Path
from typing import Any

import click

from ccp2p.cli import console
from ccp2p.cli.inspect_receipt import inspect_receipt


@click.group()
def inspect() -> None:
    """Look into tickets, receipts and data folders offline."""


inspect.add_command(inspect_receipt)


@inspect.command("ticket")
@click.argument("ticket")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect_ticket(ticket: str, as_json: bool) -> None:
    """What would I trust? `-` reads the ticket from stdin, `@FILE` from a file."""
    from ccp2p.model.errors import Fault
    from ccp2p.model.ticket import parse_ticket

    try:
        parsed = parse_ticket(console.read_secret(ticket))
    except Fault as fault:
        console.fail(fault)
    shown = {
        "schema": "ticket/1",
        "name": parsed.name,
        "id": parsed.network.hex(),
        "role": parsed.role,
        "simulated": parsed.simulated,
        "record": parsed.record.hex() or None,
        "addresses": list(parsed.addresses),
    }
    if as_json:
        console.emit(shown)
        return
    if parsed.simulated:
        console.say(console.SIMULATED_WARNING)
    console.show(f"a {parsed.role}'s ticket to network {parsed.name}")
    click.echo(f"network id (pins policy, app and parameters): {parsed.network.hex()}")
    click.echo(f"epoch record pinned: {parsed.record.hex() or 'none yet'}")
    for address in parsed.addresses:
        console.show(f"address: {address}")
    click.echo("it holds an invite secret: give it only to whom you invite")


@inspect.command("folder")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect_folder(folder: Path, as_json: bool) -> None:
    """What a host sees of a node's FOLDER: how many records, how many bytes, no content."""
    from ccp2p.model.errors import Fault
    from ccp2p.storage.description import describe

    try:
        networks = [
            {"id": path.name, "databases": describe(path)}
            for path in sorted((folder / "networks").glob("*"))
        ]
    except Fault as fault:
        console.fail(fault)
    shown: dict[str, Any] = {"schema": "folder/1", "networks": networks}
    if as_json:
        console.emit(shown)
        return
    for network in networks:
        click.echo(f"network {network['id'][:32]}...")
        for name, sizes in network["databases"].items():
            click.echo(
                f"  {name:10} {sizes['records']:8} records {sizes['bytes']:12} bytes, sealed"
            )
    if not networks:
        console.say("no network in this folder")
