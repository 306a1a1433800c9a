"""Nodes far from each other: found through the overlay, reached through a relay."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from ccp2p.model.ticket import format_ticket, parse_ticket
from tests.namespaces.internet import internet
from tests.namespaces.test_lan import CHAIN, note


def test_a_mesh_is_found_beyond_the_local_network_and_a_group_is_not(tmp_path: Path):
    with internet(tmp_path, 4, 0) as built:
        first, second, third, group = built.public
        founded = first.begin(*CHAIN).wait_for("ready")
        entrance = parse_ticket(founded["ticket"]).addresses[0]
        joined = second.begin("--bootstrap", entrance).wait_for("ready")
        note(f"joined through the overlay after {joined['after_s']:.1f} s")
        assert (joined["network"], joined["kind"]) == (founded["network"], "mesh")
        assert second.node.wait_for("epoch", seats=2)

        # A third finds it by its id through the second, which knows others by now.
        own = parse_ticket(joined["ticket"]).addresses[0]
        assert own.startswith(f"/ip4/{second.address}/")
        by_id = ("--bootstrap", own, "--mesh", founded["network"])
        named = third.begin(*by_id).wait_for("ready")
        note(f"joined by id after {named['after_s']:.1f} s")
        assert named["network"] == founded["network"]
        assert len(third.node.log.read_text().split("found the mesh")) == 2
        done = group.run("node", "--bootstrap", own, "--mesh", "nowhere", code=3)
        assert "no such mesh here or beyond" in done.stderr
        done = group.run("node", "--bootstrap", "/ip4/20.9.0.1/tcp/1", code=2)
        assert "does not name its node" in done.stderr


@pytest.mark.skipif(shutil.which("nft") is None, reason="NOT RUN, no NAT boxes without nftables")
def test_nodes_behind_nat_boxes_join_and_meet_through_a_relay(tmp_path: Path):
    with internet(tmp_path, 1, 2) as built:
        [relay], [first, second] = built.public, built.hidden
        founded = relay.begin(*CHAIN).wait_for("ready")
        relay.run("net", "join", founded["ticket"])
        invited = relay.json("invite", "create", "--role", "node")["ticket"]
        joined = first.begin("--join", invited).wait_for("ready")
        note(f"joined from behind a NAT box after {joined['after_s']:.1f} s")
        own = parse_ticket(joined["ticket"]).addresses[0]
        assert own.startswith(f"/ip4/{relay.address}/")
        assert "/p2p-circuit/p2p/" in own

        # The second knows nobody but the first, and of that nothing but its place behind the relay.
        ticket = replace(parse_ticket(joined["ticket"]), role="node", addresses=(own,))
        through = second.begin("--join", format_ticket(ticket)).wait_for("ready")
        note(f"joined through the relay from behind another after {through['after_s']:.1f} s")
        assert second.node.wait_for("epoch", seats=3)

        told = second.json("diag", "net")
        assert told["reached"] == "relay"
        assert "relay(s) take its connections" in second.run("diag", "net").stdout
        assert relay.json("diag", "net")["reached"] == "direct"
        second.run("net", "join", through["ticket"])
        peers = second.json("net", "peers")
        assert peers["node"] == through["node"]
        assert {joined["node"], founded["node"]} <= {
            row["node"] for row in peers["peers"] if row["connected"]
        }
