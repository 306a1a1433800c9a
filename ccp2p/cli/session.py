"""What commands that talk to a network share: options, connecting, one open session."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console

if TYPE_CHECKING:
    from ccp2p.client.network import NetworkClient
    from ccp2p.client.session import MemberSession

DEFAULT_TIMEOUT_S = 20.0
_JSON_HELP = "One JSON object on stdout."


def patience_options(
    command: Callable[..., Any], json_help: str = _JSON_HELP
) -> Callable[..., Any]:
    """`--allow-simulated`, `--timeout` and `--json`."""
    for option in (
        click.option(
            "--allow-simulated",
            is_flag=True,
            envvar="CCP2P_ALLOW_SIMULATED",
            help="Accept simulated TEEs, which protect nothing.",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(0.1),
            default=DEFAULT_TIMEOUT_S,
            show_default=True,
            help="Seconds to wait for a commit.",
        ),
        click.option("--json", "as_json", is_flag=True, help=json_help),
    ):
        command = option(command)
    return command


def network_options(command: Callable[..., Any], json_help: str = _JSON_HELP) -> Callable[..., Any]:
    """`patience_options`, and `--network`."""
    option = click.option("--network", help="Which joined network. [default: the only one]")
    return patience_options(option(command), json_help)


def member_options(command: Callable[..., Any], json_help: str = _JSON_HELP) -> Callable[..., Any]:
    """`network_options`, and `--member`."""
    option = click.option("--member", help="Which of your member keys. [default: me]")
    return network_options(option(command), json_help)


def linearizable_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--linearizable`."""
    return click.option(
        "--linearizable",
        is_flag=True,
        help="Wait for a commit first, so that nothing committed before the read is missed.",
    )(command)


async def pass_barrier(session: "MemberSession", options: dict[str, Any]) -> None:
    """Do what `--linearizable` asks for."""
    if options["linearizable"]:
        await session.barrier(timeout_ms(options))


@asynccontextmanager
async def open_network(
    options: dict[str, Any],
    app: str | None = None,
    *,
    every_node: bool = False,
    whole_chain: bool = False,
) -> AsyncIterator["NetworkClient"]:
    """A verified connection to the chosen network, or to each node that answers.

    MemberFault when it runs another app than `app`. With `whole_chain` the first one shows all
    epoch records.
    """
    from ccp2p.client.network import open_network as connect
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.errors import MemberFault

    profile = Profile(default_folder())
    name, ticket = profile.network(options["network"])
    async with connect(
        ticket,
        allow_simulated=options["allow_simulated"],
        every_node=every_node,
        whole_chain=whole_chain,
    ) as client:
        if not ticket.record or client.verified.recoveries:
            # Its creator has held this ticket since before it was founded. From now on this record
            # counts; so it does where a recovery was seen, lest another one of its epoch be shown.
            profile.add_network(client.pinned_ticket(), name)
        if client.verified.policy.is_simulated:
            warn_once(client.verified.genesis.kind)
        runs = client.verified.genesis.app
        if app not in (None, runs):
            raise MemberFault("app", f"{name} runs {runs}, not {app}; --network chooses another")
        yield client


def warn_once(kind: str) -> None:
    """The warning about simulated TEEs, also of a command that connects twice."""
    context = click.get_current_context()
    if not context.meta.get(__name__):
        context.meta[__name__] = True
        console.warn_simulated(kind)


@asynccontextmanager
async def open_session(
    options: dict[str, Any], app: str | None = None
) -> AsyncIterator["MemberSession"]:
    """An open session of the chosen member with the chosen network, which has to run `app`."""
    async with open_network(options, app) as client:
        yield await introduce(client, options)


async def introduce(client: "NetworkClient", options: dict[str, Any]) -> "MemberSession":
    """The chosen member's session over an open connection."""
    from ccp2p.client.profile import Profile, default_folder

    session = client.session(Profile(default_folder()).held_member(options["member"]))
    await session.open(timeout_ms(options))
    return session


def timeout_ms(options: dict[str, Any]) -> int:
    """The patience that the user asked for."""
    return int(options["timeout_s"] * 1000)
