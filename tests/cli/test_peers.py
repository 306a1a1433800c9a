"""What a node tells of its peers, and whether it can be reached."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from ccp2p.cli.diag import advise
from ccp2p.cli.net_peers import _print
from ccp2p.model.member_protocol import Peers, PeerShown
from tests.cli.conftest import Member, NodeProcess


def shown(*, connected: bool = True, dialed: bool = False) -> PeerShown:
    return PeerShown(
        b"n" * 32,
        "",
        connected,
        dialed,
        5,
        5,
        "simulated",
        "sim-a",
        1,
        1,
        0,
        0,
        (("sealed", 2),),
        "",
    )


def place(scope: str, family: str = "IPv4", way: str = "direct") -> dict[str, str]:
    address = f"/ip4/192.0.2.1/tcp/{4000 + len(scope)}"
    return {"address": address, "family": family, "scope": scope, "way": way}


def words(*peers: PeerShown, places: list[dict[str, str]]) -> str:
    return " ".join(advise(Peers(1, peers, (), 0, 0, ()), places))


def test_a_network_of_one_has_no_peers_and_says_how_it_is_reached(
    ann: Member, rooms_node: NodeProcess
):
    told = ann.json("net", "peers")
    assert (told["schema"], told["peers"]) == ("net-peers/1", [])
    assert told["clients"] >= 1
    assert "told by node" in ann.run("net", "peers").stderr
    found = ann.json("diag", "net", "--data", str(rooms_node.folder))
    assert found["schema"] == "diag-net/1"
    assert found["node"] == told["node"]
    assert {row["scope"] for row in found["addresses"]} == {"machine"}
    assert (found["reached"], found["reached_by"]) == ("direct", [])
    said = ann.run("diag", "net", "--data", str(rooms_node.folder)).stdout
    assert "listens on loopback only" in said
    assert "--listen ::" in said


def test_an_address_is_whole_for_whoever_pipes_it(capsys: pytest.CaptureFixture[str]):
    address = f"/ip6/2001:db8::1/tcp/4001/p2p/{'Q' * 52}/p2p-circuit/p2p/{'R' * 52}"
    _print(Peers(1, (replace(shown(), address=address),), (), 0, 0, ()), b"n" * 32)
    assert address in capsys.readouterr().out.split()


def test_a_folder_without_a_node_that_runs_says_so(ann: Member, tmp_path: Path):
    assert "holds no node" in ann.run("diag", "net", "--data", str(tmp_path), code=1).stderr


def test_the_advice_follows_from_addresses_and_peers():
    assert "can be reached: other" in words(shown(), places=[place("global")])
    lonely = words(places=[place("local")])
    assert "no other node in its network" in lonely
    assert "forwards TCP ports 4005" in lonely
    outward = words(shown(dialed=True), shown(connected=False), places=[place("global", "IPv6")])
    assert "0 came in" in outward
    assert "1 cannot be reached" in outward
    assert "firewall" in outward
    assert "no IPv6" not in outward


def test_a_node_that_is_reached_through_relays_only_says_so():
    one = place("global", way="relay") | {"address": "/ip4/192.0.2.9/tcp/1/p2p/R/p2p-circuit/p2p/N"}
    two = one | {"address": "/ip4/192.0.2.8/tcp/1/p2p/Q/p2p-circuit/p2p/N"}
    said = words(shown(), places=[one, one, two, place("local")])
    assert "not reached directly: 2 relay(s)" in said
    assert "let TCP ports 4005 through" in said
    assert "can be reached: other" not in said
