"""`ccp2p net create`: prepare the first node of a new network, whose governor you are."""

import time
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, node_options
from ccp2p.cli.net_join import run_command
from ccp2p.cli.net_place import create_on_mesh, placing_options, refuse_placing_options
from ccp2p.model import limits

if TYPE_CHECKING:
    from ccp2p.client.profile import Profile
    from ccp2p.node.setup import NodeSetup

_KEY_BYTES = 32


class MemberKey(click.ParamType):
    """A member's public key, in hexadecimal."""

    name = "KEY"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """The key's bytes."""
        try:
            key = bytes.fromhex(value)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            self.fail("a member key has 64 hexadecimal digits (ccp2p inspect member)", param, ctx)
        return key


@click.command("create")
@click.argument("name", type=console.TEXT)
@node_options.founding_options
@click.option("--member", help="Which of your member keys governs. [default: me]")
@click.option(
    "--governor",
    "governors",
    multiple=True,
    type=MemberKey(),
    help="A governor's member key; repeat it for several. [default: your own]",
)
@click.option(
    "--governors-needed",
    type=click.IntRange(1),
    help="How many governors must agree on policy and recovery. [default: more than half]",
)
@placing_options
@node_options.folder_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def net_create(name: str, **options: Any) -> None:
    """Prepare a new network NAME: its genesis, this machine's node, and your own entry.

    `ccp2p node` runs the node then. Each governor may invite (`ccp2p invite create`). With --on
    the network is founded at once, on nodes of a mesh whose operators host groups; this machine
    needs no node.
    """
    from ccp2p.model.errors import Fault

    if options["mesh"] is not None:
        console.run(lambda: create_on_mesh(name, options))
        return
    refuse_placing_options()
    try:
        _create(name, options)
    except Fault as fault:
        console.fail(fault)


def _create(name: str, options: dict[str, Any]) -> None:
    from dataclasses import replace

    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.node import setup
    from ccp2p.node.home import NodeHome, holds_node

    profile = Profile(default_folder())
    own, governors, needed = governors_of(profile, options)
    founding = node_options.founding(name, options, governors, needed, standing=False)
    wanted = node_options.wanted(options)
    if holds_node(wanted.directory):  # which may be running, where it listens already
        wanted = replace(wanted, listen=NodeHome(wanted.directory).listen(wanted.listen))
    if not wanted.listen.node_port:
        wanted = replace(wanted, listen=wanted.listen.settled())
    prepared = setup.found(wanted, founding, time.time_ns() // 1_000_000)
    setup.require_kept(prepared)
    local_name = _enter(profile, prepared) if own in governors else None
    node_ticket = _ticket(prepared, "node") if prepared.node_invite else None
    if prepared.policy.is_simulated:
        console.say(console.SIMULATED_WARNING)
    if options["as_json"]:
        console.emit(
            {
                "schema": "net-create/1",
                "id": prepared.network.hex(),
                "name": name,
                "local_name": local_name,
                "app": prepared.genesis.app,
                "simulated": prepared.policy.is_simulated,
                "policy_digest": prepared.policy.digest.hex(),
                "founders": prepared.genesis.founders,
                "governors": [key.hex() for key in governors],
                "governors_needed": needed,
                "node": prepared.identity.node.hex(),
                "node_ticket": node_ticket,
                "data": str(wanted.directory),
            }
        )
        return
    if local_name is not None and local_name != name:
        console.say(f"{name} is called {local_name} on this machine")
    option = profile.option_for(local_name) if local_name is not None else ""
    _print(prepared, own, node_ticket, run_command(options["data"]), option)


def governors_of(
    profile: "Profile", options: dict[str, Any]
) -> tuple[bytes | None, tuple[bytes, ...], int]:
    """The creator's own key, if any, all governors', and how many of them must agree."""
    own: bytes | None = None
    if not options["governors"] or profile.has_member(options["member"]):
        own = profile.member(options["member"]).public
    governors: tuple[Any, ...] = options["governors"] or (own,)
    return own, governors, options["governors_needed"] or len(governors) // 2 + 1


def _enter(profile: "Profile", prepared: "NodeSetup") -> str:
    """The creator's own entry: no invite, and no record until there is one."""
    from ccp2p.model.ticket import parse_ticket

    return profile.add_network(parse_ticket(_ticket(prepared, "member")), None)


def _ticket(prepared: "NodeSetup", role: Any) -> str:
    from ccp2p.model.ticket import Ticket, format_ticket
    from ccp2p.network.sockets import addresses_on

    listen = prepared.listen
    addresses = addresses_on(listen.host, listen.client_port, prepared.identity.node)
    secret = prepared.node_invite if role == "node" else b""
    return format_ticket(
        Ticket(
            prepared.network,
            prepared.genesis.name,
            role,
            prepared.policy.is_simulated,
            b"",
            addresses[: limits.TICKET_ADDRESSES],
            secret,
        )
    )


def _print(
    prepared: "NodeSetup", own: bytes | None, node_ticket: str | None, run: str, option: str
) -> None:
    genesis = prepared.genesis
    console.say(f"network {genesis.name} {prepared.network.hex()}")
    console.say(f"app {genesis.app}; policy {prepared.policy.digest.hex()[:32]}...")
    needed, count = genesis.governor_threshold, len(genesis.governors)
    console.say(f"governors ({needed} of {count} may change the policy, each may invite):")
    for key in genesis.governors:
        console.say(f"  {key.hex()}{' (you)' if key == own else ''}")
    if prepared.home.networks():
        console.say(f"\nA node that runs on {prepared.home.directory} takes it up by itself. Else:")
        console.say(f"  {run}")
    else:
        console.say(f"\nRun the first node:\n  {run}")
    if node_ticket is not None:
        console.say(f"\nThen on {genesis.founders - 1} more machine(s), with this node ticket:")
        flag = "--allow-simulated " if prepared.policy.is_simulated else ""
        console.say(f"  ccp2p net join {flag}{node_ticket}\n  ccp2p node")
    console.say(f"\nThen invite people:\n  {console.program()} invite create{option}")
