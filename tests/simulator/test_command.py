"""`ccp2p sim`: verdicts, one JSON object, and the story of one run."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from ccp2p.cli.sim import sim
from ccp2p.simulator import scenarios
from ccp2p.simulator.scenarios import SCENARIOS
from tests.simulator import mutations


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sim, arguments, catch_exceptions=False)


def test_many_runs_give_verdicts_and_one_json_object(tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    arguments = "--nodes 4 --seeds 0:2 --scenario calm,crash --json --jobs 2 --plot"
    result = run(*arguments.split(), str(plot))
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["schema"] == "sim/1"
    assert report["runs"] == 4
    assert report["verdicts"] == {"pass": 4, "no_progress": 0, "violated": 0}
    assert report["failing"] == []
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert report["latency_delays"] > 1
    assert len(report["trace_sha256"]) == 64
    assert "crash" in result.stderr
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")


def test_the_number_of_jobs_changes_nothing() -> None:
    arguments = "--nodes 4 --seeds 0:3 --scenario calm --json --jobs"
    one, two = (json.loads(run(*arguments.split(), jobs).stdout) for jobs in ("1", "2"))
    assert one == two


def test_one_run_is_traced_told_and_drawn(tmp_path: Path) -> None:
    trace, plot = tmp_path / "trace.jsonl", tmp_path / "dag.svg"
    arguments = "--nodes 4 --seed 3 --scenario equivocate --explain --trace"
    result = run(*arguments.split(), str(trace), "--plot", str(plot))
    assert result.exit_code == 0
    assert "Equivocator" in result.stderr
    assert "verdict: pass" in result.stderr
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert {"frame", "commit", "start"} <= {line["what"] for line in lines}
    assert [line["at_us"] for line in lines] == sorted(line["at_us"] for line in lines)
    assert "circle" in plot.read_text()


def test_a_violation_is_named_and_ends_with_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = mutations.ALL["both_of_a_slot"]
    mutations.apply(mutation, monkeypatch)
    arguments = f"--nodes 4 --seed {mutation.seed} --scenario {mutation.scenario} --json"
    result = run(*arguments.split())
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["verdicts"]["violated"] == 1
    assert report["failing"] == [
        {
            "seed": mutation.seed,
            "scenario": mutation.scenario,
            "verdict": "violated",
            "check": "slot-twice",
        }
    ]
    assert "ordered twice" in result.stderr


def test_scenarios_that_take_more_nodes_are_left_out_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {name: SCENARIOS[name] for name in ("calm", "disk", "rotation")}
    monkeypatch.setattr(scenarios, "SCENARIOS", kept)
    result = run("--nodes", "1", "--seed", "0", "--events", "1", "--json")
    assert "left out, with --nodes 1: disk needs 2, rotation needs 4" in result.stderr
    assert json.loads(result.stdout)["runs"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--nodes 3 --seed 0 --scenario rotation", "rotation needs 4"),
        ("--nodes 1 --seed 0 --scenario calm,disk", "disk needs 2"),
        ("--wan {folder}/text.csv", "no square table"),
        ("--wan {folder}/empty.csv", "no square table"),
        ("--plot {folder}/none/plot.svg", "nothing can be written in"),
        ("--trace {folder} --seed 0 --scenario calm", "is a directory"),
    ],
)
def test_what_cannot_be_is_said_before_the_first_run(
    tmp_path: Path, arguments: str, said: str
) -> None:
    (tmp_path / "text.csv").write_text("not,csv\nat all\n")
    (tmp_path / "empty.csv").touch()
    result = run(*arguments.format(folder=tmp_path).split())
    assert (result.exit_code, said in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    ["--scenario nothing", "--seeds 5:5", "--seeds a:b", "--seeds -1:3", "--explain --seeds 0:2"],
)
def test_wrong_usage_is_told(arguments: str) -> None:
    assert run(*arguments.split()).exit_code == 2
