"""`ccp2p bench network`: a network of real processes under load."""

from typing import Any

import click

from ccp2p.cli import console


@click.command("network")
@click.option(
    "--nodes", type=click.IntRange(1, 32), default=4, show_default=True, help="How many nodes."
)
@click.option(
    "--events",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="How many events to send.",
)
@click.option(
    "--size",
    type=click.Choice(["256", "1024", "4096", "16384"]),
    default="256",
    show_default=True,
    help="Bytes of a padded event.",
)
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Events a second; 0: no pause.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, 16_384),
    default=8192,
    show_default=True,
    help="Events without an outcome at any time.",
)
@click.option("--pure", is_flag=True, help="Nodes run the pure twins of the native core.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def network_command(**options: Any) -> None:
    """Seal a load, send it through real nodes, and say what it took."""
    console.run(lambda: _bench(options))


async def _bench(options: dict[str, Any]) -> None:
    from ccp2p.benchmarks.network import Load, measure
    from ccp2p.cli.progress import progress_bars

    load = Load(
        options["nodes"],
        options["events"],
        int(options["size"]),
        options["rate"],
        options["pure"],
        options["in_flight"],
    )
    with progress_bars() as advance:
        result = await measure(load, advance)
    if options["as_json"]:
        console.emit(result)
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    core = "native" if result["native"] else "pure"
    table = Table(title=f"{result['nodes']} nodes, {result['size']} B, {core}", box=None)
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("events/s executed by all", f"{result['events_per_s']:,.0f}")
    for name, value in result["latency_ms"].items():
        table.add_row(f"latency {name}", f"{value} ms")
    for stage, value in result["cpu_us_per_event"].items():
        table.add_row(f"CPU an event, {stage}", f"{value} us")
    table.add_row("bytes an event between nodes", f"{result['bytes_per_event']:,.0f}")
    console.show_table(table)
