"""Options of the commands that make, prepare and run a node's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ccp2p.cli import console
from ccp2p.model import limits
from ccp2p.model.genesis import AppName

if TYPE_CHECKING:
    from ccp2p.node.setup import Founding, Wanted

_MIB = 1024 * 1024
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DEFAULT_COIN_LENGTH = 1 << 22


class _MultiAddress(click.ParamType):
    """A multiaddress that names its node."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ccp2p.model.errors import MemberFault
        from ccp2p.network.addresses import parse_address

        try:
            node = parse_address(value).node
        except MemberFault as fault:
            self.fail(str(fault), param, ctx)
        if node is None:
            self.fail(f"{value} does not name its node: /p2p/ is missing", param, ctx)
        return str(value)


Command = Callable[..., Any]


class _Measurement(click.ParamType):
    """32 bytes in hexadecimal, or nothing."""

    name = "HEX"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        try:
            measured = bytes.fromhex(value)
        except ValueError:
            measured = b"?"
        if len(measured) not in (0, 32):
            self.fail("a simulated measurement has 64 hexadecimal digits", param, ctx)
        return measured


def folder_options(command: Command) -> Command:
    """The node's folder, where it listens, and its TEE; see `wanted`."""
    return _apply(
        command,
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            help="The node's folder. [default: `node` in the folder of your keys]",
        ),
        click.option(
            "--listen",
            default="",
            help="Address to listen on; `::` is every one, IPv4 and IPv6. [default: kept, or `::` "
            "for a mesh and 127.0.0.1 for a group]",
        ),
        click.option("--port", type=_port(), default=0, help="For nodes. [default: kept or free]"),
        click.option(
            "--client-port", type=_port(), default=0, help="For members. [default: kept or free]"
        ),
        click.option(
            "--endorsement",
            "endorsements",
            multiple=True,
            type=_FILE,
            help="Certificates or collateral that go with this hardware TEE's evidence.",
        ),
        click.option(
            "--vendor", default="sim-a", show_default=True, help="Vendor of the simulated chip."
        ),
        click.option(
            "--measurement",
            type=_Measurement(),
            default="",
            help="What the simulated chip says that it runs, to try an upgrade. [default: this "
            "program]",
        ),
    )


def bootstrap_option(command: Command) -> Command:
    """Where to ask for nodes beyond the local network."""
    return _apply(
        command,
        click.option(
            "--bootstrap",
            multiple=True,
            type=_MultiAddress(),
            envvar="CCP2P_BOOTSTRAP",
            help="Address for members (/ip4/.../p2p/...) of any node, to find others beyond the "
            "local network; more than one may be given.",
        ),
    )


def founding_options(command: Command) -> Command:
    """What a new network is, but for its name; see `founding`."""
    return _apply(
        command,
        click.option(
            "--app",
            type=click.Choice(get_args(AppName)),
            default="rooms",
            show_default=True,
            help="What a new network runs.",
        ),
        click.option(
            "--founders",
            type=click.IntRange(1, limits.MAX_COMMITTEE),
            default=1,
            show_default=True,
            help="Nodes that found a new network together.",
        ),
        click.option(
            "--policy",
            type=_FILE,
            help="Attestation policy (TOML) of a new network. [default: simulated TEEs, this "
            "program]",
        ),
        click.option(
            "--coin-length",
            type=click.IntRange(256, 1 << 24),
            default=DEFAULT_COIN_LENGTH,
            show_default=True,
            help="Coins of an epoch of the new network: it changes its keys after a fifth less "
            "rounds.",
        ),
        click.option(
            "--round-ms",
            type=click.IntRange(0, 1000),
            default=20,
            show_default=True,
            help="Least time between two rounds of the new network. More of it saves work where "
            "there are many nodes, and each event waits longer.",
        ),
        click.option(
            "--aead",
            type=click.Choice(["aegis256", "xchacha20"]),
            default="aegis256",
            show_default=True,
            help="What a new network seals with: the fast one, or the one that every language has.",
        ),
        click.option(
            "--resume",
            type=click.Choice(["disks", "governors"]),
            default="disks",
            show_default=True,
            help="How a new network goes on after a power cut everywhere: from its disks, or when "
            "its governors say so (`ccp2p net recover`).",
        ),
        click.option(
            "--at-rest",
            type=click.Choice(["self", "group"]),
            default="self",
            show_default=True,
            help="What opens the disks of a new network's nodes: each TEE's own key, so that a "
            "chip broken later opens them; or a key that only running nodes have, so that it does "
            "not, and a power cut everywhere needs governors (`ccp2p net recover --shares`).",
        ),
    )


def mesh_options(command: Command) -> Command:
    """How a new mesh chooses who votes; see `founding`."""
    return _apply(
        command,
        click.option(
            "--committee",
            type=click.IntRange(4, limits.MAX_COMMITTEE),
            help="Seats of a new mesh: where more nodes are, who votes is drawn. [default: "
            f"{limits.MAX_COMMITTEE}]",
        ),
        click.option(
            "--rotation-s",
            type=click.IntRange(1, 366 * 24 * 3600),
            help="Seconds between two draws of a new mesh; each changes a third of the seats at "
            "most. [default: 3600]",
        ),
        click.option(
            "--subnet-seats",
            type=click.IntRange(1, limits.MAX_COMMITTEE),
            help="Seats that a new mesh's draws give to one subnet. [default: any number]",
        ),
    )


def wanted(options: dict[str, Any]) -> "Wanted":
    """The folder and the machine that `folder_options` describe."""
    from ccp2p.attestation.inputs import read_endorsement, read_file
    from ccp2p.client.profile import default_folder
    from ccp2p.node.home import Listen
    from ccp2p.node.setup import Wanted

    return Wanted(
        options["data"] or default_folder() / "node",
        Listen(options["listen"], options["port"], options["client_port"]),
        options["vendor"],
        options.get("map_size", limits.DEFAULT_MAP_BYTES // _MIB) * _MIB,
        tuple(read_endorsement(read_file(path)) for path in options["endorsements"]),
        options["measurement"],
        options.get("cache_size", limits.STATE_CACHE_BYTES // _MIB) * _MIB,
    )


def founding(
    name: str, options: dict[str, Any], governors: tuple[bytes, ...], needed: int, standing: bool
) -> "Founding":
    """The network that `founding_options` describe; `standing`: with an invite for anybody.

    Of a mesh there may be `mesh_options`, too.
    """
    from ccp2p.model.genesis import Parameters
    from ccp2p.node.setup import Founding

    draws: dict[str, Any] = {
        "committee_max": options.get("committee"),
        "rotation_interval_ms": 1000 * (options.get("rotation_s") or 0),
        "subnet_seats": options.get("subnet_seats"),
    }

    return Founding(
        name,
        options["app"],
        options["founders"],
        Parameters(
            coin_length=options["coin_length"],
            min_round_delay_ms=options["round_ms"],
            aead=options["aead"],
            at_rest=options["at_rest"],
            resume=options["resume"],
            **{name: value for name, value in draws.items() if value},
        ),
        console.read_text(options["policy"]) if options["policy"] else None,
        governors,
        needed,
        standing,
    )


def _port() -> click.IntRange:
    return click.IntRange(0, 65_535)


def _apply(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
