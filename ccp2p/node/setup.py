"""The three ways for a node to have a network: found one, join a founding, open what it holds."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.platforms.detection import open_platform
from ccp2p.attestation.platforms.interface import Platform
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import Policy, parse_policy, simulated_policy
from ccp2p.model import codec, hashing, limits
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.genesis import Genesis, Parameters, check_parameters, network_id, parse_genesis
from ccp2p.model.member_protocol import Welcome
from ccp2p.model.ticket import Ticket
from ccp2p.node.attestor import NodeAttestor
from ccp2p.node.home import Listen, NodeHome, holds_node, keeps_keys, sealing_key
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing.identity import Identity, storage_key
from ccp2p.storage.lmdb_store import LmdbStore

INVITE_BYTES = 16
_AT_REST_AEAD = "aegis256"  # one node's own matter, so not a network parameter


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asks for. `map_bytes` is the most that the database may grow to.

    `vendor` is that of a simulated chip; `endorsements` go with a hardware TEE's evidence.
    """

    directory: Path
    listen: Listen
    vendor: str
    map_bytes: int
    endorsements: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Founding:
    """A network to be. `policy` is TOML; without one, simulated nodes of this very program."""

    name: str
    app: Literal["rooms", "kv"]
    founders: int
    parameters: Parameters
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """A node with its network settled on.

    `record` is None while the network is being founded, and, where `is_founded`, while this node
    enters one that runs.
    """

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
    is_founded: bool = False
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
    """A new network whose first node this is; simulated, unless a hardware policy is given."""
    check_parameters(founding.parameters)
    text = founding.policy or simulated_policy(measurement())
    home = _empty_home(wanted)
    platform = _platform(wanted, home, parse_policy(text).is_simulated)
    identity = home.identity(platform)
    member_invite, node_invite = os.urandom(INVITE_BYTES), os.urandom(INVITE_BYTES)
    genesis = Genesis(
        name=founding.name,
        kind="group",
        app=founding.app,
        policy=text,
        parameters=founding.parameters,
        governors=(identity.node,),
        governor_threshold=1,
        first_node=identity.node,
        founders=founding.founders,
        member_invite=hashing.digest(hashing.INVITE, member_invite),
        node_invite=hashing.digest(hashing.INVITE, node_invite),
        created_ms=now_ms,
    )
    setup = _setup(wanted, home, platform, codec.encode(genesis))
    return replace(setup, member_invite=member_invite, node_invite=node_invite)


def join(wanted: Wanted, ticket: Ticket, welcome: Welcome) -> NodeSetup:
    """A founder or a newcomer by ticket; `welcome` is a node's, and its genesis is checked here."""
    if ticket.role != "node":
        raise MemberFault("ticket", "this is a member's ticket; a node needs a node ticket")
    if network_id(welcome.genesis) != ticket.network:
        raise MemberFault("ticket", "the node at that address is not of the ticket's network")
    policy = parse_policy(parse_genesis(welcome.genesis).policy)
    home = _empty_home(wanted)
    platform = _platform(wanted, home, policy.is_simulated)
    setup = _setup(wanted, home, platform, welcome.genesis)
    addresses = welcome.node_addresses[: limits.MAX_ADDRESSES]
    return replace(
        setup,
        ticket=ticket,
        first_addresses=addresses,
        is_founded=bool(welcome.records),
    )


def reopen(wanted: Wanted) -> NodeSetup:
    """The network that the folder holds, on the kind of TEE that sealed it."""
    home = NodeHome(wanted.directory)
    networks = home.networks()
    if not networks:
        raise LocalFault("data-folder", f"{home.directory} holds no network")
    platform = _platform(wanted, home, home.has_simulated_chip)
    if not keeps_keys(platform):
        raise LocalFault(
            "no-sealing-key",
            f"{platform.tee} keeps no key over a restart, so what {home.directory} holds cannot be "
            "opened again: start the node in an empty folder, as a new node",
        )
    store = _store(home, platform, networks[0], wanted.map_bytes, False)
    record = NetworkRecord.load(store)
    setup = _setup(wanted, home, platform, record.genesis)
    return replace(
        setup,
        record=record,
        store=store,
        member_invite=record.member_invite,
        node_invite=record.node_invite,
    )


def identity_in(directory: Path) -> Identity:
    """The keys of the node in a folder, on the TEE that sealed them; LocalFault without a node."""
    if not holds_node(directory):
        raise LocalFault("data-folder", f"{directory} holds no node")
    home = NodeHome(directory)
    simulated = home.has_simulated_chip
    platform = SimulatedPlatform(home.platform_directory) if simulated else open_platform()
    return home.identity(platform)


def _setup(wanted: Wanted, home: NodeHome, platform: Platform, genesis_bytes: bytes) -> NodeSetup:
    genesis = parse_genesis(genesis_bytes)
    policy = parse_policy(genesis.policy)
    if platform.tee not in policy.sections():
        raise LocalFault(
            "platform",
            f"this node's TEE is {platform.tee}; the network accepts "
            f"{', '.join(policy.sections())}",
        )
    return NodeSetup(
        home=home,
        platform=platform,
        identity=home.identity(platform),
        genesis=genesis,
        genesis_bytes=genesis_bytes,
        network=network_id(genesis_bytes),
        policy=policy,
        listen=home.listen(wanted.listen),
        map_bytes=wanted.map_bytes,
    )


def _empty_home(wanted: Wanted) -> NodeHome:
    home = NodeHome(wanted.directory)
    if home.networks():
        raise LocalFault("data-folder", f"{home.directory} holds a network already")
    return home


def _platform(wanted: Wanted, home: NodeHome, simulated: bool) -> Platform:
    if simulated:
        return SimulatedPlatform(home.platform_directory, wanted.vendor)
    return open_platform(endorsements=wanted.endorsements)


def _store(
    home: NodeHome, platform: Platform, network: bytes, map_bytes: int, create: bool
) -> LmdbStore:
    return LmdbStore(
        home.store_path(network),
        key=storage_key(sealing_key(platform, b"storage"), network),
        network=network,
        algorithm=_AT_REST_AEAD,
        map_bytes=map_bytes,
        create=create,
    )
