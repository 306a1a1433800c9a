"""The three ways for a node to have a network: found one, join a founding, open what it holds."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import Policy, parse_policy, simulated_policy
from ccp2p.model import codec, hashing, limits
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.genesis import Genesis, Parameters, check_parameters, network_id, parse_genesis
from ccp2p.model.member_protocol import Welcome
from ccp2p.model.ticket import Ticket
from ccp2p.node.attestor import NodeAttestor, Platform
from ccp2p.node.home import Listen, NodeHome
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing.identity import Identity, storage_key
from ccp2p.storage.lmdb_store import LmdbStore

INVITE_BYTES = 16
_AT_REST_AEAD = "aegis256"  # one node's own matter, so not a network parameter


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asks for. `map_bytes` is the most that the database may grow to."""

    directory: Path
    listen: Listen
    vendor: str
    map_bytes: int


@dataclass(frozen=True, slots=True)
class Founding:
    """A network to be: its name, app, number of founders and parameters."""

    name: str
    app: Literal["rooms", "kv"]
    founders: int
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """A node with its network settled on; `record` is None while it is being founded."""

    home: NodeHome
    platform: Platform
    identity: Identity
    genesis: Genesis
    genesis_bytes: bytes
    network: bytes
    policy: Policy
    listen: Listen
    map_bytes: int
    record: NetworkRecord | None = None
    store: LmdbStore | None = None
    ticket: Ticket | None = None
    first_addresses: tuple[str, ...] = ()
    member_invite: bytes = b""
    node_invite: bytes = b""

    def attestor(self, clock: Callable[[], int]) -> NodeAttestor:
        """This node's attestation in this network."""
        return NodeAttestor(self.identity, self.platform, self.network, self.policy, clock)

    def create_store(self) -> LmdbStore:
        """The empty database of a network that was just founded."""
        return _store(self.home, self.platform, self.network, self.map_bytes, True)

    def founded(self, record: NetworkRecord, store: LmdbStore) -> "NodeSetup":
        """This setup once the founding is over."""
        return replace(self, record=record, store=store)


def found(wanted: Wanted, founding: Founding, now_ms: int) -> NodeSetup:
    """A new network whose first node this is. Simulated: nothing else can be produced here yet."""
    check_parameters(founding.parameters)
    home, platform, identity = _node(wanted)
    if home.networks():
        raise LocalFault("data-folder", f"{home.directory} holds a network already")
    member_invite, node_invite = os.urandom(INVITE_BYTES), os.urandom(INVITE_BYTES)
    genesis = Genesis(
        name=founding.name,
        kind="group",
        app=founding.app,
        policy=simulated_policy(measurement()),
        parameters=founding.parameters,
        governors=(identity.node,),
        governor_threshold=1,
        first_node=identity.node,
        founders=founding.founders,
        member_invite=hashing.digest(hashing.INVITE, member_invite),
        node_invite=hashing.digest(hashing.INVITE, node_invite),
        created_ms=now_ms,
    )
    genesis_bytes = codec.encode(genesis)
    parse_genesis(genesis_bytes)
    return NodeSetup(
        home=home,
        platform=platform,
        identity=identity,
        genesis=genesis,
        genesis_bytes=genesis_bytes,
        network=network_id(genesis_bytes),
        policy=parse_policy(genesis.policy),
        listen=home.listen(wanted.listen),
        map_bytes=wanted.map_bytes,
        member_invite=member_invite,
        node_invite=node_invite,
    )


def join(wanted: Wanted, ticket: Ticket, welcome: Welcome) -> NodeSetup:
    """A founder by ticket; `welcome` came from the first node, and its genesis is checked here."""
    genesis_bytes = welcome.genesis
    if ticket.role != "node":
        raise MemberFault("ticket", "this is a member's ticket; a node needs a node ticket")
    if network_id(genesis_bytes) != ticket.network:
        raise MemberFault("ticket", "the node at that address is not of the ticket's network")
    home, platform, identity = _node(wanted)
    if home.networks():
        raise LocalFault("data-folder", f"{home.directory} holds a network already")
    genesis = parse_genesis(genesis_bytes)
    return NodeSetup(
        home=home,
        platform=platform,
        identity=identity,
        genesis=genesis,
        genesis_bytes=genesis_bytes,
        network=ticket.network,
        policy=parse_policy(genesis.policy),
        listen=home.listen(wanted.listen),
        map_bytes=wanted.map_bytes,
        ticket=ticket,
        first_addresses=welcome.node_addresses[: limits.MAX_ADDRESSES],
    )


def reopen(wanted: Wanted) -> NodeSetup:
    """The network that the folder holds."""
    home, platform, identity = _node(wanted)
    networks = home.networks()
    if not networks:
        raise LocalFault("data-folder", f"{home.directory} holds no network")
    network = networks[0]
    store = _store(home, platform, network, wanted.map_bytes, False)
    record = NetworkRecord.load(store)
    genesis = parse_genesis(record.genesis)
    return NodeSetup(
        home=home,
        platform=platform,
        identity=identity,
        genesis=genesis,
        genesis_bytes=record.genesis,
        network=network,
        policy=parse_policy(genesis.policy),
        listen=home.listen(wanted.listen),
        map_bytes=wanted.map_bytes,
        record=record,
        store=store,
        member_invite=record.member_invite,
        node_invite=record.node_invite,
    )


def _node(wanted: Wanted) -> tuple[NodeHome, Platform, Identity]:
    home = NodeHome(wanted.directory)
    platform = SimulatedPlatform(home.platform_directory, wanted.vendor)
    return home, platform, home.identity(platform)


def _store(
    home: NodeHome,
    platform: Platform,
    network: bytes,
    map_bytes: int,
    create: bool,
) -> LmdbStore:
    return LmdbStore(
        home.store_path(network),
        key=storage_key(platform.sealing_key(b"storage"), network),
        network=network,
        algorithm=_AT_REST_AEAD,
        map_bytes=map_bytes,
        create=create,
    )
