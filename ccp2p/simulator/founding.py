"""A founded network in memory: keys, genesis, committee and epoch secrets, all from one seed.

Beside its founders there may be nodes that will ask to join: their keys follow from the seed, too.
"""

from dataclasses import dataclass, replace

from ccp2p.consensus.validity import Rules
from ccp2p.crypto import signatures
from ccp2p.crypto.signatures import SigningKey
from ccp2p.membership.events import JoinRequest
from ccp2p.membership.founding import record_zero
from ccp2p.membership.means import Judged, Means
from ccp2p.membership.records import Link
from ccp2p.model import codec, hashing
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.epoch import SignedEpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Genesis, Parameters, check_parameters, network_id, policy_digest
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.sealing.session import SessionContext

START_MS = 1_750_000_000_000  # Unix time at which every simulated world begins


@dataclass(frozen=True, slots=True)
class Founded:
    """What the founding leaves on every node, and the invite that members hold.

    `identities` are the founders' and then those of the nodes that will join, one a machine.
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

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The signing key of each machine's node."""
        return tuple(one.signing for one in self.identities)

    @property
    def session_context(self) -> SessionContext:
        """What members' sessions are bound to."""
        return SessionContext(self.network, self.committee.epoch, self.genesis.parameters.aead)

    def means_in(self, link: Link) -> Means:
        """What the membership rules need in the epoch of `link`."""
        record = link.record
        return replace(
            self.means,
            record=link.digest,
            coin_anchor=record.coin_anchor,
            epoch_key=record.epoch_key,
        )

    def join_request(self, seed: int, machine: int, anchor: bytes) -> JoinRequest:
        """A machine's request, with the evidence that a simulated chip makes for its node."""
        identity = self.identities[machine]
        node, sealing = identity.node, identity.sealing.public
        chip = derived(seed, b"chip", machine)
        evidence = codec.encode((chip, "sim", "simulated", _bound(node, sealing, anchor)))
        return JoinRequest(sealing, anchor, evidence, b"", (), ())


def found(size: int, seed: int, parameters: Parameters, joiners: int = 0) -> Founded:
    """A network of `size` nodes with the kv app. MemberFault when `parameters` are refused."""
    check_parameters(parameters)
    identities = tuple(
        Identity(derived(seed, b"node", number), derived(seed, b"sealing", number))
        for number in range(size + joiners)
    )
    keys = tuple(one.signing for one in identities[:size])
    invite = derived(seed, b"invite")[:16]
    genesis = Genesis(
        name="simulated",
        kind="group",
        app="kv",
        policy="",
        parameters=parameters,
        governors=(keys[0].public,),
        governor_threshold=1,
        first_node=keys[0].public,
        founders=size,
        member_invite=hashing.digest(hashing.INVITE, invite),
        node_invite=b"",
        founder_invite=b"",
        created_ms=START_MS,
    )
    network = network_id(codec.encode(genesis))
    seats = tuple(
        Seat(one.node, one.sealing.public, derived(seed, b"chip", number), "sim")
        for number, one in enumerate(identities[:size])
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
    )
    kept = _first_record(genesis, codec.encode(record), keys, secrets)
    return Founded(
        network, genesis, committee, secrets, identities, rules, invite, link, means, kept
    )


def _first_record(
    genesis: Genesis, record: bytes, keys: tuple[SigningKey, ...], secrets: EpochSecrets
) -> NetworkRecord:
    message = record_signed_bytes(record)
    signed = SignedEpochRecord(record, tuple((i, k.sign(message)) for i, k in enumerate(keys)))
    return NetworkRecord(codec.encode(genesis), (signed,), secrets.secret, (), b"", b"")


def _bound(node: bytes, sealing: bytes, anchor: bytes) -> bytes:
    """What a simulated chip puts into its evidence: whose it is, and how fresh."""
    return hashing.digest(hashing.SIMULATED, node, sealing, anchor)


def _judge(node: bytes, sealing: bytes, anchor: bytes, evidence: bytes, _at_s: int) -> Judged:
    """Simulated joiners show the platform that they run on; nobody else has evidence."""
    platform, vendor, tee, bound = codec.decode(evidence, tuple[bytes, str, str, bytes], 256)
    if bound != _bound(node, sealing, anchor):
        raise PeerFault("evidence", "the evidence is another node's, or an old one")
    return Judged(platform, vendor, tee, (policy_digest(""),))


def _admit(_invite: bytes, _time_ms: int) -> None:
    """Every joiner is invited."""


def derived(seed: int, purpose: bytes, number: int = 0) -> bytes:
    """32 bytes that follow from the seed."""
    parts = (seed.to_bytes(8, "big"), purpose, number.to_bytes(8, "big"))
    return hashing.digest(hashing.SIMULATED, *parts)
