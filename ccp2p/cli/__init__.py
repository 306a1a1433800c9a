"""The command line. Command modules are imported when they are used: libp2p alone takes a second.

Exit codes: 0 ok, 1 failed, 2 usage, 3 unreachable, 4 attestation failed, 5 not committed in time,
6 denied, 130 interrupted.
"""

from importlib import import_module
from typing import Any, Final

import click

from ccp2p import __version__
from ccp2p.cli import console
from ccp2p.model.errors import LocalFault

# name: (module and attribute, short help)
_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "bench": ("ccp2p.cli.bench:bench", "Measure the native core, or a whole network."),
    "dev": ("ccp2p.cli.dev:dev", "Run a whole network on this machine to try it out."),
    "diag": ("ccp2p.cli.diag:diag", "Find out whether this node can be reached."),
    "inspect": ("ccp2p.cli.inspect:inspect", "Look into tickets, receipts, folders and keys."),
    "invite": ("ccp2p.cli.invite:invite", "Invite members and nodes."),
    "kv": ("ccp2p.cli.kv:kv", "Read and write a shared key-value database."),
    "net": ("ccp2p.cli.net:net", "Create, join and leave networks, and look at them."),
    "node": ("ccp2p.cli.node:node", "Run a node."),
    "platform": ("ccp2p.cli.platform:platform", "Look at the TEE of this machine."),
    "read": ("ccp2p.cli.messages:read", "Print a room's messages."),
    "room": ("ccp2p.cli.room:room", "Create, join and list rooms."),
    "send": ("ccp2p.cli.messages:send", "Send a message to a room."),
    "sim": ("ccp2p.cli.sim:sim", "Try to break networks in a simulated world."),
    "tail": ("ccp2p.cli.messages:tail", "Follow a room's messages."),
    "verify": ("ccp2p.cli.verify:verify", "Check a network's nodes, or evidence."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use; help needs only their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All command names."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C and a stdout that is full end each in the same way."""
        try:
            return super().invoke(ctx)
        except LocalFault as fault:
            console.fail(fault)
        except KeyboardInterrupt:
            raise SystemExit(console.EXIT_INTERRUPTED) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(n, _COMMANDS[n][1]) for n in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ccp2p")
def main() -> None:
    """Confidential Consensus: one replicated machine that no single host can read or fork."""
