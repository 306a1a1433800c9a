"""`ccp2p node`: run a node until SIGTERM or Ctrl-C."""

import logging
import os
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

import click

from ccp2p.cli import console, node_options, node_process
from ccp2p.cli.configuration import read_config
from ccp2p.model import limits

if TYPE_CHECKING:
    from ccp2p.cli.meshes import Mesh
    from ccp2p.model.errors import Fault
    from ccp2p.node.floor import Floor
    from ccp2p.node.node import Node, Reports
    from ccp2p.node.premises import Premises
    from ccp2p.node.setup import NodeSetup, Wanted

_MIB = 1024 * 1024
_MIN_ID_CHARS = 8


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
@click.option(
    "--network",
    "chosen",
    multiple=True,
    metavar="NAME|ID",
    help="Run only this network of the folder; repeat it for several. [default: all]",
)
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
@click.option(
    "--cache-size",
    type=click.IntRange(1),
    default=limits.STATE_CACHE_BYTES // _MIB,
    show_default=True,
    help="How much of a network's state is kept in memory, in MiB.",
)
@click.option("--json", "as_json", is_flag=True, help="Events as JSON, one object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Log what peers do.")
def node(**options: Any) -> None:
    """Run a node: go on with the folder's networks, join a mesh, or begin one.

    `ccp2p net create` and `ccp2p net join` prepare a folder, also while its node runs: one process
    runs all of its networks, and one that fails stops alone. Without either, on a new machine,
    this looks for a mesh on the local network for three seconds, and by --bootstrap beyond it, and
    joins it, or founds one when there is none. A mesh is open: any node whose evidence satisfies
    its policy, and any member.
    """
    if options["mesh"] and (options["new"] or options["no_discovery"] or options["join_ticket"]):
        raise click.UsageError("--mesh goes with none of --new, --no-discovery and --join")
    _configure_log(options["verbose"])
    output = _Output(options["as_json"])
    console.run(lambda: _run(options, output), conceals=True)


async def _run(options: dict[str, Any], output: "_Output") -> None:
    import trio

    from ccp2p.node.household import Household
    from ccp2p.node.landlord import Landlord
    from ccp2p.node.node import Node, unix_ms

    node_process.prepare()
    config = read_config()
    wanted = node_options.wanted(options)
    found = await _settle(wanted, options, output)
    if options["leave"] and len(found) > 1:
        raise click.UsageError("--leave goes with --network here: the folder holds several")

    def build(setup: "NodeSetup", premises: "Premises") -> Node:
        reports = output.begin(setup)
        node = Node(setup, reports, is_announced=not options["no_discovery"], premises=premises)
        if setup.genesis.is_open:
            node.landlord = Landlord(
                config.hosting,
                wanted,
                setup,
                lambda: node.peers.announced,
                unix_ms,
                time.monotonic,
            )
        if options["leave"]:
            node.leave()
        return node

    looks_around = not (options["chosen"] or options["leave"])
    household = Household(
        wanted, build, output.ended, bootstrap=options["bootstrap"], looks_around=looks_around
    )
    node_process.conceal_lost_errors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
        if options["as_json"] and stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
            nursery.start_soon(_stop_unheard, nursery.cancel_scope)
        await household.run(found)
        nursery.cancel_scope.cancel()
    output.stopped([*household.ended, *household.nodes.values()])


async def _settle(
    wanted: "Wanted", options: dict[str, Any], output: "_Output"
) -> "list[NodeSetup]":
    from dataclasses import replace

    import trio

    from ccp2p.cli.net_join import fetch
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.ticket import parse_ticket
    from ccp2p.node import setup
    from ccp2p.node.home import NodeHome
    from ccp2p.node.household import open_all

    offer = None
    if options["join_ticket"]:
        ticket = parse_ticket(console.read_secret(options["join_ticket"]))
        offer = await fetch(ticket, allow_simulated=True)
    home = NodeHome(wanted.directory)  # which makes the folder
    is_new = not (home.networks() or home.prepared())
    if is_new and (options["leave"] or options["chosen"]) and not options["join_ticket"]:
        option = "--leave" if options["leave"] else "--network"
        raise click.UsageError(
            f"{option} is for a network that the folder holds; {wanted.directory} holds none"
        )
    if offer is not None:
        joined = setup.join(wanted, ticket, offer.welcome)
        if is_new:
            return [joined]
    elif options["mesh"] or is_new:
        mesh = None if _founds_at_once(options) else await _find(wanted, options)
        if mesh is not None:
            joined = setup.join(wanted, mesh.ticket, mesh.welcome, by_chance=is_new)
            if is_new:
                return [joined]
        else:
            governor = Profile(default_folder()).member(None).public
            kind: Literal["group", "mesh"] = "group" if options["no_discovery"] else "mesh"
            founding = node_options.founding(
                options["name"], options, (governor,), 1, standing=True
            )
            return [setup.found(wanted, replace(founding, kind=kind), time.time_ns() // 1_000_000)]
    found = await trio.to_thread.run_sync(open_all, wanted, output.ended)
    return _chosen(found, options["chosen"])


def _chosen(found: "list[NodeSetup]", names: tuple[str, ...]) -> "list[NodeSetup]":
    """Those that are named, by name or by the beginning of their id; all, when none is."""
    from ccp2p.model.errors import MemberFault

    kept = []
    for name in names:
        matching = [setup for setup in found if _is_called(setup, name)]
        if len(matching) != 1:
            there = ", ".join(setup.genesis.name for setup in found)
            raise MemberFault("network", f"{name!r} names none or several of: {there}")
        kept += [setup for setup in matching if setup not in kept]
    for setup in found:
        if names and setup not in kept and setup.store is not None:
            setup.store.close()
    return kept if names else found


def _is_called(setup: "NodeSetup", name: str) -> bool:
    by_id = len(name) >= _MIN_ID_CHARS and setup.network.hex().startswith(name.lower())
    return by_id or setup.genesis.name == name


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

    # A script's background job is deaf to Ctrl-C, which ends what runs in front of it.
    is_deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ending = (signal.SIGTERM,) if is_deaf else (signal.SIGTERM, signal.SIGINT)
    with trio.open_signal_receiver(*ending) as signals:
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
        self.begun = 0

    def begin(self, setup: "NodeSetup") -> "Reports":
        """A network begins; what it reports goes out in its name."""
        from ccp2p.node.home import keeps_keys
        from ccp2p.node.node import Reports

        self.begun += 1
        if setup.policy.is_simulated:
            console.warn_simulated(setup.genesis.kind)
        if not keeps_keys(setup.platform):
            console.say(
                f"{setup.platform.tee} keeps no key over a restart: this node's keys live in "
                "memory, and once it stops its folder cannot be opened again"
            )
        told = _Told(self, setup)
        console.say(f"network {told.name} ({setup.network.hex()[:16]}...)")
        return Reports(told.listening, told.say, told.ready, told.floor, told.epoch)

    def ended(self, network: bytes, fault: "Fault | None") -> None:
        """One network is over, or cannot be opened, while others go on."""
        reason = str(fault) if fault is not None else ""
        if reason:
            console.say(f"network {network.hex()[:16]}... stopped, the others go on: {reason}")
        self.emit("ended", network=network.hex(), code=fault.code if fault else "", reason=reason)

    def stopped(self, nodes: "list[Node]") -> None:
        """The end, and where the CPU time went."""
        console.say("stopped")
        stages: dict[str, int] = {}
        for node in nodes:
            for name, spent_ns in node.meter.cpu_ns.items():
                stages[name] = stages.get(name, 0) + spent_ns // 1000
        total = int(time.process_time() * 1_000_000)
        sent = sum(node.meter.sent_bytes for node in nodes)
        self.emit("stopped", cpu_us=stages, cpu_us_total=total, sent_bytes=sent)

    def emit(self, event: str, **fields: Any) -> None:
        """One event for programs."""
        if self._json:
            console.emit({"schema": "node/1", "event": event, **fields})


class _Told:
    """What one network tells; lines for people begin with its name where there are several.

    A group that is hosted for others has no name here, and tickets of it are not this operator's.
    """

    def __init__(self, output: _Output, setup: "NodeSetup") -> None:
        from ccp2p.model.epoch import parse_record

        self._output = output
        self.name = f"hosted-{setup.network.hex()[:8]}" if setup.is_hosted else setup.genesis.name
        self._is_hosted = setup.is_hosted
        self._network = setup.network.hex()
        self._resumes = setup.record is not None
        seats = parse_record(setup.record.signed.record).seats if setup.record else ()
        self._alone = len(seats) == 1

    def say(self, text: str) -> None:
        """A line for people."""
        console.say(f"{self.name}: {text}" if self._output.begun > 1 else text)

    def listening(self, node: "Node") -> None:
        _, ticket = node.tickets()
        if node.setup.record is not None or self._is_hosted:
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
        self.say(f"listening for nodes on {node.peers.addresses[0]}")
        self.say(f"listening for members on {node.listener.addresses[0]}")
        if member is not None:
            console.say(f"\nJoin {self.name} as a member from another terminal:")
            flag = " --allow-simulated" if setup.policy.is_simulated else ""
            console.say(f"  {console.program()} net join{flag} {_format(member)}\n")
        elif setup.is_first and not self._is_hosted:
            console.say(f"\nInvite from another terminal: {console.program()} invite create\n")
        self._emit(
            "ready",
            name=self.name,
            node=setup.identity.node.hex(),
            tee=setup.platform.tee,
            simulated=setup.policy.is_simulated,
            kind=setup.genesis.kind,
            hosted=self._is_hosted,
            addresses=list(node.peers.addresses),
            client_addresses=list(node.listener.addresses),
            ticket=_format(member) if member else None,
        )

    def floor(self, floor: "Floor") -> None:
        if self._resumes and floor.by == "peers":
            self.say(f"found the restart floor: this node votes from round {floor.round}")
        elif self._resumes and floor.by == "disks":
            self.say(f"resumed from its disk at round {floor.round}")
            if self._alone:
                self.say("a network of one has nobody to ask whether its disk is the newest")
        self._emit("floor", round=floor.round, by=floor.by)

    def epoch(self, number: int, seats: int) -> None:
        self.say(f"epoch {number} begins with {seats} node(s)")
        self._emit("epoch", epoch=number, seats=seats)

    def _emit(self, event: str, **fields: Any) -> None:
        self._output.emit(event, network=self._network, **fields)


def _format(ticket: Any) -> str:
    from ccp2p.model.ticket import format_ticket

    return format_ticket(ticket)
