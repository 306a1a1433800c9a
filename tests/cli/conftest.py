"""Real nodes as processes of their own: one network for rooms and one for kv, for all tests."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ccp2p.cli import main


@dataclass
class NodeProcess:
    """A running `ccp2p node`, and its member ticket."""

    process: subprocess.Popen[bytes]
    folder: Path
    ticket: str
    log: Path
    network: str = ""

    def wait_for(self, event: str) -> dict[str, object]:
        """The node's next report of `event`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            report: dict[str, object] = json.loads(line)
            if report["event"] == event:
                return report
        raise AssertionError(f"the node ended with {self.process.wait()}")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def start_node(folder: Path, *arguments: str, event: str = "ready") -> NodeProcess:
    """Start a node and wait until it reports `event`."""
    command = [sys.executable, "-m", "ccp2p", "node", "--json", "--data", str(folder)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [*command, "--coin-length", "65536", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    node = NodeProcess(process, folder, "", log)
    report = node.wait_for(event)
    node.ticket, node.network = str(report.get("ticket") or ""), str(report["network"])
    return node


@pytest.fixture(scope="session")
def rooms_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A one-node network that runs rooms."""
    node = start_node(tmp_path_factory.mktemp("rooms") / "node", "--name", "home")
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="session")
def kv_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A one-node network that runs kv."""
    folder = tmp_path_factory.mktemp("kv") / "node"
    node = start_node(folder, "--name", "store", "--app", "kv", "--aead", "xchacha20")
    yield node
    assert node.stop() == 0


class Member:
    """A person at a terminal, with a folder of their own."""

    def __init__(self, home: Path) -> None:
        self.environment = {"CCP2P_HOME": str(home), "CCP2P_ALLOW_SIMULATED": "1"}

    def run(self, *arguments: str, stdin: str | None = None, code: int = 0) -> Result:
        """A command in this process; its exit code has to be `code`."""
        result = self.attempt(*arguments, stdin=stdin)
        assert result.exit_code == code, result.output
        return result

    def attempt(self, *arguments: str, stdin: str | None = None) -> Result:
        """A command in this process, however it ends."""
        runner = CliRunner(env=self.environment)
        return runner.invoke(main, list(arguments), input=stdin, catch_exceptions=False)

    def json(self, *arguments: str, code: int = 0) -> dict[str, object]:
        """A command's one JSON object; nothing else may be on stdout."""
        result = self.run(*arguments, "--json", code=code)
        (line,) = result.stdout.splitlines()
        return json.loads(line)

    def process(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """A command as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "ccp2p", *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def stranger(tmp_path: Path) -> Member:
    """Somebody who joined nothing yet."""
    return Member(tmp_path / "home")


@pytest.fixture
def ann(tmp_path: Path, rooms_node: NodeProcess) -> Member:
    """A member of the rooms network."""
    member = Member(tmp_path / "ann")
    member.run("net", "join", rooms_node.ticket)
    return member


@pytest.fixture
def bob(tmp_path: Path, rooms_node: NodeProcess) -> Member:
    """Another member of the rooms network."""
    member = Member(tmp_path / "bob")
    member.run("net", "join", rooms_node.ticket)
    return member
