"""`ccp2p invite`: tickets with a limit and an end, and what is inside one."""

import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session
from ccp2p.model import limits

if TYPE_CHECKING:
    from ccp2p.client.network import NetworkClient
    from ccp2p.client.session import MemberSession
    from ccp2p.model.ticket import Ticket

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_QR_BORDER = 2


class _Lifetime(click.ParamType):
    """A number and a unit, as milliseconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,9})([smhd])", value)
        lifetime_ms = int(match[1]) * _UNITS_MS[match[2]] if match else 0
        if not 1 <= lifetime_ms <= limits.MAX_INVITE_LIFETIME_MS:
            self.fail(
                f"{value!r} is not a time such as 90s, 30m, 24h or 7d, up to 366d", param, ctx
            )
        return lifetime_ms


@click.group()
def invite() -> None:
    """Invite members and nodes, and look into tickets."""


@invite.command("create")
@click.option(
    "--uses",
    type=click.IntRange(1, limits.MAX_INVITE_USES),
    default=1,
    show_default=True,
    help="How many may come in with it.",
)
@click.option(
    "--ttl",
    "lifetime_ms",
    type=_Lifetime(),
    default="24h",
    show_default=True,
    help="How long it is good for: 90s, 30m, 24h, 7d.",
)
@click.option(
    "--role",
    type=click.Choice(["member", "node"]),
    default="member",
    show_default=True,
    help="Whom it lets in.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the ticket to this new file, which only you can read, instead of stdout.",
)
@click.option("--qr/--no-qr", default=None, help="Draw a QR code. [default: on a terminal]")
@session.member_options
def invite_create(**options: Any) -> None:
    """Print a ticket that lets somebody in: once and within a day, unless told otherwise.

    Only a governor of the network may; the network counts uses and time. Whoever has the ticket
    may use it: send it as you would a password.
    """
    if options["output"] is not None and options["output"].exists():
        raise click.BadParameter(f"{options['output']} exists already", param_hint="--output")
    console.run(lambda: _create(options))


async def _create(options: dict[str, Any]) -> None:
    from ccp2p.model.host_commands import IssueInvite, invite_digest
    from ccp2p.model.ticket import format_ticket

    secret = os.urandom(limits.INVITE_BYTES)
    command = IssueInvite(
        invite_digest(secret), options["role"], options["uses"], options["lifetime_ms"]
    )
    async with session.open_network(options) as client:
        member = await session.introduce(client, options)
        expires_ms = await _issue(member, command, options)
        ticket = _ticket(client, options["role"], secret, expires_ms)
    text = format_ticket(ticket)
    if options["output"] is not None:
        _write(options["output"], text)
    if options["as_json"]:
        console.emit(
            {
                "schema": "invite/1",
                "id": ticket.network.hex(),
                "name": ticket.name,
                "role": ticket.role,
                "uses": options["uses"],
                "expires_ms": expires_ms,
                "ticket": None if options["output"] is not None else text,
                "file": str(options["output"]) if options["output"] is not None else None,
            }
        )
    else:
        _print(ticket, text, options)
    if options["qr"] or (options["qr"] is None and options["output"] is None and _is_watched()):
        _draw(text)


async def _issue(member: "MemberSession", command: Any, options: dict[str, Any]) -> int:
    """Order the command; when the invite ends, in ledger time."""
    from ccp2p.client.session import require_executed
    from ccp2p.model import codec
    from ccp2p.model.host_commands import InviteIssued

    body = require_executed(await _command(member, command, options))
    return codec.decode(body, InviteIssued, limits.MAX_OUTCOME_BYTES).expires_ms


async def _command(member: "MemberSession", command: Any, options: dict[str, Any]) -> Any:
    from ccp2p.model.errors import Denied
    from ccp2p.model.host_commands import encode_command

    outcome = await member.submit(encode_command(command), session.timeout_ms(options))
    if outcome.status == "rejected" and outcome.body == b"not-governor":
        raise Denied(
            f"your key {member.member.public.hex()[:16]}... is not a governor's: only governors "
            "invite (`ccp2p net show` lists them; --member chooses another of your keys)",
            "not-governor",
        )
    return outcome


def _ticket(client: "NetworkClient", role: Any, secret: bytes, expires_ms: int) -> "Ticket":
    from ccp2p.model.ticket import Ticket

    verified = client.verified
    return Ticket(
        verified.network,
        verified.genesis.name,
        role,
        verified.policy.is_simulated,
        verified.record_digest,
        verified.client_addresses[: limits.TICKET_ADDRESSES],
        secret,
        expires_ms,
        verified.genesis.kind,
    )


def _print(ticket: "Ticket", text: str, options: dict[str, Any]) -> None:
    people = "once" if options["uses"] == 1 else f"{options['uses']} times"
    console.say(
        f"a {ticket.role}'s ticket to {ticket.name}, to be used {people} until "
        f"{_local_time(ticket.expires_ms)}:"
    )
    if options["output"] is not None:
        console.say(f"written to {options['output']}")
    else:
        console.show(text)
    console.say("they join with: ccp2p net join -   (and paste it)")


def _is_watched() -> bool:
    return sys.stdout.isatty()


def _draw(text: str) -> None:
    """The ticket in capitals, which a QR code packs closer and `net join` reads as well."""
    import segno

    code = segno.make_qr(text.upper(), error="l")
    width = code.symbol_size(border=_QR_BORDER)[0]
    columns = shutil.get_terminal_size().columns
    if columns < width:
        console.say(f"no QR code: it takes {width} columns, and there are {columns}")
        return
    code.terminal(sys.stderr, border=_QR_BORDER, compact=True)


def _write(path: Path, text: str) -> None:
    from ccp2p.model.errors import LocalFault

    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
    except OSError as error:
        raise LocalFault("output", f"{path} cannot be written: {error.strerror}") from None


@invite.command("revoke")
@click.argument("ticket", metavar=console.SECRET)
@session.member_options
def invite_revoke(ticket: str, **options: Any) -> None:
    """Take a ticket's invite back. Who used it before stays."""
    console.run(lambda: _revoke(console.read_secret(ticket), options))


async def _revoke(text: str, options: dict[str, Any]) -> None:
    from ccp2p.client.session import require_executed
    from ccp2p.model.errors import MemberFault
    from ccp2p.model.host_commands import RevokeInvite, invite_digest
    from ccp2p.model.ticket import parse_ticket

    ticket = parse_ticket(text)
    async with session.open_network(options) as client:
        if client.verified.network != ticket.network:
            raise MemberFault("ticket", "this is another network's ticket: choose --network")
        member = await session.introduce(client, options)
        command = RevokeInvite(invite_digest(ticket.secret))
        require_executed(await _command(member, command, options))
    if options["as_json"]:
        console.emit({"schema": "invite-revoke/1", "id": ticket.network.hex()})
    else:
        console.say("this ticket lets nobody in any more")


@invite.command("show")
@click.argument("ticket", metavar=console.SECRET)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def invite_show(ticket: str, as_json: bool) -> None:
    """What would I trust? Looks into a ticket, offline."""
    from ccp2p.model.errors import Fault
    from ccp2p.model.ticket import parse_ticket

    try:
        parsed = parse_ticket(console.read_secret(ticket))
    except Fault as fault:
        console.fail(fault)
    if as_json:
        console.emit(
            {
                "schema": "ticket/1",
                "name": parsed.name,
                "id": parsed.network.hex(),
                "role": parsed.role,
                "kind": parsed.kind,
                "simulated": parsed.simulated,
                "record": parsed.record.hex() or None,
                "addresses": list(parsed.addresses),
                "invite": bool(parsed.secret),
                "expires_ms": parsed.expires_ms or None,
            }
        )
        return
    _show(parsed)


def _show(ticket: "Ticket") -> None:
    if ticket.simulated:
        console.warn_simulated(ticket.kind)
    console.show(f"a {ticket.role}'s ticket to network {ticket.name}")
    console.echo(f"network id (pins policy, app and parameters): {ticket.network.hex()}")
    console.echo(f"TEEs: {'SIMULATED' if ticket.simulated else 'hardware'}, says the ticket")
    console.echo(f"epoch record pinned: {ticket.record.hex() or 'none yet'}")
    for address in ticket.addresses:
        console.show(f"address: {address}")
    if ticket.expires_ms:
        ended = ", which is over" if ticket.expires_ms <= time.time() * 1000 else ""
        console.echo(f"invite ends: {_local_time(ticket.expires_ms)}{ended}")
    if ticket.secret:
        console.echo("it holds an invite secret: give it only to whom you invite")


def _local_time(time_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(time_ms / 1000))
