"""`ccp2p sim`: whole networks in a simulated world that tries to break them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console
from ccp2p.cli.progress import progress_bars

if TYPE_CHECKING:
    from ccp2p.simulator.campaign import Tally
    from ccp2p.simulator.run import Setting

_MOST_SEEDS = 1_000_000


class Seeds(click.ParamType):
    """`A:B` (B excluded) or one number."""

    name = "seeds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        """The range of seeds."""
        if isinstance(value, range):
            return value
        first, colon, last = str(value).partition(":")
        try:
            low = int(first or 0)
            seeds = range(low, int(last) if colon else low + 1)
        except ValueError:
            self.fail(f"{value!r} is not like 0:20", param, ctx)
        if low < 0 or not 0 < len(seeds) <= _MOST_SEEDS:
            self.fail(f"{value!r} names no seeds", param, ctx)
        return seeds


@click.command()
@click.option("--nodes", type=click.IntRange(1, 200), default=10, show_default=True)
@click.option("--seeds", type=Seeds(), default="0:10", show_default=True, help="A:B, without B.")
@click.option("--seed", type=Seeds(), help="One seed.")
@click.option("--scenario", default="all", show_default=True, help="A name, several by comma, all.")
@click.option(
    "--wan", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Round trips (CSV)."
)
@click.option("--waves", type=click.Choice(["4,5", "5"]), default="4,5", show_default=True)
@click.option("--slots", type=click.IntRange(0, 200), default=0, help="Leaders a round; 0: all.")
@click.option("--events", type=click.IntRange(0, 1_000_000), default=0, help="0: the scenario's.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--trace", type=console.TARGET, help="Write a run's events as JSON lines.")
@click.option("--explain", is_flag=True, help="Tell the story of one run; draw its DAG to --plot.")
@click.option("--plot", type=console.TARGET, help="An SVG: latencies, or the DAG.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def sim(**options: Any) -> None:
    """Run the real node core in a simulated world: hostile networks, disks, nodes and members.

    Every run follows from its seed. Verdicts: pass, no-progress, violated. Exit code 1 unless all
    runs pass.
    """
    from ccp2p.simulator.scenarios import SCENARIOS

    wanted = options["scenario"]
    names = list(SCENARIOS) if wanted == "all" else wanted.split(",")
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise click.UsageError(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    nodes = options["nodes"]
    too_large = [name for name in names if SCENARIOS[name].fewest > nodes]
    needs = ", ".join(f"{name} needs {SCENARIOS[name].fewest}" for name in too_large)
    if too_large and wanted != "all":
        raise click.UsageError(f"too few with --nodes {nodes}: {needs}")
    if too_large:
        console.say(f"left out, with --nodes {nodes}: {needs}")
        names = [name for name in names if name not in too_large]
    seeds: range = options["seed"] or options["seeds"]
    setting = _setting(options)
    if options["trace"] or options["explain"]:
        if len(names) * len(seeds) != 1:
            raise click.UsageError("--trace and --explain need one --scenario and one --seed")
        tally = _one(names[0], seeds[0], setting, options)
    else:
        tally = _many(names, seeds, setting, options)
    if options["as_json"]:
        console.emit(tally.report())
    raise SystemExit(console.EXIT_FAILED if tally.failing else 0)


def _setting(options: dict[str, Any]) -> "Setting":
    from ccp2p.simulator.run import Setting

    return Setting(
        nodes=options["nodes"],
        events=options["events"],
        table=_table(options["wan"]) if options["wan"] else "",
        waves=tuple(int(wave) for wave in options["waves"].split(",")),
        slots=options["slots"],
    )


def _table(file: Path) -> str:
    from ccp2p.simulator.links import region_latencies

    text = console.read_text(file)
    try:
        region_latencies(text)
    except (ValueError, IndexError):
        raise click.BadParameter(
            f"{file} is no square table of whole milliseconds, with the regions' names in the "
            "first row and column, separated by commas",
            param_hint="--wan",
        ) from None
    return text


def _many(names: list[str], seeds: range, setting: "Setting", options: dict[str, Any]) -> "Tally":
    from ccp2p.simulator.campaign import Tally, campaign

    whole = Tally()
    by_name = {name: Tally() for name in names}
    with progress_bars() as advance:
        for result in campaign(names, seeds, setting, options["jobs"]):
            whole.add(result)
            by_name[result.scenario].add(result)
            advance("runs", whole.runs, len(names) * len(seeds))
    for name, tally in by_name.items():
        console.say(f"{name:<12} {tally.verdict():<12} {tally.runs} runs")
    for one in whole.failing:
        console.say(f"  {one.scenario} --seed {one.seed}: {one.verdict}, {one.check}: {one.detail}")
    if options["plot"]:
        from ccp2p.simulator.drawing import latency_svg

        curves = {name: tally.latencies_us for name, tally in by_name.items()}
        options["plot"].write_text(latency_svg(curves))
    return whole


def _one(name: str, seed: int, setting: "Setting", options: dict[str, Any]) -> "Tally":
    from ccp2p.simulator.campaign import Tally
    from ccp2p.simulator.run import simulate
    from ccp2p.simulator.story import Story, trace_lines
    from ccp2p.simulator.trace import Trace

    trace = Trace(keep=True)
    story = Story()
    result = simulate(name, seed, setting, trace, story.see)
    tally = Tally()
    tally.add(result)
    if options["trace"]:
        options["trace"].write_text("".join(trace_lines(trace)))
    if options["explain"]:
        console.say(story.tell(result, trace))
        if options["plot"]:
            options["plot"].write_text(story.dag_svg())
    return tally
