"""The three ways for a node to have a network: found one, join a founding, open what it holds.

The first two only prepare the folder; whether the node runs at once or later makes no difference.
A folder holds any number of networks; its node has the same keys in all of them.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.platforms.detection import open_platform
from ccp2p.attestation.platforms.interface import Platform
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import Policy, check_amended, parse_policy, simulated_policy
from ccp2p.membership.records import policy_in_force
from ccp2p.model import codec, limits
from ccp2p.model.epoch import parse_record
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.genesis import AppName, Genesis, Parameters, network_id, parse_genesis
from ccp2p.model.host_commands import invite_digest
from ccp2p.model.member_protocol import Welcome
from ccp2p.model.ticket import Ticket
from ccp2p.network.sockets import EVERYWHERE
from ccp2p.node.at_rest import KEPT, DiskKeys
from ccp2p.node.attestor import NodeAttestor
from ccp2p.node.home import LOOPBACK, Listen, NodeHome, holds_node, keeps_keys, sealing_key
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.preparation import Preparation
from ccp2p.node.quota import OWN, Quota
from ccp2p.sealing.identity import Identity, storage_key
from ccp2p.storage.lmdb_store import LmdbStore

_AT_REST_AEAD = "aegis256"  # one node's own matter, so not a network parameter


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asks for.

    `map_bytes` is the most that the database may grow to, `cache_bytes` how much of a network's
    state is kept in memory. `vendor` is that of a simulated chip, and `measurement` what it
    measures instead of this program (32 bytes, or none); `endorsements` go with a hardware TEE's
    evidence.
    """

    directory: Path
    listen: Listen
    vendor: str
    map_bytes: int
    endorsements: tuple[bytes, ...] = ()
    measurement: bytes = b""
    cache_bytes: int = limits.STATE_CACHE_BYTES


@dataclass(frozen=True, slots=True)
class Founding:
    """A network to be. `policy` is TOML; without one, simulated nodes of this very program.

    `governors` are member keys, of which `governor_threshold` must agree. With a `standing_invite`
    the first node of a group has tickets that let in anybody, and any node; a mesh needs none.
    """

    name: str
    app: AppName
    founders: int
    parameters: Parameters
    policy: str | None = None
    governors: tuple[bytes, ...] = ()
    governor_threshold: int = 0
    standing_invite: bool = True
    kind: Literal["group", "mesh"] = "group"


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """A node with its network settled on. `policy` is the one in force, as far as it knows.

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
    quota: Quota = OWN
    record: NetworkRecord | None = None
    store: LmdbStore | None = None
    ticket: Ticket | None = None
    first_addresses: tuple[str, ...] = ()
    is_founded: bool = False
    member_invite: bytes = b""
    node_invite: bytes = b""

    @property
    def is_first(self) -> bool:
        """Whether this node is the genesis's first."""
        return self.identity.node == self.genesis.first_node

    @property
    def is_hosted(self) -> bool:
        """Whether this node runs the network for others."""
        return self.home.quota(self.network) is not None

    @property
    def amended_policy(self) -> str:
        """The text of the policy in force; empty while it is the genesis's."""
        text = policy_in_force(self.genesis, self.record.records) if self.record else ""
        return "" if text == self.genesis.policy else text

    def attestor(self, clock: Callable[[], int]) -> NodeAttestor:
        """This node's attestation in this network."""
        return NodeAttestor(self.identity, self.platform, self.network, self.policy, clock)

    @property
    def disk_keys(self) -> DiskKeys:
        """What this node's database is under."""
        own = _own_key(self.platform, self.network)
        return DiskKeys(self.genesis.parameters, self.identity.node, own)

    def create_store(self) -> LmdbStore:
        """The empty database of a network that was just founded."""
        return _store(self.home, self.platform, self.network, self.map_bytes, True)

    def founded(self, record: NetworkRecord, store: LmdbStore) -> "NodeSetup":
        """This setup once the founding is over."""
        self.home.drop_preparation(self.network)
        policy = _policy_of(self.genesis, policy_in_force(self.genesis, record.records))
        return replace(self, record=record, store=store, policy=policy)


@dataclass(frozen=True, slots=True)
class Draft:
    """A network to be, but for its first node; `policy` is its text, invites are secrets."""

    policy: str
    member_invite: bytes
    node_invite: bytes
    genesis: Callable[[bytes], bytes]


def draft(founding: Founding, measured: bytes, now_ms: int) -> Draft:
    """Draw its invites; MemberFault when such a network cannot be.

    Without a policy it accepts simulated TEEs that measure `measured`.
    """
    text = founding.policy or simulated_policy(measured or measurement())
    parse_policy(text)
    stands = founding.standing_invite and founding.kind == "group"
    member_invite = os.urandom(limits.INVITE_BYTES) if stands else b""
    node_invite = os.urandom(limits.INVITE_BYTES) if stands or founding.founders > 1 else b""
    standing_node_invite = node_invite if stands else b""

    def genesis(first_node: bytes) -> bytes:
        return codec.encode(
            Genesis(
                name=founding.name,
                kind=founding.kind,
                app=founding.app,
                policy=text,
                parameters=founding.parameters,
                governors=founding.governors,
                governor_threshold=founding.governor_threshold,
                first_node=first_node,
                founders=founding.founders,
                member_invite=invite_digest(member_invite) if member_invite else b"",
                node_invite=invite_digest(standing_node_invite) if standing_node_invite else b"",
                founder_invite=invite_digest(node_invite) if node_invite else b"",
                created_ms=now_ms,
            )
        )

    parse_genesis(genesis(bytes(32)))
    return Draft(text, member_invite, node_invite, genesis)


def found(wanted: Wanted, founding: Founding, now_ms: int) -> NodeSetup:
    """A new network whose first node this is; simulated, unless a hardware policy is given."""
    drawn = draft(founding, wanted.measurement, now_ms)  # refused before anything is on disk
    home = NodeHome(wanted.directory)
    platform = _platform(wanted, home, parse_policy(drawn.policy).is_simulated)
    genesis = drawn.genesis(home.identity(platform).node)
    preparation = Preparation(genesis, drawn.member_invite, drawn.node_invite)
    return _prepare(wanted, home, platform, preparation)


def host(
    wanted: Wanted, genesis_bytes: bytes, founder_invite: bytes, ticket: Ticket | None
) -> NodeSetup:
    """A group of others', as its first node or, by a founder's ticket, as another."""
    home = NodeHome(wanted.directory)
    is_simulated = parse_policy(parse_genesis(genesis_bytes).policy).is_simulated
    platform = _platform(wanted, home, is_simulated)
    if ticket is None:
        preparation = Preparation(genesis_bytes, node_invite=founder_invite)
    else:
        addresses = ticket.addresses
        preparation = Preparation(genesis_bytes, ticket=ticket, first_addresses=addresses)
    return _prepare(wanted, home, platform, preparation)


def join(wanted: Wanted, ticket: Ticket, welcome: Welcome, *, by_chance: bool = False) -> NodeSetup:
    """A founder or a newcomer by ticket; `welcome` is a node's, and its genesis is checked here.

    Again with another ticket of the same network: the new one counts. A network found `by_chance`
    is not kept before the node is in: whoever starts again looks around again.
    """
    if ticket.role != "node":
        raise MemberFault("ticket", "this is a member's ticket; a node needs a node ticket")
    if network_id(welcome.genesis) != ticket.network:
        raise MemberFault("ticket", "the node at that address is not of the ticket's network")
    genesis = parse_genesis(welcome.genesis)
    policy = check_amended(parse_policy(genesis.policy), welcome.policy or genesis.policy)
    home = NodeHome(wanted.directory)
    platform = _platform(wanted, home, policy.is_simulated)
    _require_new(home, platform, ticket.network)
    addresses = welcome.node_addresses[: limits.MAX_ADDRESSES]
    preparation = Preparation(
        welcome.genesis,
        ticket=ticket,
        first_addresses=addresses,
        is_founded=bool(welcome.records),
        policy=welcome.policy,
    )
    if by_chance:
        return _of_preparation(wanted, home, platform, preparation)
    return _prepare(wanted, home, platform, preparation)


def require_accepted(wanted: Wanted, genesis_bytes: bytes, policy: str, now_ms: int) -> None:
    """LocalFault or AttestationFault when the policy in force would refuse this node's evidence.

    `policy` is its text, empty while it is the genesis's.
    """
    home = NodeHome(wanted.directory)
    is_simulated = parse_policy(parse_genesis(genesis_bytes).policy).is_simulated
    platform = _platform(wanted, home, is_simulated)
    own = _setup(wanted, home, platform, genesis_bytes, policy)
    attestor = own.attestor(lambda: now_ms)
    identity, nonce = own.identity, bytes(32)
    attestor.judge(identity.node, identity.sealing.public, nonce, attestor.bundle(nonce))


def require_kept(setup: NodeSetup) -> None:
    """LocalFault where the TEE keeps no key, so that another process cannot run what this one made.

    There `ccp2p node` does both.
    """
    if not keeps_keys(setup.platform):
        raise LocalFault(
            "no-sealing-key",
            f"{setup.platform.tee} keeps no key from this command to the next: found or join with "
            "`ccp2p node` itself (--name, --founders, --policy, or --join TICKET)",
        )


def reopen(wanted: Wanted, network: bytes | None = None) -> NodeSetup:
    """A network that the folder holds or is prepared for, on the kind of TEE that sealed it.

    None is the only one, or the first of several.
    """
    home = NodeHome(wanted.directory)
    platform = _platform(wanted, home, home.has_simulated_chip)
    if not keeps_keys(platform):
        raise LocalFault(
            "no-sealing-key",
            f"{platform.tee} keeps no key over a restart, so what {home.directory} holds cannot be "
            "opened again: start the node in an empty folder, as a new node",
        )
    held = home.networks()
    known = [*held, *home.prepared()]
    if not known or (network and network not in known):
        raise LocalFault("data-folder", f"{home.directory} holds no such network")
    network = network or known[0]
    if network not in held:
        return _of_preparation(wanted, home, platform, Preparation.load(home, platform, network))
    map_bytes = min(wanted.map_bytes, (home.quota(network) or OWN).storage_bytes)
    store = _store(home, platform, network, map_bytes, False)
    record = NetworkRecord.load(store)
    text = policy_in_force(parse_genesis(record.genesis), record.records)
    setup = _setup(wanted, home, platform, record.genesis, text)
    setup.disk_keys.unlock_alone(store, parse_record(record.signed.record))
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


def _prepare(
    wanted: Wanted, home: NodeHome, platform: Platform, preparation: Preparation
) -> NodeSetup:
    setup = _of_preparation(wanted, home, platform, preparation)
    if keeps_keys(platform):
        preparation.save(home, platform)
    home.keep_listen(setup.listen)
    return setup


def _of_preparation(
    wanted: Wanted, home: NodeHome, platform: Platform, preparation: Preparation
) -> NodeSetup:
    return replace(
        _setup(wanted, home, platform, preparation.genesis, preparation.policy),
        member_invite=preparation.member_invite,
        node_invite=preparation.node_invite,
        ticket=preparation.ticket,
        first_addresses=preparation.first_addresses,
        is_founded=preparation.is_founded,
    )


def _policy_of(genesis: Genesis, text: str) -> Policy:
    """The policy in force, by its text (empty: the genesis's)."""
    try:
        return check_amended(parse_policy(genesis.policy), text or genesis.policy)
    except MemberFault as fault:
        raise LocalFault(
            "newer-version", f"the network's policy cannot be read: upgrade this program ({fault})"
        ) from None


def _setup(
    wanted: Wanted, home: NodeHome, platform: Platform, genesis_bytes: bytes, policy_text: str = ""
) -> NodeSetup:
    genesis, network = parse_genesis(genesis_bytes), network_id(genesis_bytes)
    policy = _policy_of(genesis, policy_text)
    quota = home.quota(network) or Quota(cache_bytes=wanted.cache_bytes)
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
        network=network,
        policy=policy,
        listen=home.listen(wanted.listen, EVERYWHERE if genesis.is_open else LOOPBACK),
        map_bytes=min(wanted.map_bytes, quota.storage_bytes),
        quota=quota,
    )


def _require_new(home: NodeHome, platform: Platform, network: bytes) -> None:
    """Another ticket of a network that this node is to enter may come; it is in no other way."""
    if network in home.networks():
        raise LocalFault("data-folder", f"{home.directory} holds that network already")
    if network in home.prepared() and Preparation.load(home, platform, network).ticket is None:
        raise LocalFault("data-folder", f"the node of {home.directory} is that network's first")


def _platform(wanted: Wanted, home: NodeHome, simulated: bool) -> Platform:
    if simulated:
        return SimulatedPlatform(home.platform_directory, wanted.vendor, wanted.measurement)
    return open_platform(endorsements=wanted.endorsements)


def _store(
    home: NodeHome, platform: Platform, network: bytes, map_bytes: int, create: bool
) -> LmdbStore:
    return LmdbStore(
        home.store_path(network),
        key=_own_key(platform, network),
        network=network,
        algorithm=_AT_REST_AEAD,
        map_bytes=map_bytes,
        create=create,
        kept=KEPT,
    )


def _own_key(platform: Platform, network: bytes) -> bytes:
    return storage_key(sealing_key(platform, b"storage"), network)
