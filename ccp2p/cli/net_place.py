"""`ccp2p net create --on MESH`: found a group on nodes of a mesh that consent to host it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, node_options
from ccp2p.model import limits

if TYPE_CHECKING:
    from ccp2p.client.placing import Consents
    from ccp2p.client.profile import Profile
    from ccp2p.client.verification import VerifiedNode
    from ccp2p.crypto.signatures import SigningKey
    from ccp2p.model.ticket import Ticket

_LOOK_S = 1.0
_DEFAULTS = {"nodes": 4, "storage_mb": 256, "events_per_s": 50}


def placing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where and how large; all of them go with --on."""
    for option in reversed(
        (
            click.option(
                "--on",
                "mesh",
                metavar="MESH",
                help="Found it on nodes of this mesh, which you joined, that consent to host it.",
            ),
            click.option(
                "--nodes",
                type=click.IntRange(1, limits.MAX_COMMITTEE),
                help="With --on: how many nodes. [default: 4]",
            ),
            click.option(
                "--storage-mb",
                type=click.IntRange(1, 1 << 20),
                help="With --on: the most that its database needs. [default: 256]",
            ),
            click.option(
                "--events-per-s",
                type=click.IntRange(1, 1_000_000),
                help="With --on: what members may submit at each node. [default: 50]",
            ),
            click.option(
                "--by-node",
                is_flag=True,
                help="With --on: ask by the key of this machine's node instead of your own.",
            ),
            click.option(
                "--allow-simulated",
                is_flag=True,
                envvar="CCP2P_ALLOW_SIMULATED",
                help="With --on: accept simulated TEEs, which protect nothing.",
            ),
            click.option(
                "--timeout",
                "timeout_s",
                type=click.FloatRange(1),
                default=60.0,
                show_default=True,
                help="With --on: seconds to wait until it is founded.",
            ),
        )
    ):
        command = option(command)
    return command


def refuse_placing_options() -> None:
    """Without --on they mean nothing."""
    _refuse(("nodes", "storage_mb", "events_per_s", "by_node"), "goes with --on")


def _refuse(names: tuple[str, ...], why: str) -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and given is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


async def create_on_mesh(name: str, options: dict[str, Any]) -> None:
    """Ask, place, wait until it is founded, and keep the ticket."""
    from dataclasses import replace

    from ccp2p.cli.net_create import governors_of
    from ccp2p.client.network import open_network
    from ccp2p.client.placing import ask_consents, place
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.errors import Denied, MemberFault
    from ccp2p.model.hosting import AskConsent
    from ccp2p.node import setup

    _refuse(("founders",), "does not go with --on: --nodes says how many")
    profile = Profile(default_folder())
    mesh_name, mesh = profile.network(options["mesh"])
    if mesh.kind != "mesh":
        raise MemberFault("network", f"{mesh_name} is a group: groups are placed on a mesh")
    sizes = {key: options[key] or default for key, default in _DEFAULTS.items()}
    own, governors, needed = governors_of(profile, options)
    founding = node_options.founding(name, options, governors, needed, standing=False)
    founding = replace(founding, founders=sizes["nodes"])
    drawn = setup.draft(founding, options["measurement"], time.time_ns() // 1_000_000)
    asked = AskConsent(sizes["nodes"], sizes["storage_mb"], sizes["events_per_s"], drawn.policy)
    founder = _founder(profile, options)
    async with open_network(
        mesh, allow_simulated=options["allow_simulated"], every_node=True
    ) as client:
        if client.verified.policy.is_simulated:
            console.warn_simulated("mesh")
        consents = await ask_consents(client, asked, founder)
        for node, reason in consents.refused:
            console.say(f"refused by {node.hex()[:16]}...: {reason}")
        if len(consents.given) < asked.nodes:
            count = len(consents.given)
            raise Denied(f"{count} node(s) of {mesh_name} would host it; it needs {asked.nodes}")
        hosts = [connection.node for connection, _ in consents.given]
        genesis = drawn.genesis(hosts[0].node)
        await place(consents, genesis, drawn.node_invite, founder)
        console.say(f"placed on {len(hosts)} node(s); they found it now")
    ticket = _ticket(name, genesis, hosts)
    await _wait(ticket, len(hosts), options)
    local_name = profile.add_network(ticket, None) if own in governors else None
    option = profile.option_for(local_name) if local_name is not None else ""
    _tell(ticket, local_name, option, hosts, consents, governors, needed, options)


def _founder(profile: "Profile", options: dict[str, Any]) -> "SigningKey":
    from ccp2p.node import setup

    if options["by_node"]:
        return setup.identity_in(node_options.wanted(options).directory).signing
    return profile.member(options["member"])


def _ticket(name: str, genesis: bytes, hosts: "list[VerifiedNode]") -> "Ticket":
    from ccp2p.model.genesis import network_id
    from ccp2p.model.ticket import Ticket

    addresses = tuple(address for host in hosts for address in host.client_addresses[:1])
    simulated = hosts[0].policy.is_simulated
    network = network_id(genesis)
    return Ticket(network, name, "member", simulated, b"", addresses[: limits.MAX_ADDRESSES], b"")


async def _wait(ticket: "Ticket", nodes: int, options: dict[str, Any]) -> None:
    """Until a node of the group shows its first record; Unreachable when none does in time."""
    import trio

    from ccp2p.client.network import open_network
    from ccp2p.model.errors import AttestationFault, Fault, Unreachable, fault_in

    last: Fault | None = None
    with trio.move_on_after(options["timeout_s"]):
        while True:
            try:
                async with open_network(
                    ticket, allow_simulated=options["allow_simulated"]
                ) as client:
                    if len(client.verified.record.seats) == nodes:
                        return
            except (Fault, BaseExceptionGroup) as error:
                last = fault_in(error)
                if last is None or isinstance(last, AttestationFault):
                    raise
            await trio.sleep(_LOOK_S)
    raise Unreachable(
        f"placed, but not founded in time ({last}); its hosts give it up by themselves"
    )


def _tell(
    ticket: "Ticket",
    local_name: str | None,
    option: str,
    hosts: "list[VerifiedNode]",
    consents: "Consents",
    governors: tuple[bytes, ...],
    needed: int,
    options: dict[str, Any],
) -> None:
    from ccp2p.model.ticket import format_ticket

    if options["as_json"]:
        console.emit(
            {
                "schema": "net-create/1",
                "id": ticket.network.hex(),
                "name": ticket.name,
                "local_name": local_name,
                "app": options["app"],
                "simulated": ticket.simulated,
                "founders": len(hosts),
                "governors": [key.hex() for key in governors],
                "governors_needed": needed,
                "ticket": format_ticket(ticket),
                "hosts": [host.node.hex() for host in hosts],
                "refused": [
                    {"node": node.hex(), "reason": reason} for node, reason in consents.refused
                ],
            }
        )
        return
    console.say(f"network {ticket.name} {ticket.network.hex()} runs on:")
    for host in hosts:
        console.say(f"  {host.node.hex()}")
    console.say(
        f"Governors enter it by this ticket, which holds no secret:\n  {format_ticket(ticket)}"
    )
    if local_name not in (None, ticket.name):
        console.say(f"on this machine it is called {local_name}")
    console.say(f"\nThen invite people:\n  {console.program()} invite create{option}")
