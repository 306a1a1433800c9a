"""A group is placed on the nodes of a mesh that consent by their operators' word."""

import time
from pathlib import Path

import msgspec
import pytest

from ccp2p.model.ticket import format_ticket, parse_ticket
from tests.cli.conftest import Member, NodeProcess, start_node

HOSTS = """
[hosting]
networks = 1
storage_mb = 64
events_per_s = 500
founders = ["mesh"]
"""


def start(folder: Path, config: str, number: int, *arguments: str) -> NodeProcess:
    """A mesh's node whose operator wrote this configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(config)
    vendor = f"sim-{'abcd'[number % 4]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CCP2P_NO_DISCOVERY", raising=False)
        patch.setenv("CCP2P_CONFIG", str(path))
        patch.setenv("CCP2P_HOME", str(folder / "operator"))
        return start_node(folder / "node", "--listen", "127.0.0.1", "--vendor", vendor, *arguments)


def node_ticket(mesh: NodeProcess) -> str:
    """A mesh lets in every node, so the members' ticket says all."""
    return format_ticket(msgspec.structs.replace(parse_ticket(mesh.ticket), role="node"))


def test_a_group_is_placed_on_those_who_consent(tmp_path: Path):
    ann = Member(tmp_path / "ann")
    only_bobs = HOSTS.replace('"mesh"', f'"{"ab" * 32}"')
    nodes = [start(tmp_path / "0", HOSTS, 0, "--new", "--name", "plaza")]
    try:
        ann.run("net", "join", nodes[0].ticket)
        for number, config in enumerate((HOSTS, "", only_bobs), 1):
            joining = ("--join", node_ticket(nodes[0]))
            nodes.append(start(tmp_path / str(number), config, number, *joining))
        deadline = time.monotonic() + 60
        while len(ann.json("net", "show")["committee"]) < len(nodes):
            assert time.monotonic() < deadline, "the newcomers got no seats"

        wanted = ("--on", "plaza", "--storage-mb", "64", "--coin-length", "65536")
        too_many = ann.run("net", "create", "big", *wanted, "--nodes", "3", code=6).stderr
        assert "hosts no groups of others" in too_many
        assert "hosts groups of others than you" in too_many
        refused = ann.run("net", "create", "huge", *wanted[:2], "--storage-mb", "65", code=6).stderr
        assert "at most 64 MB" in refused

        made = ann.json("net", "create", "secret club", *wanted, "--nodes", "2")
        assert len(made["hosts"]) == 2
        assert made["founders"] == 2
        club = ("--network", str(made["local_name"]))
        ann.run("room", "create", "lobby", "--as", "ann", *club)
        ann.run("send", "lobby", "hello", *club)
        shown = ann.json("net", "show", *club)
        assert {seat["node"] for seat in shown["committee"]} == set(made["hosts"])

        guest = Member(tmp_path / "guest")
        invite = ann.json("invite", "create", *club)["ticket"]
        guest.run("net", "join", "-", stdin=str(invite))
        guest.run("room", "join", "lobby", "--as", "guest")
        assert "hello" in guest.run("read", "lobby").stdout

        full = ann.run("net", "create", "another", *wanted, "--nodes", "2", code=6).stderr
        assert "hosts 1 group(s) already" in full

        # Nothing that a host's operator reads names the group, nor lets anybody in.
        genesis_secret = parse_ticket(str(invite)).secret
        for node in nodes[:2]:
            said = node.log.read_bytes()
            assert b"secret club" not in said
            for path in (tmp_path / node.folder.parent.name).rglob("*"):
                data = path.read_bytes() if path.is_file() else b""
                assert b"secret club" not in data
                assert genesis_secret not in data
    finally:
        for node in nodes:
            node.process.kill()
