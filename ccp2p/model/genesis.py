"""Genesis: what a network is, once and for all. Its hash is the network id."""

from typing import Literal

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import Fault, MemberFault

AppName = Literal["kv", "rooms"]
"""The apps that networks may run: what `execution.apps.APPS` holds."""


class Parameters(Wire, frozen=True):
    """Rules of one network that its nodes must share. Times in milliseconds, depths in rounds.

    The last three are a mesh's: the most seats of its committee (0: as many as any may have), the
    ledger time of an epoch until a third of the seats may change hands, and the most seats that
    a draw gives to one subnet (0: no cap).
    """

    coin_length: int = 1 << 20
    coin_delay: int = 3
    commit_waves: tuple[int, ...] = (4, 5)
    slots_per_round: int = 0  # 0: one slot for every author
    gc_depth: int = 100
    min_round_delay_ms: int = 20
    max_round_delay_ms: int = 1000
    checkpoint_interval: int = 64  # commits between checkpoint votes
    aead: Literal["aegis256", "xchacha20"] = "aegis256"
    at_rest: Literal["self", "group"] = "self"
    resume: Literal["disks", "governors"] = "disks"
    protocol: int = 1
    committee_max: int = 0
    rotation_interval_ms: int = 3_600_000
    subnet_seats: int = 0

    def keeps_group(self, seats: int) -> bool:
        """Whether nodes of a committee of this size keep their data under a key that they share."""
        return self.at_rest == "group" and seats > 1


class Genesis(Wire, frozen=True):
    """The genesis record: what a network is, and who may change it.

    A governor's key is a member without an invite; `governor_threshold` of them change policy, any
    one invites. Without governors both stay as they are for good. `member_invite` and `node_invite`
    are digests of secrets that let in whoever knows them, without limit or end, `founder_invite`
    that of the one which founders show; empty: there is none. A `mesh` is open: it asks nobody for
    an invite once it is founded.
    """

    name: str
    kind: Literal["group", "mesh"]
    app: AppName
    policy: str  # TOML, exactly as its digest covers it
    parameters: Parameters
    governors: tuple[bytes, ...]
    governor_threshold: int
    first_node: bytes
    founders: int
    member_invite: bytes
    node_invite: bytes
    founder_invite: bytes
    created_ms: int

    @property
    def is_open(self) -> bool:
        """Whether it lets in every member, and every node whose evidence satisfies the policy."""
        return self.kind == "mesh"

    @property
    def most_seats(self) -> int:
        """The most seats that its committee may have."""
        return self.parameters.committee_max or limits.MAX_COMMITTEE


def network_id(genesis_bytes: bytes) -> bytes:
    """The network id: the hash of the genesis bytes as published."""
    return hashing.digest(hashing.GENESIS, genesis_bytes)


def policy_digest(text: str) -> bytes:
    """What an epoch record says of the policy in force."""
    return hashing.digest(hashing.POLICY, text.encode())


def parse_genesis(genesis_bytes: bytes) -> Genesis:
    """Read a genesis record; MemberFault when it is malformed or breaks a rule."""
    genesis = codec.decode_canonical(genesis_bytes, Genesis, limits.MAX_GENESIS_BYTES, MemberFault)
    check_parameters(genesis.parameters)
    if genesis.parameters.committee_max and not genesis.is_open:
        raise MemberFault("genesis", "only a mesh draws its committee: a group seats everybody")
    if not 1 <= genesis.founders <= genesis.most_seats:
        raise MemberFault("genesis", f"a network of {genesis.founders} founders is not possible")
    if not 1 <= len(genesis.name) <= limits.MAX_NAME_CHARS:
        raise MemberFault("genesis", "a network's name has 1 to 64 characters")
    check_governors(genesis.governors, genesis.governor_threshold)
    if genesis.parameters.at_rest == "group" and not genesis.governors:
        raise MemberFault(
            "genesis", 'at_rest "group" needs governors: without them a power cut is the end'
        )
    invites = (genesis.member_invite, genesis.node_invite, genesis.founder_invite)
    if any(len(digest) not in (0, 32) for digest in invites):
        raise MemberFault("genesis", "an invite's digest has 32 bytes, or none")
    return genesis


def check_governors(
    governors: tuple[bytes, ...],
    threshold: int,
    fault: type[Fault] = MemberFault,
    code: str = "genesis",
) -> None:
    """More than half must agree: no two disjoint groups of governors may both have their way.

    Raises `fault` with `code`. None at all, with a threshold of 0, are allowed.
    """
    count = len(governors)
    if count > limits.MAX_GOVERNORS or len(set(governors)) != count:
        raise fault(code, f"a network has up to {limits.MAX_GOVERNORS} governors, once")
    if any(len(key) != 32 for key in governors):
        raise fault(code, "a governor is a member's key of 32 bytes")
    if not (count < 2 * threshold and threshold <= count) and (count or threshold):
        raise fault(code, f"{threshold} of {count} governors: more than half of them must agree")


def check_parameters(parameters: Parameters) -> None:
    """Refuse (MemberFault) parameters under which the protocol's proofs do not hold."""
    waves = parameters.commit_waves
    if waves not in ((4, 5), (5,)):
        raise MemberFault("genesis", f"commit_waves {waves} is not one of (4, 5) and (5,)")
    if parameters.coin_delay not in (3, 4):
        raise MemberFault("genesis", f"coin_delay {parameters.coin_delay} is not 3 or 4")
    if not 1 << 8 <= parameters.coin_length <= 1 << 24:
        raise MemberFault("genesis", f"coin_length {parameters.coin_length} is not in 2^8..2^24")
    if not 0 <= parameters.slots_per_round <= limits.MAX_COMMITTEE:
        raise MemberFault("genesis", "slots_per_round is out of range")
    if not 10 <= parameters.gc_depth <= 10_000:
        raise MemberFault("genesis", f"gc_depth {parameters.gc_depth} is not in 10..10000")
    if not 0 <= parameters.min_round_delay_ms <= parameters.max_round_delay_ms <= 60_000:
        raise MemberFault("genesis", "round delays must satisfy 0 <= min <= max <= 60000")
    if not 1 <= parameters.checkpoint_interval <= 100_000:
        raise MemberFault("genesis", "checkpoint_interval is out of range")
    if parameters.committee_max and not 4 <= parameters.committee_max <= limits.MAX_COMMITTEE:
        raise MemberFault("genesis", "committee_max is neither 0 nor in 4..200: f would be 0")
    if not 1000 <= parameters.rotation_interval_ms <= 366 * 24 * 3_600_000:
        raise MemberFault("genesis", "rotation_interval_ms is not in a second to a year")
    if not 0 <= parameters.subnet_seats <= limits.MAX_COMMITTEE:
        raise MemberFault("genesis", "subnet_seats is out of range")
