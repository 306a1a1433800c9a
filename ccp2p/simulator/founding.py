"""A founded network in memory: keys, genesis, committee and epoch secrets, all from one seed."""

from dataclasses import dataclass

from ccp2p.consensus.validity import Rules
from ccp2p.crypto import signatures
from ccp2p.crypto.signatures import SigningKey
from ccp2p.membership.founding import record_zero
from ccp2p.membership.means import Judged, Means
from ccp2p.membership.records import Link
from ccp2p.model import codec, hashing
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.epoch import record_digest
from ccp2p.model.genesis import Genesis, Parameters, check_parameters, network_id
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.sealing.session import SessionContext

START_MS = 1_750_000_000_000  # Unix time at which every simulated world begins


@dataclass(frozen=True, slots=True)
class Founded:
    """What the founding leaves on every node, and the invite that members hold."""

    network: bytes
    genesis: Genesis
    committee: Committee
    secrets: EpochSecrets
    keys: tuple[SigningKey, ...]
    rules: Rules
    invite: bytes
    link: Link
    means: Means

    @property
    def session_context(self) -> SessionContext:
        """What members' sessions are bound to."""
        return SessionContext(self.network, self.committee.epoch, self.genesis.parameters.aead)


def found(size: int, seed: int, parameters: Parameters) -> Founded:
    """A network of `size` nodes with the kv app. MemberFault when `parameters` are refused."""
    check_parameters(parameters)
    keys = tuple(SigningKey(derived(seed, b"node", number)) for number in range(size))
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
        Seat(key.public, derived(seed, b"sealing", number), derived(seed, b"chip", number), "sim")
        for number, key in enumerate(keys)
    )
    committee = Committee(0, seats)
    secrets = EpochSecrets(derived(seed, b"secret"), parameters.coin_length)
    rules = Rules.of(network, committee, parameters)
    anchor, epoch_key = secrets.coin.anchor, secrets.epoch_key.public
    record = record_zero(genesis, network, seats, anchor, epoch_key, [])
    link = Link(record, record_digest(codec.encode(record)))
    means = Means(
        network, link.digest, anchor, epoch_key, "none", _judge, _admit, signatures.verify
    )
    return Founded(network, genesis, committee, secrets, keys, rules, invite, link, means)


def _judge(_node: bytes, _sealing: bytes, _anchor: bytes, evidence: bytes, _at_s: int) -> Judged:
    """Simulated joiners show the platform that they run on; nobody else has evidence."""
    return Judged(*codec.decode(evidence, tuple[bytes, str, str], 256))


def _admit(_invite: bytes, _time_ms: int) -> None:
    """Every joiner is invited."""


def derived(seed: int, purpose: bytes, number: int = 0) -> bytes:
    """32 bytes that follow from the seed."""
    parts = (seed.to_bytes(8, "big"), purpose, number.to_bytes(8, "big"))
    return hashing.digest(hashing.SIMULATED, *parts)
