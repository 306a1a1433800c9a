"""`ccp2p bench native`: the native core against its pure twins and against libsodium."""

from pathlib import Path
from typing import Any

import click

from ccp2p.cli import console
from ccp2p.model.errors import Fault

# Named here too, so that help imports no measurement; a test compares them.
PATHS = (
    "ed25519-batch",
    "ed25519-batch-cached",
    "ed25519-single",
    "aead-open",
    "aead-seal",
    "index-append",
    "index-lookup",
    "index-ancestors",
)


@click.command("native")
@click.option("--path", "paths", type=click.Choice(PATHS), multiple=True, help="Only this path.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--plot",
    type=console.TARGET,
    help="Draw the ratios into this PNG file.",
)
def native_command(paths: tuple[str, ...], as_json: bool, plot: Path | None) -> None:
    """Time each path of the native core beside its pure twin and libsodium, interleaved."""
    from ccp2p.benchmarks.native import Plan, measure
    from ccp2p.benchmarks.plot import draw_native, require_pillow
    from ccp2p.cli.progress import progress_bars

    try:
        if plot is not None:
            require_pillow()
        with progress_bars() as advance:
            result = measure(Plan(paths=paths or PATHS), advance)
        if plot is not None:
            draw_native(result, plot)
    except Fault as fault:
        console.fail(fault)
    if as_json:
        console.emit(result)
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    cpu = result["cpu"]
    speed = f", {cpu['mhz']} MHz" if cpu["mhz"] else ""
    title = f"{cpu['model']}{speed} ({' '.join(cpu['features'])}), microseconds an item"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("path", no_wrap=True)
    for name in ("n", "bytes", "native", "pure", "", "sodium", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result["rows"]:
        kind = row["backend"] if row["algorithm"] == "ed25519" else row["algorithm"]
        native = row["native_us"]
        others = [
            text
            for other in (row["pure_us"], row["libsodium_us"])
            for text in (("", "") if other is None else (f"{other:.3g}", f"{other / native:.1f}x"))
        ]
        numbers = (str(row["n"]), str(row["size"]), f"{native:.3g}", *others)
        table.add_row(f"{row['path']} {kind}", *numbers)
    console.show_table(table)
