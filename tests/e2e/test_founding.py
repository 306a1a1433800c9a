"""From nothing to four nodes in one group: two commands a node, and people by invite."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ccp2p.model.ticket import parse_ticket
from tests.cli.conftest import Member, NodeProcess, start_node

VENDORS = ("sim-a", "sim-b", "sim-c", "sim-d")


@pytest.fixture
def machines(tmp_path: Path) -> list[Member]:
    """Four people, each with a machine of their own."""
    return [Member(tmp_path / name) for name in ("ann", "bob", "carl", "dora")]


def run_node(machine: Member, event: str = "ready") -> NodeProcess:
    """`ccp2p node` in the folder that was prepared; it needs no option."""
    folder = Path(machine.environment["CCP2P_HOME"]) / "node"
    return start_node(folder, event=event)


def test_a_group_founds_a_network_and_invites_people(machines: list[Member], tmp_path: Path):
    ann, *others = machines
    started = time.monotonic()
    created = ann.json("net", "create", "friends", "--founders", "4", "--coin-length", "65536")
    ticket = str(created["node_ticket"])
    first = run_node(ann, event="founding")
    for machine, vendor in zip(others, VENDORS[1:], strict=True):
        prepared = machine.json("net", "join", ticket, "--vendor", vendor)
        assert prepared["id"] == created["id"]
        assert prepared["governors"] == created["governors"]

    # The first node's machine goes off before the others came: their ticket is good all the same.
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(timeout=20)
    first = run_node(ann, event="founding")
    nodes = [first, *(founder(machine) for machine in others)]
    try:
        first.wait_for("ready")
        ann.run("room", "create", "lobby", "--as", "ann")
        seconds = time.monotonic() - started
        print(f"four nodes and a first message after {seconds:.1f} s")
        shown = ann.json("net", "show")
        assert len(shown["committee"]) == 4
        assert len({seat["platform_id"] for seat in shown["committee"]}) == 4
        assert shown["committee"][0]["node"] == created["node"]
        assert ann.run("verify", "network").exit_code == 0

        guest, late = Member(tmp_path / "guest"), Member(tmp_path / "late")
        invite = ann.json("invite", "create")["ticket"]
        guest.run("net", "join", "-", stdin=str(invite))
        guest.run("room", "join", "lobby", "--as", "guest")
        guest.run("send", "lobby", "hello")
        (message,) = ann.json("read", "lobby")["messages"]
        assert (message["name"], message["text"]) == ("guest", "hello")
        refused = late.process("net", "join", str(invite))
        assert refused.returncode == 6
        assert b"used up" in refused.stderr
        assert parse_ticket(str(invite)).secret not in refused.stderr

        # Every node knows it, also the one that was away when the invite was used.
        nodes[3].process.send_signal(signal.SIGKILL)
        nodes[3].process.wait(timeout=20)
        second = ann.json("invite", "create")["ticket"]
        late.run("net", "join", str(second))
        nodes[3] = run_node(others[2], event="floor")
        refused = Member(tmp_path / "last").process("net", "join", str(second))
        assert refused.returncode == 6
    finally:
        for node in nodes:
            node.process.kill()
            node.process.wait(timeout=20)


def founder(machine: Member) -> NodeProcess:
    """A node that takes part in a founding: it listens, and is ready only with all others."""
    folder = Path(machine.environment["CCP2P_HOME"]) / "node"
    log = folder.with_suffix(".log")
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "ccp2p", "node", "--json"],
            env=os.environ | machine.environment,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    return NodeProcess(process, folder, "", log)


def test_a_group_of_one_takes_a_node_in_by_invite_and_refuses_the_second(
    machines: list[Member],
):
    ann, bob, carl, _ = machines
    created = ann.json("net", "create", "friends", "--coin-length", "65536")
    assert created["node_ticket"] is None
    nodes = [run_node(ann)]
    try:
        ticket = str(ann.json("invite", "create", "--role", "node")["ticket"])
        bobs = bob.json("net", "join", ticket, "--vendor", "sim-b")
        assert (bobs["founded"], bobs["id"]) == (True, created["id"])
        nodes.append(run_node(bob))
        eventually(lambda: len(ann.json("net", "show")["committee"]) == 2)
        shown = ann.json("net", "show")
        assert [seat["node"] for seat in shown["committee"]] == [created["node"], bobs["node"]]
        assert [seat["since_epoch"] for seat in shown["committee"]] == [0, 1]
        carl.run("net", "join", ticket, "--vendor", "sim-c")
        nodes.append(founder(carl))
        log = nodes[-1].log
        eventually(lambda: "is used up: ask for a new ticket" in log.read_text())
        assert len(ann.json("net", "show")["committee"]) == 2
        assert ann.json("net", "show")["observers"] == []
    finally:
        for node in nodes:
            node.process.kill()
            node.process.wait(timeout=20)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
