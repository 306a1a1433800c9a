"""`ccp2p bench native` as a person or a script runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ccp2p.benchmarks import clock
from ccp2p.cli import main


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr(clock, "SHORTEST_RUN_NS", 1)


def test_json_is_one_object_on_one_line():
    done = CliRunner().invoke(main, ["bench", "native", "--path", "aead-seal", "--json"])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1
    result = json.loads(done.stdout)
    assert result["schema"] == "bench-native/1"
    assert {row["path"] for row in result["rows"]} == {"aead-seal"}
    assert {row["size"] for row in result["rows"]} == {16, 64, 256, 1024}


def test_people_get_a_table_that_fits_a_terminal():
    done = CliRunner().invoke(main, ["bench", "native", "--path", "ed25519-single"])
    assert done.exit_code == 0
    assert "ed25519-single portable" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_a_picture_that_cannot_be_written_is_told_before_the_measurement(tmp_path: Path):
    done = CliRunner().invoke(main, ["bench", "native", "--plot", str(tmp_path / "no" / "a.png")])
    assert (done.exit_code, "nothing can be written in" in done.stderr) == (2, True)


def test_an_unknown_path_is_a_usage_error():
    assert CliRunner().invoke(main, ["bench", "native", "--path", "x"]).exit_code == 2
