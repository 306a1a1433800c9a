"""One node process and several networks: each by itself, behind the same two ports."""

from pathlib import Path

import pytest

from ccp2p.storage.folder_lock import FolderLock
from tests.cli.conftest import Member, start_node


@pytest.fixture
def ann(tmp_path: Path) -> Member:
    """Whose machine it is."""
    return Member(tmp_path / "ann")


def folder_of(member: Member) -> Path:
    return Path(member.environment["CCP2P_HOME"]) / "node"


def create(member: Member, name: str, *arguments: str) -> str:
    made = member.json("net", "create", name, "--coin-length", "65536", *arguments)
    return str(made["id"])


def say(member: Member, network: str, text: str) -> None:
    member.run("room", "create", "lobby", "--as", "ann", "--network", network)
    member.run("send", "lobby", text, "--network", network)


def said(member: Member, network: str) -> list[str]:
    messages = member.json("read", "lobby", "--network", network)["messages"]
    return [str(message["text"]) for message in messages]


def test_one_process_runs_all_networks_of_its_folder_and_one_that_fails_stops_alone(
    ann: Member, tmp_path: Path
):
    first, second = create(ann, "friends"), create(ann, "work")
    node = start_node(folder_of(ann))
    try:
        assert {node.network, str(node.wait_for("ready")["network"])} == {first, second}
        say(ann, "friends", "for friends")
        say(ann, "work", "for work")

        third = create(ann, "club")  # while the node runs
        assert node.wait_for("ready")["network"] == third
        say(ann, "club", "for the club")
        assert [said(ann, name) for name in ("friends", "work", "club")] == [
            ["for friends"],
            ["for work"],
            ["for the club"],
        ]
        shown = {name: ann.json("net", "show", "--network", name) for name in ("friends", "work")}
        assert shown["friends"]["id"] == first
        assert shown["work"]["id"] == second
        assert len({str(one["committee"]) for one in shown.values()}) == 2, "states of their own"
        told = ann.json("diag", "net", "--data", str(folder_of(ann)))
        assert {row["network"] for row in told["networks"]} == {first, second, third}
        assert node.stop() == 0

        lock = FolderLock(folder_of(ann) / "networks" / second)  # as another process would
        node = start_node(folder_of(ann), event="ended")
        assert {str(node.wait_for("ready")["network"]) for _ in range(2)} == {first, third}
        lock.release()
        ann.run("send", "lobby", "still here", "--network", "club")
        refused = ann.run("net", "show", "--network", "work", code=3).stderr
        assert "not of the network asked for" in refused
        assert ann.json("net", "peers", "--network", "friends")["clients"] == 1
    finally:
        node.process.kill()


def test_a_named_network_runs_alone(ann: Member):
    create(ann, "friends")
    work = create(ann, "work")
    node = start_node(folder_of(ann), "--network", "work")
    try:
        assert node.network == work
        ann.run("net", "show", "--network", "friends", code=3)
        assert node.stop() == 0
    finally:
        node.process.kill()
