"""Nodes on hosts with addresses of their own: they find each other, and outlive what lines do."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ccp2p.model.ticket import parse_ticket
from tests.namespaces.lan import PATIENCE_S, Host, Lan, lan
from tests.node_log import unexpected_lines

CHAIN = ("--coin-length", "65536")


def eventually(condition: Callable[[], bool]) -> float:
    """Wait until `condition()` holds; for how many seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + PATIENCE_S
        time.sleep(0.2)
    return time.monotonic() - began


def note(text: str) -> None:
    """For whoever reads the test's output."""
    print(f"\n    {text}", flush=True)


def test_a_second_node_finds_the_mesh_and_says_that_it_is_a_test(tmp_path: Path):
    with lan(tmp_path, 4) as built:
        first, second, third, fourth = built.hosts
        founded = first.begin(*CHAIN).wait_for("ready")
        note(f"founded after {founded['after_s']:.1f} s")
        joined = second.begin().wait_for("ready")
        note(f"joined with no flag after {joined['after_s']:.1f} s")
        assert (joined["network"], joined["kind"]) == (founded["network"], "mesh")
        assert second.node.wait_for("epoch", seats=2)
        ticket = parse_ticket(joined["ticket"])
        assert (ticket.kind, ticket.secret) == ("mesh", b"")
        assert ticket.addresses[0].startswith(f"/ip4/{second.address}/")

        # A member needs no invite, and every screen says what this is.
        said = third.run("net", "join", joined["ticket"])
        assert "TEST MESH" in said.stderr
        for command in (
            ("room", "create", "lobby"),
            ("send", "lobby", "hello"),
            ("net", "show"),
            ("verify", "network"),
        ):
            assert "TEST MESH" in third.run(*command).stderr
        assert "TEST MESH" in third.run("net", "list").stdout
        assert "TEST MESH" in third.run("invite", "show", joined["ticket"]).stderr
        for host in (first, second):
            assert "TEST MESH" in host.node.log.read_text()
        assert len(third.json("verify", "network")["nodes"]) == 2

        shown = third.json("invite", "show", joined["ticket"])
        assert (shown["kind"], shown["invite"]) == ("mesh", False)

        first.run("net", "join", founded["ticket"])
        invited = first.json("invite", "create", "--role", "node")["ticket"]
        by_ticket = fourth.begin("--no-discovery", "--join", invited).wait_for("ready")
        note(f"joined by ticket after {by_ticket['after_s']:.1f} s")
        assert fourth.node.wait_for("epoch", seats=3)
        peers = first.json("net", "peers")["peers"]
        assert {peer["tee"] for peer in peers if peer["connected"]} == {"simulated"}
        assert all(peer["faults"] == {} for peer in peers)
        found = first.json("diag", "net")
        assert {row["scope"] for row in found["addresses"]} == {"local"}
        assert found["reached_by"], "the newcomers dialled it"


def test_what_is_not_wanted_is_not_joined(tmp_path: Path):
    """Groups are not announced; --new, --mesh and another app leave a mesh alone."""
    with lan(tmp_path, 4) as built:
        group, mesh, other, late = built.hosts
        in_group = group.begin("--no-discovery", "--listen", group.address, *CHAIN)
        hidden = in_group.wait_for("ready")
        assert hidden["kind"] == "group"
        founded = mesh.begin("--new", "--name", "commons", *CHAIN).wait_for("ready")
        assert founded["kind"] == "mesh"
        alone = other.begin("--app", "kv", "--name", "tables", *CHAIN).wait_for("ready")
        assert len({hidden["network"], founded["network"], alone["network"]}) == 3
        done = late.run("node", "--mesh", "nowhere", code=3)
        assert "no such mesh on the local network" in done.stderr
        named = late.begin("--mesh", founded["network"][:16]).wait_for("ready")
        assert named["network"] == founded["network"]
        assert len(late.node.log.read_text().split("found the mesh")) == 2


def grown(built: Lan) -> list[Host]:
    """One mesh of all hosts, whom the first one's user may ask."""
    hosts = built.hosts
    founded = hosts[0].begin("--app", "kv", *CHAIN).wait_for("ready")
    began = time.monotonic()
    for host in hosts[1:]:
        host.begin("--app", "kv")
    for host in hosts[1:]:
        assert host.node.wait_for("ready")["network"] == founded["network"]
    hosts[0].run("net", "join", founded["ticket"])
    eventually(lambda: len(hosts[0].json("net", "show")["committee"]) == len(hosts))
    for host in hosts:
        host.node.wait_for("epoch", seats=len(hosts))
    note(f"{len(hosts)} hosts in one committee after {time.monotonic() - began:.1f} s")
    return hosts


def put(host: Host, key: str, timeout_s: int = PATIENCE_S - 20) -> float:
    """Write through whichever node answers; after how many seconds it was committed."""
    began = time.monotonic()
    host.run("kv", "put", key, "value", "--timeout", str(timeout_s))
    return time.monotonic() - began


def agree(host: Host, count: int) -> bool:
    """Whether so many seats prove themselves, in one state; exit code 3 says that one is away."""
    shown = json.loads(host.run("verify", "network", "--json", code=3).stdout)
    verified = [row for row in shown["nodes"] if row["verified"]]
    return len(verified) == count and len({row["state_root"] for row in verified}) == 1


@pytest.mark.timeout(600)
def test_seven_hosts_outlive_a_partition_a_one_way_line_and_a_lost_host(tmp_path: Path):
    with lan(tmp_path, 4, 3) as built:
        hosts = grown(built)
        note(f"written in {put(hosts[0], 'calm'):.1f} s")

        built.cable("down")
        hosts[0].run("kv", "put", "divided", "value", "--timeout", "8", code=5)
        began = time.monotonic()
        built.cable("up")
        put(hosts[0], "healed")
        note(f"written {time.monotonic() - began:.1f} s after a partition of 4 and 3 healed")

        # Nothing that host 6 sends to host 1 arrives any more; what host 1 sends does.
        hosts[5].ip("route", "add", "blackhole", f"{hosts[0].address}/32")
        note(f"written in {put(hosts[0], 'one-way'):.1f} s over a one-way line")
        hosts[5].ip("route", "del", "blackhole", f"{hosts[0].address}/32")

        hosts[6].disappear()
        note(f"written in {put(hosts[0], 'six left'):.1f} s right after a host disappeared")
        eventually(lambda: agree(hosts[0], 6))
        for host in hosts[:6]:
            text = host.node.log.read_text()
            assert not unexpected_lines(text)
            assert "equivocation" not in text
