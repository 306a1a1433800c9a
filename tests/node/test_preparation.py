"""A folder prepared for a founding: what a restart finds there, and what never replaces it."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import simulated_policy
from ccp2p.model import codec
from ccp2p.model.errors import AttestationFault, LocalFault, MemberFault
from ccp2p.model.host_commands import invite_digest
from ccp2p.model.member_protocol import Welcome
from ccp2p.model.ticket import Ticket
from ccp2p.node import setup as setups
from ccp2p.node.home import Listen, NodeHome
from ccp2p.node.preparation import Preparation
from ccp2p.node.setup import Founding, NodeSetup, Wanted
from tests.node.stage import MIB, PARAMETERS, stage


def wanted(directory: Path) -> Wanted:
    return Wanted(directory, Listen(), "sim-a", 16 * MIB)


def founding(**changes: object) -> Founding:
    return Founding(
        **({"name": "club", "app": "kv", "founders": 2, "parameters": PARAMETERS} | changes)
    )


def created(directory: Path, **changes: object) -> NodeSetup:
    return setups.found(wanted(directory), founding(**changes), 1_750_000_000_000)


def offer(first: NodeSetup) -> tuple[Ticket, Welcome]:
    """The node ticket to a network, and what its first node says."""
    ticket = Ticket(first.network, "club", "node", True, b"", ("/a",), first.node_invite)
    return ticket, Welcome(first.genesis_bytes, (), first.identity.node, b"", b"", ("/b",), ())


def test_a_restart_goes_on_with_the_same_network_and_tickets(tmp_path: Path):
    first = created(tmp_path / "a")
    again = setups.reopen(wanted(tmp_path / "a"))
    assert (again.network, again.member_invite, again.node_invite) == (
        first.network,
        first.member_invite,
        first.node_invite,
    )
    assert again.is_first
    assert invite_digest(again.node_invite) == again.genesis.founder_invite


def test_an_invite_exists_only_where_it_is_wanted(tmp_path: Path):
    alone = created(tmp_path / "a", founders=1, standing_invite=False)
    assert (alone.member_invite, alone.node_invite) == (b"", b"")
    genesis = alone.genesis
    assert (genesis.member_invite, genesis.node_invite, genesis.founder_invite) == (b"", b"", b"")
    group = created(tmp_path / "b", standing_invite=False).genesis
    assert (group.member_invite, group.node_invite) == (b"", b""), "founders' tickets end"
    assert group.founder_invite != b""
    trial = created(tmp_path / "c").genesis
    assert b"" not in (trial.member_invite, trial.node_invite, trial.founder_invite)


def test_a_founder_goes_on_with_its_ticket_and_takes_a_newer_one(tmp_path: Path):
    ticket, welcome = offer(created(tmp_path / "a"))
    old = msgspec.structs.replace(ticket, secret=b"old")
    for shown in (old, ticket):
        setups.join(wanted(tmp_path / "b"), shown, welcome)
        again = setups.reopen(wanted(tmp_path / "b"))
        assert (again.ticket, again.first_addresses, again.is_first) == (shown, ("/b",), False)


def test_a_folder_is_prepared_for_several_networks_of_one_node(tmp_path: Path):
    ticket, welcome = offer(created(tmp_path / "a"))
    other_ticket, other_welcome = offer(created(tmp_path / "c"))
    joined = setups.join(wanted(tmp_path / "b"), ticket, welcome)
    setups.join(wanted(tmp_path / "b"), other_ticket, other_welcome)
    own = created(tmp_path / "b")
    known = {ticket.network, other_ticket.network, own.network}
    assert set(NodeHome(tmp_path / "b").prepared()) == known
    for network in known:
        again = setups.reopen(wanted(tmp_path / "b"), network)
        assert (again.network, again.identity.node) == (network, joined.identity.node)
    assert setups.reopen(wanted(tmp_path / "b"), own.network).is_first
    with pytest.raises(LocalFault, match="no such network"):
        setups.reopen(wanted(tmp_path / "b"), b"x" * 32)


def test_the_first_node_does_not_become_its_own_follower(tmp_path: Path):
    ticket, welcome = offer(created(tmp_path / "a"))
    with pytest.raises(LocalFault, match="network's first"):
        setups.join(wanted(tmp_path / "a"), ticket, welcome)
    assert setups.reopen(wanted(tmp_path / "a")).ticket is None


def test_a_newcomer_goes_on_as_one_after_a_restart(tmp_path: Path):
    ticket, welcome = offer(created(tmp_path / "a"))
    running = msgspec.structs.replace(welcome, records=(b"record",))
    assert setups.join(wanted(tmp_path / "b"), ticket, running).is_founded
    assert setups.reopen(wanted(tmp_path / "b")).is_founded


def test_secrets_are_sealed_by_the_chip(tmp_path: Path):
    first = created(tmp_path / "a")
    home = NodeHome(tmp_path / "a")
    sealed = home.preparation(first.network)
    assert sealed is not None
    assert first.node_invite not in sealed
    assert first.member_invite not in sealed
    with pytest.raises(LocalFault) as caught:
        Preparation.load(home, SimulatedPlatform(tmp_path / "another chip"), first.network)
    assert caught.value.code == "wrong-key"
    (path,) = home.directory.joinpath("prepared").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    home.keep_preparation(first.network, sealed[:-1])
    with pytest.raises(LocalFault):
        setups.reopen(wanted(tmp_path / "a"))


def test_an_impossible_network_leaves_no_folder(tmp_path: Path):
    for changes in ({"name": ""}, {"founders": 0}, {"governors": (b"g" * 32,)}):
        with pytest.raises(MemberFault):
            created(tmp_path / "a", **changes)
    assert not (tmp_path / "a").exists()


async def test_the_preparation_goes_when_the_network_is_founded(tmp_path: Path):
    async with stage(tmp_path) as built:
        await built.found(2)
        for number in (0, 1):
            home = NodeHome(built.wanted(number).directory)
            assert home.prepared() == []
            assert home.preparation(built.hosts[0].node.setup.network) is None


def test_open_ports_are_settled_beforehand_and_taken_ones_named():
    settled = Listen().settled()
    assert settled.host == "127.0.0.1"
    assert 0 < settled.node_port != settled.client_port > 0
    assert settled.settled() == settled
    for bad in (Listen("192.0.2.1"), Listen(node_port=settled.node_port, client_port=1 << 17)):
        with pytest.raises(LocalFault, match="cannot listen"):
            bad.settled()
    assert codec.decode(codec.encode(settled), Listen, 1024) == settled


def test_a_mesh_is_joined_by_the_policy_that_is_in_force_in_it(tmp_path: Path):
    genesis = created(tmp_path / "a", founders=1, kind="mesh").genesis_bytes
    now_ms = 1_750_000_000_000
    setups.require_accepted(wanted(tmp_path / "b"), genesis, "", now_ms)
    with pytest.raises(AttestationFault):
        setups.require_accepted(
            wanted(tmp_path / "b"), genesis, simulated_policy(b"x" * 32), now_ms
        )


def test_a_network_of_ones_own_has_the_cache_that_its_operator_wants(tmp_path: Path):
    asked = replace(wanted(tmp_path), cache_bytes=MIB)
    assert setups.found(asked, founding(), 1_750_000_000_000).quota.cache_bytes == MIB
