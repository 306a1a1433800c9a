"""`ccp2p inspect`: what a ticket, a receipt, a data folder or your own folder holds, offline."""

from pathlib import Path
from typing import Any

import click

from ccp2p.cli import console
from ccp2p.cli.inspect_receipt import inspect_receipt
from ccp2p.cli.invite import invite_show


@click.group()
def inspect() -> None:
    """Look into tickets, receipts, data folders and your keys offline."""


inspect.add_command(inspect_receipt)
inspect.add_command(invite_show, "ticket")


@inspect.command("member")
@click.argument("name", default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect_member(name: str, as_json: bool) -> None:
    """The public key of your member NAME (`me` unless given), made now if you have none."""
    from ccp2p.client.profile import DEFAULT_MEMBER, Profile, default_folder
    from ccp2p.model.errors import Fault

    try:
        key = Profile(default_folder()).member(name or None).public
    except Fault as fault:
        console.fail(fault)
    if as_json:
        shown = {"schema": "member/1", "name": name or DEFAULT_MEMBER, "key": key.hex()}
        console.emit(shown)
    else:
        console.echo(key.hex())


@inspect.command("folder")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect_folder(folder: Path, as_json: bool) -> None:
    """What a host sees of a node's FOLDER: how many records, how many bytes, no content."""
    from ccp2p.model.errors import Fault
    from ccp2p.storage.description import describe

    try:
        networks: list[dict[str, Any]] = [
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
        console.echo(f"network {network['id'][:32]}...")
        for name, sizes in network["databases"].items():
            console.echo(
                f"  {name:10} {sizes['records']:8} records {sizes['bytes']:12} bytes, sealed"
            )
    if not networks:
        console.say("no network in this folder")
