"""`ccp2p node`: run a node until SIGTERM or Ctrl-C."""

import logging
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ccp2p.cli import console
from ccp2p.model import limits

if TYPE_CHECKING:
    from ccp2p.node.floor import Floor
    from ccp2p.node.node import Node
    from ccp2p.node.setup import NodeSetup, Wanted

_MIB = 1024 * 1024


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="The node's folder.")
@click.option(
    "--name",
    type=console.TEXT,
    default="home",
    show_default=True,
    help="Name of a new network.",
)
@click.option(
    "--app",
    type=click.Choice(["rooms", "kv"]),
    default="rooms",
    show_default=True,
    help="What a new network runs.",
)
@click.option(
    "--founders",
    type=click.IntRange(1, limits.MAX_COMMITTEE),
    default=1,
    show_default=True,
    help="Nodes that found a new network together.",
)
@click.option(
    "--join",
    "join_ticket",
    metavar="TICKET|-|@FILE",
    help="Enter the network of this node ticket, or help to found it.",
)
@click.option(
    "--leave",
    is_flag=True,
    help="Give up the seat, and stop once an epoch without it has begun.",
)
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=0, help="TCP port for nodes. [default: kept or free]")
@click.option("--client-port", type=int, default=0, help="TCP port for members.")
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Attestation policy (TOML) of a new network. [default: simulated TEEs, this program]",
)
@click.option(
    "--endorsement",
    "endorsements",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates or collateral that go with this hardware TEE's evidence.",
)
@click.option("--vendor", default="sim-a", show_default=True, help="Vendor of the simulated chip.")
@click.option(
    "--coin-length",
    type=click.IntRange(256, 1 << 24),
    default=1 << 22,
    show_default=True,
    help="Coins of an epoch of the new network: it changes its keys after a fifth less rounds.",
)
@click.option(
    "--map-size",
    type=click.IntRange(1),
    default=limits.DEFAULT_MAP_BYTES // _MIB,
    show_default=True,
    help="The most that the database may grow to, in MiB.",
)
@click.option("--json", "as_json", is_flag=True, help="Events as JSON, one object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Log what peers do.")
def node(**options: Any) -> None:
    """Run a node: go on with the folder's network, or begin one.

    On a new machine this founds a network of one node and prints a ticket with which members join
    from another terminal.
    """
    _configure_log(options["verbose"])
    output = _Output(options["as_json"])
    console.run(lambda: _run(options, output))


# While events execute in a worker thread, ordering must not wait a whole default interval (5 ms)
# for the interpreter lock at each of a round's many steps.
_SWITCH_INTERVAL_S = 0.0005


async def _run(options: dict[str, Any], output: "_Output") -> None:
    import trio

    from ccp2p.node.node import Node, Reports

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    setup = await _settle(options)
    output.start(setup)
    reports = Reports(output.listening, output.progress, output.ready, output.floor, output.epoch)
    running = Node(setup, reports)
    if options["leave"]:
        running.leave()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
        if options["as_json"] and stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
            nursery.start_soon(_stop_unheard, nursery.cancel_scope)
        await running.run()
        nursery.cancel_scope.cancel()
    output.stopped(running)


async def _settle(options: dict[str, Any]) -> "NodeSetup":
    import trio

    from ccp2p.attestation.inputs import read_endorsement, read_file
    from ccp2p.client.profile import default_folder
    from ccp2p.node import setup
    from ccp2p.node.home import Listen, NodeHome

    directory: Path = options["data"] or default_folder() / "node"
    wanted = setup.Wanted(
        directory,
        Listen(options["listen"], options["port"], options["client_port"]),
        options["vendor"],
        options["map_size"] * _MIB,
        tuple(read_endorsement(read_file(path)) for path in options["endorsements"]),
    )
    if options["join_ticket"]:
        return await _join(wanted, options["join_ticket"])
    if NodeHome(directory).networks():
        return await trio.to_thread.run_sync(setup.reopen, wanted)
    return _found(wanted, options)


def _found(wanted: "Wanted", options: dict[str, Any]) -> "NodeSetup":
    from ccp2p.model.genesis import Parameters
    from ccp2p.node import setup

    app: Literal["rooms", "kv"] = options["app"]
    parameters = Parameters(coin_length=options["coin_length"])
    policy = console.read_text(options["policy"]) if options["policy"] else None
    founding = setup.Founding(options["name"], app, options["founders"], parameters, policy)
    return setup.found(wanted, founding, time.time_ns() // 1_000_000)


async def _join(wanted: "Wanted", text: str) -> "NodeSetup":
    from ccp2p.client.connection import fetch_genesis
    from ccp2p.model.errors import Fault, Unreachable
    from ccp2p.model.ticket import parse_ticket
    from ccp2p.node import setup

    ticket = parse_ticket(console.read_secret(text))
    fault: Fault = Unreachable("the ticket names no address")
    for address in ticket.addresses:
        try:
            return setup.join(wanted, ticket, await fetch_genesis(address))
        except Unreachable as unreachable:
            fault = unreachable
    raise fault


async def _stop_on_signal(scope: Any) -> None:
    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _stop_unheard(scope: Any) -> None:
    """Stop when the program is gone that reads our events: nobody else would stop us."""
    import trio

    await trio.lowlevel.wait_readable(sys.stdout)  # a pipe's writing end wakes when nobody reads
    scope.cancel()


def _configure_log(verbose: bool) -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.INFO if verbose else logging.WARNING
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class _Output:
    """What a running node tells: people on stderr, programs as JSON lines on stdout."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._resumes = False
        self._alone = False

    def start(self, setup: "NodeSetup") -> None:
        from ccp2p.node.home import keeps_keys

        self._resumes = setup.record is not None
        self._alone = setup.genesis.founders == 1
        if setup.policy.is_simulated:
            console.say(console.SIMULATED_WARNING)
        if not keeps_keys(setup.platform):
            console.say(
                f"{setup.platform.tee} keeps no key over a restart: this node's keys live in "
                "memory, and once it stops its folder cannot be opened again"
            )
        console.say(f"network {setup.genesis.name} ({setup.network.hex()[:16]}...)")

    def progress(self, text: str) -> None:
        console.say(text)

    def listening(self, node: "Node") -> None:
        _, ticket = node.tickets()
        if node.setup.record is not None:
            return
        if ticket is not None and node.setup.genesis.founders > 1:
            text = _format(ticket)
            console.say("Start the other founders with this ticket (one of them each time):")
            console.say(f"  {console.program()} node --data FOLDER --join {text}")
            self._emit("founding", node_ticket=text)

    def ready(self, node: "Node") -> None:
        setup = node.setup
        member, _ = node.tickets()
        console.say(f"listening for nodes on {node.peers.addresses[0]}")
        console.say(f"listening for members on {node.listener.addresses[0]}")
        if member is not None:
            console.say("\nJoin as a member from another terminal:")
            flag = " --allow-simulated" if setup.policy.is_simulated else ""
            console.say(f"  {console.program()} net join{flag} {_format(member)}\n")
        self._emit(
            "ready",
            network=setup.network.hex(),
            name=setup.genesis.name,
            node=setup.identity.node.hex(),
            tee=setup.platform.tee,
            simulated=setup.policy.is_simulated,
            client_addresses=list(node.listener.addresses),
            ticket=_format(member) if member else None,
        )

    def floor(self, floor: "Floor") -> None:
        if self._resumes and floor.by == "peers":
            console.say(f"found the restart floor: this node votes from round {floor.round}")
        elif self._resumes:
            console.say(f"resumed from its disk at round {floor.round}")
            if self._alone:
                console.say("a network of one has nobody to ask whether its disk is the newest")
        self._emit("floor", round=floor.round, by=floor.by)

    def epoch(self, number: int, seats: int) -> None:
        console.say(f"epoch {number} begins with {seats} node(s)")
        self._emit("epoch", epoch=number, seats=seats)

    def stopped(self, node: "Node") -> None:
        """The end, and where the CPU time went."""
        console.say("stopped")
        stages = {name: spent_ns // 1000 for name, spent_ns in node.meter.cpu_ns.items()}
        total = int(time.process_time() * 1_000_000)
        sent = node.meter.sent_bytes
        self._emit("stopped", cpu_us=stages, cpu_us_total=total, sent_bytes=sent)

    def _emit(self, event: str, **fields: Any) -> None:
        if self._json:
            console.emit({"schema": "node/1", "event": event, **fields})


def _format(ticket: Any) -> str:
    from ccp2p.model.ticket import format_ticket

    return format_ticket(ticket)
