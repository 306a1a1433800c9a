"""`ccp2p node`: run a node until SIGTERM or Ctrl-C."""

import logging
import os
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, node_options
from ccp2p.model import limits

if TYPE_CHECKING:
    from ccp2p.cli.meshes import Mesh
    from ccp2p.node.floor import Floor
    from ccp2p.node.node import Node
    from ccp2p.node.setup import NodeSetup, Wanted

_MIB = 1024 * 1024


@click.command()
@node_options.folder_options
@click.option(
    "--name",
    type=console.TEXT,
    default="home",
    show_default=True,
    help="Name of a new network.",
)
@node_options.founding_options
@node_options.mesh_options
@click.option(
    "--join",
    "join_ticket",
    metavar=console.SECRET,
    help="Found or enter the network of this node ticket: `net join` and `node` in one.",
)
@click.option(
    "--mesh",
    metavar="NAME|ID",
    help="Join this mesh, and no other; beyond the local network by its whole ID.",
)
@node_options.bootstrap_option
@click.option("--new", is_flag=True, help="Found a mesh at once, whatever is there.")
@click.option(
    "--no-discovery",
    is_flag=True,
    envvar="CCP2P_NO_DISCOVERY",
    help="Neither look for a mesh nor announce one; a new network is a group, with tickets.",
)
@click.option(
    "--leave",
    is_flag=True,
    help="Give up the seat, and stop once an epoch without it has begun.",
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
    """Run a node: go on with the folder's network, join a mesh, or begin one.

    `ccp2p net create` and `ccp2p net join` prepare a folder. Without either, on a new machine,
    this looks for a mesh on the local network for three seconds, and by --bootstrap beyond it, and
    joins it, or founds one when there is none. A mesh is open: any node whose evidence satisfies
    its policy, and any member.
    """
    if options["mesh"] and (options["new"] or options["no_discovery"] or options["join_ticket"]):
        raise click.UsageError("--mesh goes with none of --new, --no-discovery and --join")
    _configure_log(options["verbose"])
    output = _Output(options["as_json"])
    console.run(lambda: _run(options, output))


# While events execute in a worker thread, ordering must not wait a whole default interval (5 ms)
# for the interpreter lock at each of a round's many steps.
_SWITCH_INTERVAL_S = 0.0005


_OPEN_FILES = 8192  # every connection is one; many systems start a process with 1,024


def _allow_files() -> None:
    """Raise the soft limit on open files, as far as the hard one allows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(options: dict[str, Any], output: "_Output") -> None:
    import trio

    from ccp2p.node.node import Node, Reports

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _allow_files()
    setup = await _settle(options)
    output.start(setup)
    reports = Reports(output.listening, output.progress, output.ready, output.floor, output.epoch)
    announced = not options["no_discovery"]
    running = Node(setup, reports, is_announced=announced, bootstrap=options["bootstrap"])
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
    from dataclasses import replace

    import trio

    from ccp2p.cli.net_join import fetch
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.ticket import parse_ticket
    from ccp2p.node import setup
    from ccp2p.node.home import NodeHome

    wanted = node_options.wanted(options)
    if options["join_ticket"]:
        ticket = parse_ticket(console.read_secret(options["join_ticket"]))
        offer = await fetch(ticket, allow_simulated=True)
        return setup.join(wanted, ticket, offer.welcome)
    home = NodeHome(wanted.directory)
    is_new = not (home.networks() or home.is_prepared)
    if not is_new and not options["mesh"]:
        return await trio.to_thread.run_sync(setup.reopen, wanted)
    mesh = None if _founds_at_once(options) else await _find(wanted, options)
    if mesh is not None:
        return setup.join(wanted, mesh.ticket, mesh.welcome, by_chance=is_new)
    governor = Profile(default_folder()).member(None).public
    kind = "group" if options["no_discovery"] else "mesh"
    founding = node_options.founding(options["name"], options, (governor,), 1, standing=True)
    return setup.found(wanted, replace(founding, kind=kind), time.time_ns() // 1_000_000)


def _founds_at_once(options: dict[str, Any]) -> bool:
    return options["new"] or options["no_discovery"] or options["founders"] > 1


async def _find(wanted: "Wanted", options: dict[str, Any]) -> "Mesh | None":
    from ccp2p.attestation.policy import parse_policy
    from ccp2p.cli.meshes import LOOK_S, Search, find_mesh

    file = options["policy"]
    policy = parse_policy(console.read_text(file)) if file else None
    beyond = ", and beyond it" if options["bootstrap"] else ""
    console.say(f"looking for a mesh on the local network for {LOOK_S:.0f} s{beyond}")
    search = Search(wanted, options["mesh"], options["app"], policy, options["bootstrap"])
    mesh = await find_mesh(search)
    if mesh is None:
        console.say("none found: founding one")
    else:
        console.say(f"joining {mesh.ticket.name}")
    return mesh


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
        from ccp2p.model.epoch import parse_record
        from ccp2p.node.home import keeps_keys

        if setup.record is not None:
            self._resumes = True
            self._alone = len(parse_record(setup.record.signed.record).seats) == 1
        if setup.policy.is_simulated:
            console.warn_simulated(setup.genesis.kind)
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
        if ticket is not None and node.setup.node_invite and node.setup.genesis.founders > 1:
            text = _format(ticket)
            others = node.setup.genesis.founders - 1
            flag = "--allow-simulated " if node.setup.policy.is_simulated else ""
            console.say(f"\nOn {others} more machine(s), with this node ticket:")
            console.say(f"  ccp2p net join {flag}{text}\n  ccp2p node\n")
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
        elif setup.is_first:
            console.say(f"\nInvite from another terminal: {console.program()} invite create\n")
        self._emit(
            "ready",
            network=setup.network.hex(),
            name=setup.genesis.name,
            node=setup.identity.node.hex(),
            tee=setup.platform.tee,
            simulated=setup.policy.is_simulated,
            kind=setup.genesis.kind,
            client_addresses=list(node.listener.addresses),
            ticket=_format(member) if member else None,
        )

    def floor(self, floor: "Floor") -> None:
        if self._resumes and floor.by == "peers":
            console.say(f"found the restart floor: this node votes from round {floor.round}")
        elif self._resumes and floor.by == "disks":
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
