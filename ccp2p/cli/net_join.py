"""`ccp2p net join`: become a member by a member ticket, or prepare a founder by a node ticket."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, node_options, session

if TYPE_CHECKING:
    from ccp2p.client.profile import Profile
    from ccp2p.client.verification import Offer
    from ccp2p.model.ticket import Ticket

_FIRST_COMMANDS = {
    "rooms": ("room create lobby", "send lobby Hello", "read lobby"),
    "kv": ("kv put greeting hello", "kv get greeting"),
}


@click.command("join")
@click.argument("ticket", metavar=console.SECRET)
@click.option("--as", "local_name", help="Local name of the network. [default: its own]")
@session.patience_options
@click.option("--member", help="Which of your member keys joins. [default: me]")
@node_options.folder_options
@click.pass_context
def net_join(context: click.Context, /, ticket: str, **options: Any) -> None:
    """Verify the network of a ticket, and join it.

    A member ticket makes you a member; its invite is used up. A node ticket prepares this
    machine's node to help found the network, or to enter it; `ccp2p node` runs it then.

    Give the ticket on stdin (`-`) or in a file (`@FILE`): others on this machine see a command's
    arguments.

    --data to --vendor go with a node ticket, --as and --member with a member's.
    """
    console.run(lambda: _join(context, console.read_secret(ticket), options))


async def _join(context: click.Context, text: str, options: dict[str, Any]) -> None:
    from ccp2p.model.ticket import parse_ticket

    ticket = parse_ticket(text)
    if ticket.role == "node":
        _refuse(context, ("local_name", "member"), "a member ticket", "a node")
        await _prepare(ticket, options)
    else:
        _refuse(
            context,
            ("data", "listen", "port", "client_port", "endorsements", "vendor"),
            "a node ticket",
            "a member",
        )
        await _become_member(ticket, options)


def _refuse(context: click.Context, names: tuple[str, ...], wanted: str, found: str) -> None:
    """Options of the other role are a mistake about the ticket: say so before anything happens."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and given is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[0]} goes with {wanted}; this ticket is for {found}"
            )


async def _become_member(ticket: "Ticket", options: dict[str, Any]) -> None:
    from ccp2p.client.network import open_network
    from ccp2p.client.profile import Profile, default_folder

    profile = Profile(default_folder())
    name = profile.name_for(ticket, options["local_name"])
    async with open_network(ticket, allow_simulated=options["allow_simulated"]) as client:
        verified = client.verified
        if verified.policy.is_simulated:
            console.warn_simulated(verified.genesis.kind)
        await _introduce(client, profile, options)
        profile.add_network(client.pinned_ticket(), name)
    if options["as_json"]:
        console.emit({"schema": "net-join/1", "name": name, "id": ticket.network.hex()})
        return
    console.say(f"joined {name}: {len(verified.record.seats)} node(s), app {verified.genesis.app}")
    first = _FIRST_COMMANDS.get(verified.genesis.app, ())  # an app of somebody's own has none
    if first:
        console.say("next:")
    if first and verified.policy.is_simulated:
        console.say("  export CCP2P_ALLOW_SIMULATED=1")
    for command in first:
        console.say(f"  {console.program()} {command}{profile.option_for(name)}")


async def _introduce(client: Any, profile: "Profile", options: dict[str, Any]) -> None:
    """Use the invite up now; a key that was made for it and is refused goes again."""
    from ccp2p.model.errors import Denied

    is_new = not profile.has_member(options["member"])
    member = profile.member(options["member"])
    try:
        await client.session(member).open(session.timeout_ms(options))
    except Denied:
        if is_new:
            profile.remove_member(options["member"])
        raise


async def _prepare(ticket: "Ticket", options: dict[str, Any]) -> None:
    import msgspec

    from ccp2p.node import setup

    offer = await fetch(ticket, allow_simulated=options["allow_simulated"])
    wanted = node_options.wanted(options)
    prepared = setup.join(wanted, ticket, offer.welcome)
    setup.require_kept(prepared)
    genesis = offer.genesis
    if offer.policy.is_simulated:
        console.warn_simulated(genesis.kind)
    if options["as_json"]:
        console.emit(
            {
                "schema": "net-prepare/1",
                "id": ticket.network.hex(),
                "name": genesis.name,
                "app": genesis.app,
                "founders": genesis.founders,
                "founded": prepared.is_founded,
                "governors": [key.hex() for key in offer.governors],
                "governors_needed": offer.threshold,
                "policy_digest": offer.policy.digest.hex(),
                "node": prepared.identity.node.hex(),
                "data": str(wanted.directory),
            }
        )
        return
    console.say(f"network {genesis.name} {ticket.network.hex()}")
    state = "is running" if prepared.is_founded else f"waits for {genesis.founders} founders"
    console.say(f"app {genesis.app}; the network {state}")
    verdict = offer.verdict
    console.say(
        f"the node that answered runs in a {verdict.tee} TEE of {verdict.vendor}, measurement "
        f"{verdict.measurement.hex()}; its evidence is fresh and satisfies the policy:"
    )
    for section in offer.policy.sections():
        accepted = msgspec.to_builtins(getattr(offer.policy, section))
        console.say(f"  {section}: {_short(accepted)}")
    console.say(f"{offer.threshold} of {len(offer.governors)} governors may change the policy:")
    for key in offer.governors:
        console.say(f"  {key.hex()}")
    console.say(f"{wanted.directory} is prepared; next: {run_command(options['data'])}")
    if prepared.home.networks():
        console.say("(a node that runs there already takes it up by itself)")


def _short(section: dict[str, Any]) -> str:
    """What a section asks for, without what it leaves open."""
    return ", ".join(
        f"{key} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for key, value in section.items()
        if value
    )


def run_command(data: Path | None) -> str:
    """What runs a prepared folder."""
    return f"{console.program()} node" + (f" --data {shlex.quote(str(data))}" if data else "")


async def fetch(ticket: "Ticket", *, allow_simulated: bool) -> "Offer":
    """What a node says of the network that it founds or runs, verified."""
    from ccp2p.client.connection import fetch_offer
    from ccp2p.model.errors import Fault, MemberFault, Unreachable

    if ticket.role != "node":
        raise MemberFault(
            "ticket",
            "this is a member's ticket; a node needs a node ticket. Members: ccp2p net join",
        )
    fault: Fault = Unreachable("the ticket names no address")
    for address in ticket.addresses:
        try:
            return await fetch_offer(address, ticket.network, allow_simulated=allow_simulated)
        except Unreachable as unreachable:
            fault = unreachable
    raise fault
