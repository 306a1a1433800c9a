"""`ccp2p net`: create, join, look at, govern and leave networks."""

from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session
from ccp2p.cli.governance import (
    net_approve,
    net_evict,
    net_policy,
    net_proposals,
    net_propose,
)
from ccp2p.cli.net_create import net_create
from ccp2p.cli.net_join import net_join
from ccp2p.cli.net_peers import net_peers
from ccp2p.cli.net_recover import net_recover
from ccp2p.cli.net_shares import at_rest_words

if TYPE_CHECKING:
    from ccp2p.client.verification import VerifiedNode
    from ccp2p.model.member_protocol import SeatStatus, Status


_RECOVER = "; if the others are lost for good, governors run `ccp2p net recover`"
_WAITS = {
    "quorum": f"no quorum of nodes works together{_RECOVER}",
    "secret": "its disk is under a key that only running nodes have, and it has yet to reach one; "
    "if all of them stopped, governors run `ccp2p net recover --shares`",
    "floor": f"too few nodes answer for this one to vote again{_RECOVER}",
}


@click.group()
def net() -> None:
    """Create, join, govern and leave networks, and look at them."""


net.add_command(net_create)
net.add_command(net_join)
net.add_command(net_recover)
for command in (net_policy, net_propose, net_proposals, net_approve, net_evict):
    net.add_command(command)
net.add_command(net_peers)


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
        {
            "name": name,
            "id": ticket.network.hex(),
            "kind": ticket.kind,
            "simulated": ticket.simulated,
        }
        for name, ticket in networks.items()
    ]
    if as_json:
        console.emit({"schema": "net-list/1", "networks": rows})
        return
    if not rows:
        console.say("no network joined yet: ccp2p net join TICKET")
    for row in rows:
        simulated = console.TEST_MESH if row["kind"] == "mesh" else "SIMULATED"
        mark = f"  {simulated}" if row["simulated"] else ""
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
    epoch = verified.record.epoch
    said = {seat.node: seat for seat in status.seats}
    committee = [
        {
            "node": seat.node.hex(),
            "tee": _tee(verified, seat.vendor, said.get(seat.node)),
            "platform_id": seat.platform_id.hex() or None,
            # A seat of the record that the node does not follow yet begins with it.
            "since_epoch": said[seat.node].since_epoch if seat.node in said else epoch,
            "last_round": said[seat.node].last_round if seat.node in said else 0,
        }
        for seat in verified.record.seats
    ]
    shown = {
        "schema": "net/1",
        "id": verified.network.hex(),
        "name": verified.genesis.name,
        "kind": verified.genesis.kind,
        "epoch": status.epoch,
        "commit": status.commit,
        "committee": committee,
        "observers": [node.hex() for node in status.observers],
        "policy_digest": verified.record.policy_digest.hex(),
        "state_root": status.state_root.hex(),
        "waits": status.waits or None,
    }
    if options["as_json"]:
        console.emit(shown)
    else:
        _print(shown, verified, status)


def _tee(verified: "VerifiedNode", vendor: str, said: "SeatStatus | None") -> str:
    """The seat's kind of TEE; of a hardware founder the record names the vendor only."""
    if verified.policy.is_simulated:
        return "simulated"
    return said.tee if said and said.tee else vendor


def _print(shown: dict[str, Any], verified: "VerifiedNode", status: "Status") -> None:
    from rich.table import Table
    from rich.text import Text

    genesis = verified.genesis
    name = console.printable(genesis.name, "")
    table = Table(
        title=Text(f"{name} ({genesis.app})"), show_header=False, box=None, pad_edge=False
    )
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("id", shown["id"])
    table.add_row("epoch", str(shown["epoch"]))
    table.add_row("commit", f"{shown['commit']}, certified {status.certified}")
    if status.waits:
        table.add_row("waits", _WAITS.get(status.waits, "it does not say for what"))
    table.add_row("state root", shown["state_root"])
    table.add_row("policy digest", shown["policy_digest"])
    table.add_row("at rest", at_rest_words(genesis.parameters, verified.record))
    table.add_row("resumes", f"from {genesis.parameters.resume}")
    for number, seat in enumerate(shown["committee"]):
        vendor = verified.record.seats[number].vendor
        row = f"{seat['node'][:32]}... {seat['tee']} {vendor}, round {seat['last_round']}"
        table.add_row(f"node {number}", row)
    for node in shown["observers"]:
        table.add_row("observer", node)
    for key in verified.record.governors:
        table.add_row("governor", key.hex())
    table.add_row("governors", f"{verified.record.governor_threshold} must agree on policy")
    console.show_table(table)


@net.command("leave")
@click.argument("network", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def net_leave(network: str | None, yes: bool, as_json: bool) -> None:
    """Forget a NETWORK that you joined (the only one, unless named).

    A node of yours in it keeps its seat: `ccp2p node --leave` gives that up.
    """
    from ccp2p.cli.net_join import run_command
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.errors import Fault

    profile = Profile(default_folder())
    try:
        name, ticket = profile.network(network)
        if not yes:
            question = f"Forget {name} ({ticket.network.hex()[:16]}...) on this machine?"
            click.confirm(question, abort=True, err=True)
        profile.remove_network(name)
    except Fault as fault:
        console.fail(fault)
    if as_json:
        console.emit({"schema": "net-leave/1", "name": name, "id": ticket.network.hex()})
        return
    console.say(f"left {name}: its addresses, ticket and pinned record are gone from here")
    console.say("what stays: what you wrote there, and your member keys in")
    console.say(f"  {profile.folder / 'members'}")
    console.say("the network still knows these keys: any member ticket lets you in again")
    network = ticket.network.hex()
    if (profile.folder / "node" / "networks" / network).exists():
        console.say("this machine's node is in it still; stop the node, then give up its seat:")
        console.say(f"  {run_command(None)} --leave --network {network[:16]}")
