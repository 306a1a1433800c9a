"""A founded network in memory: keys, genesis, committee and epoch secrets, all from one seed.

Beside its founders there may be nodes that will ask to join: their keys follow from the seed, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ccp2p.attestation.policy import Policy, parse_policy, simulated_policy
from ccp2p.consensus.validity import Rules
from ccp2p.crypto import signatures
from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.machine import StateMachine
from ccp2p.membership.events import JoinRequest
from ccp2p.membership.founding import record_zero
from ccp2p.membership.means import Judged, Means
from ccp2p.membership.records import Link
from ccp2p.model import codec, hashing
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.epoch import SignedEpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.model.genesis import Genesis, Parameters, check_parameters, network_id
from ccp2p.model.host_commands import invite_digest
from ccp2p.node.attestor import NodeAttestor
from ccp2p.node.drawing import sampling_of
from ccp2p.node.means import means_of
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.sealing.session import SessionContext
from ccp2p.simulator.chips import MEASUREMENT, Chip

START_MS = 1_750_000_000_000  # Unix time at which every simulated world begins
VENDOR: Final = "sim"


@dataclass(frozen=True, slots=True)
class Founded:
    """What the founding leaves on every node, and the invite that members hold.

    `identities` and `chips` are the founders' and then those of the nodes that will join, one a
    machine. `policy` of None: nobody shows evidence, since nobody joins.
    """

    network: bytes
    genesis: Genesis
    committee: Committee
    secrets: EpochSecrets
    identities: tuple[Identity, ...]
    rules: Rules
    invite: bytes
    link: Link
    means: Means
    record: NetworkRecord
    chips: tuple[Chip, ...]
    policy: Policy | None
    node_invite: bytes

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The signing key of each machine's node."""
        return tuple(one.signing for one in self.identities)

    @property
    def vendor_cap(self) -> str:
        """How many seats one vendor may hold, as the first policy says."""
        return "none" if self.policy is None else self.policy.caps.vendor

    @property
    def session_context(self) -> SessionContext:
        """What members' sessions are bound to."""
        return SessionContext(self.network, self.committee.epoch, self.genesis.parameters.aead)

    def means_in(self, link: Link, machine: StateMachine) -> Means:
        """What the membership rules need in the epoch of `link`."""
        record = link.record
        if self.policy is not None:
            sampling = self.means.sampling
            attestor = self._attestor(0, 0)
            return means_of(self.network, self.policy, sampling, attestor, link, machine)
        return replace(
            self.means,
            record=link.digest,
            coin_anchor=record.coin_anchor,
            epoch_key=record.epoch_key,
        )

    def join_request(self, machine: int, anchor: bytes) -> JoinRequest:
        """A machine's request to be let in, with fresh evidence of its chip."""
        sealing = self.identities[machine].sealing.public
        evidence = self.evidence(machine, machine, anchor)
        return JoinRequest(sealing, anchor, evidence, self.node_invite, (), ())

    def evidence(self, machine: int, chip: int, anchor: bytes) -> bytes:
        """What the chip of one machine says of the node of another, bound to `anchor`."""
        return self._attestor(machine, chip).bundle(anchor)

    def _attestor(self, machine: int, chip: int) -> NodeAttestor:
        if self.policy is None:
            raise LocalFault("simulator", "nobody shows evidence in a world where nobody joins")
        return NodeAttestor(
            self.identities[machine], self.chips[chip], self.network, self.policy, lambda: START_MS
        )


def found(
    size: int,
    seed: int,
    parameters: Parameters,
    joiners: int = 0,
    policy: str = "",
    vendors: Sequence[str] = (),
) -> Founded:
    """A network of `size` nodes with the kv app. MemberFault when `parameters` are refused.

    One whose committee has a greatest size is a mesh. `policy` is that of a network that nodes may
    join, `vendors` those of all machines' chips.
    """
    check_parameters(parameters)
    machines = size + joiners
    identities = tuple(
        Identity(derived(seed, b"node", number), derived(seed, b"sealing", number))
        for number in range(machines)
    )
    chips = tuple(
        Chip(derived(seed, b"chip", number), vendor)
        for number, vendor in enumerate(vendors or (VENDOR,) * machines)
    )
    keys = tuple(one.signing for one in identities[:size])
    invite = derived(seed, b"invite")[:16]
    node_invite = derived(seed, b"node invite")[:16] if policy else b""
    genesis = Genesis(
        name="simulated",
        kind="mesh" if parameters.committee_max else "group",
        app="kv",
        policy=policy,
        parameters=parameters,
        governors=(keys[0].public,),
        governor_threshold=1,
        first_node=keys[0].public,
        founders=size,
        member_invite=invite_digest(invite),
        node_invite=invite_digest(node_invite) if node_invite else b"",
        founder_invite=b"",
        created_ms=START_MS,
    )
    network = network_id(codec.encode(genesis))
    seats = tuple(
        Seat(
            one.node,
            one.sealing.public,
            # Where no evidence is judged, the id that a verdict would give is not needed either.
            chip.platform_id(network) if policy else chip.seed,
            chip.vendor,
        )
        for one, chip in zip(identities[:size], chips, strict=False)
    )
    committee = Committee(0, seats)
    secrets = EpochSecrets(derived(seed, b"secret"), parameters.coin_length)
    rules = Rules.of(network, committee, parameters)
    anchor, epoch_key = secrets.coin.anchor, secrets.epoch_key.public
    record = record_zero(genesis, network, seats, anchor, epoch_key, [])
    link = Link(record, record_digest(codec.encode(record)))
    means = Means(
        network,
        link.digest,
        anchor,
        epoch_key,
        "none",
        _judge,
        _admit,
        signatures.verify,
        lambda: None,
        sampling_of(genesis),
    )
    return Founded(
        network,
        genesis,
        committee,
        secrets,
        identities,
        rules,
        invite,
        link,
        means,
        _first_record(genesis, codec.encode(record), keys, secrets),
        chips,
        parse_policy(policy) if policy else None,
        node_invite,
    )


def _first_record(
    genesis: Genesis, record: bytes, keys: tuple[SigningKey, ...], secrets: EpochSecrets
) -> NetworkRecord:
    message = record_signed_bytes(record)
    signed = SignedEpochRecord(record, tuple((i, k.sign(message)) for i, k in enumerate(keys)))
    return NetworkRecord(codec.encode(genesis), (signed,), secrets.secret, (), b"", b"")


def policy_of(vendor_cap: str) -> str:
    """The policy of a simulated network that nodes may join."""
    return f'{simulated_policy(MEASUREMENT)}[caps]\nvendor = "{vendor_cap}"\n'


def _judge(*_: object) -> Judged:
    raise PeerFault("evidence", "nobody joins this network")


def _admit(_invite: bytes, _time_ms: int) -> None:
    """Nobody comes this far."""


def derived(seed: int, purpose: bytes, number: int = 0) -> bytes:
    """32 bytes that follow from the seed."""
    parts = (seed.to_bytes(8, "big"), purpose, number.to_bytes(8, "big"))
    return hashing.digest(hashing.SIMULATED, *parts)
