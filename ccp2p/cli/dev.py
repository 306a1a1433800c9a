"""`ccp2p dev`: a whole network on this machine, to try out or to drive with real logs."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console
from ccp2p.cli.progress import progress_bars

if TYPE_CHECKING:
    from ccp2p.client.network import NetworkClient
    from ccp2p.devnet.chat_log import ChatMessage
    from ccp2p.devnet.network import LocalNetwork
    from ccp2p.devnet.replay import Measured, Replay

_IN_FLIGHT = 1536  # enough to fill blocks on two cores, few enough that half a second clears them


@click.command()
@click.option(
    "--nodes",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="How many; with --data, as many as the folder's network has.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Keep the network in this folder.")
@click.option(
    "--replay",
    "logs",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Replay an IRC log; may be given several times.",
)
@click.option(
    "--transcripts",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write what each node tells to node-K.jsonl in this folder.",
)
@click.option("--crash", type=click.IntRange(0), default=0, help="Kill that many nodes midway.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, 8192),
    help="Messages without an outcome at any time. [default: 1536; with --crash fewer]",
)
@click.option("--stay", is_flag=True, help="Keep the network running afterwards.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def dev(**options: Any) -> None:
    """Start real node processes as one network.

    Without --replay: a short guided conversation, and what a host sees of it. Simulated TEEs: NOT
    confidential.
    """
    tolerated = (options["nodes"] - 1) // 3
    if options["crash"] > tolerated:
        raise click.UsageError(
            f"--crash: a network of {options['nodes']} goes on without {tolerated} nodes at most"
        )
    console.say(console.SIMULATED_WARNING)
    console.run(lambda: _dev(options))


async def _dev(options: dict[str, Any]) -> None:
    from ccp2p.devnet.chat_log import read_log
    from ccp2p.devnet.network import Plan, run_network
    from ccp2p.devnet.transcripts import empty_folder

    logs = [read_log(path) for path in options["logs"]]
    if options["transcripts"]:
        empty_folder(options["transcripts"])
    with _folder(options["data"]) as folder:
        plan = Plan(folder, options["nodes"])
        async with run_network(plan, console.say) as network, _client(network) as client:
            if logs:
                await _replay(network, client, logs, options)
            else:
                await _tour(network, client, options["as_json"])
            if options["stay"] or not logs:
                await _stay(network)


async def _tour(network: "LocalNetwork", client: "NetworkClient", as_json: bool) -> None:
    from ccp2p.cli.dev_tour import tour
    from ccp2p.model.ticket import format_ticket

    await tour(network, client, console.say if as_json else console.show)
    if as_json:
        shown = {"schema": "dev-network/1", "nodes": len(network.nodes), "tee": "simulated"}
        console.emit({**shown, "ticket": format_ticket(network.ticket)})


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="ccp2p-dev-") as folder:
        yield Path(folder)


@asynccontextmanager
async def _client(network: "LocalNetwork") -> "AsyncIterator[NetworkClient]":
    from ccp2p.client.network import open_network

    async with open_network(network.ticket, allow_simulated=True, every_node=True) as client:
        yield client


async def _stay(network: "LocalNetwork") -> None:
    import msgspec
    import trio

    from ccp2p.model.ticket import format_ticket

    console.say("\nThe network stays up until Ctrl-C. Join it from another terminal:")
    short = msgspec.structs.replace(network.ticket, addresses=network.ticket.addresses[:2])
    console.say(f"  {console.program()} net join --allow-simulated {format_ticket(short)}")
    await trio.sleep_forever()


async def _replay(
    network: "LocalNetwork",
    client: "NetworkClient",
    logs: "list[list[ChatMessage]]",
    options: dict[str, Any],
) -> None:
    from ccp2p.devnet.chat_log import interleave
    from ccp2p.devnet.replay import Replay

    messages = interleave(logs)
    nicks = {message.nick for message in messages}
    console.say(f"replaying {len(messages)} messages of {len(nicks)} nicks")
    replay = Replay(client, network.member_seed(), messages, _in_flight(options, len(messages)))
    with progress_bars() as advance:
        await replay.prepare(advance)
        crash = _crash(network, options["crash"]) if options["crash"] else None
        measured = await replay.run(advance, crash=crash)
    await _report(network, client, replay, measured, options)


def _in_flight(options: dict[str, Any], messages: int) -> int:
    """As asked for; with a crash so few that it has a before and an after."""
    if options["in_flight"]:
        return int(options["in_flight"])
    return max(32, min(_IN_FLIGHT, messages // 4)) if options["crash"] else _IN_FLIGHT


def _crash(network: "LocalNetwork", number: int) -> "Callable[[], None]":
    def kill() -> None:
        for node in network.nodes[-number:]:
            console.say(f"killing node {node.number} (SIGKILL)")
            node.kill()

    return kill


async def _report(
    network: "LocalNetwork",
    client: "NetworkClient",
    replay: "Replay",
    measured: "Measured",
    options: dict[str, Any],
) -> None:
    from ccp2p.crypto import aead
    from ccp2p.devnet import transcripts
    from ccp2p.devnet.replay import percentiles
    from ccp2p.model.errors import LocalFault

    for code, number in measured.refusals.items():
        console.say(f"{number} message(s) rejected: {code}")
    live = {node.node: node for node in network.live()}
    connections = [c for c in client.live() if c.node.node in live]
    connections.sort(key=lambda c: live[c.node.node].number)
    common = await transcripts.wait_for_commit(connections, measured.highest_commit)
    if options["transcripts"]:
        for connection in connections:
            number = live[connection.node.node].number
            path = options["transcripts"] / f"node-{number}.jsonl"
            await transcripts.write_transcript(replay, connection, path)
    elapsed_s = measured.elapsed_s
    result = {
        "schema": "dev/1",
        "nodes": options["nodes"],
        "tee": "simulated",
        "events": {
            "submitted": measured.submitted,
            "committed": measured.committed,
            "rejected": measured.rejected,
        },
        "state_roots": await transcripts.state_roots(connections, common),
        "elapsed_s": round(elapsed_s, 3),
        "events_per_s": round(measured.committed / elapsed_s, 1) if elapsed_s else None,
        "latency_ms": percentiles(measured.latencies_ms),
        "latency_after_crash_ms": percentiles(measured.after_crash_ms),
        "rss_mb": [round(node.peak_rss_mb(), 1) for node in network.nodes],
        "native": aead.NATIVE,
    }
    if options["as_json"]:
        console.emit(result)
    else:
        _print(result)
    network.require_alive()
    if len(set(result["state_roots"])) > 1:
        raise LocalFault("state", "the nodes executed different histories")


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title="replay (simulated TEEs: NOT confidential)", show_header=False, box=None)
    events = result["events"]
    table.add_row("messages", f"{events['committed']} of {events['submitted']} committed")
    table.add_row("rate", f"{result['events_per_s']} messages/s in {result['elapsed_s']} s")
    for key, title in (("latency_ms", "latency"), ("latency_after_crash_ms", "after the crash")):
        if result[key]:
            shown = ", ".join(f"{name} {value} ms" for name, value in result[key].items())
            table.add_row(title, shown)
    roots = result["state_roots"]
    agree = "equal" if len(set(roots)) == 1 else "DIFFERENT"
    table.add_row("state roots", f"{agree} on {len(roots)} live nodes: {roots[0][:32]}...")
    table.add_row("memory", ", ".join(f"{mb:.0f} MB" for mb in result["rss_mb"]))
    console.show_table(table)
