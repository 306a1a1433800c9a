"""What the rules need of their surroundings: where in the log, and answers that need more code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ccp2p.membership.roster import Amended
from ccp2p.membership.sampling import Sampling


class Moment(NamedTuple):
    """Where in the log: the commit's index, its leader's round, its ledger time."""

    commit: int
    round: int
    time_ms: int


class Judged(NamedTuple):
    """What accepted evidence says of a node. An empty `platform_id` is no hardware id.

    `policies` are digests of those that it satisfies: the one in force, and any that is adopted.
    """

    platform_id: bytes
    vendor: str
    tee: str
    policies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Means:
    """What the rules need of their surroundings.

    `record` is the digest of this epoch's record, whose `coin_anchor` and `epoch_key` no proposal
    may use again. `judge(node, sealing, anchor, evidence, at_s)`
    gives the accepting verdict on a joiner, `admit(invite, time_ms)` lets a node ticket's secret
    count once more (both PeerFault), `verify(key, signature, message)` checks Ed25519. `adopted()`
    is the amendment that governors adopted in this epoch before the commit at hand. `sampling` is
    how a mesh draws its committee; None where everybody gets a seat.
    """

    network: bytes
    record: bytes
    coin_anchor: bytes
    epoch_key: bytes
    vendor_cap: str
    judge: Callable[[bytes, bytes, bytes, bytes, int], Judged]
    admit: Callable[[bytes, int], None]
    verify: Callable[[bytes, bytes, bytes], bool]
    adopted: Callable[[], Amended | None]
    sampling: Sampling | None = None
