"""The rules that a block obeys by itself, whatever else is known.

They depend on no clock, no other block and no garbage collection, so every node judges alike. The
author's signature is checked elsewhere, in batches; the value of the coin and the existence of
parents are judged when a block enters the DAG.
"""

from dataclasses import dataclass
from typing import Self

from ccp2p.consensus.coin import carried_round
from ccp2p.model import hashing, limits
from ccp2p.model.block import Block, BlockHeader, BlockReference, Payload, epoch_root
from ccp2p.model.committee import Committee
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Parameters

SIGNATURE_BYTES = 64  # Ed25519


@dataclass(frozen=True, slots=True)
class Rules:
    """What validity is relative to: one epoch of one network. Delays and lengths in rounds."""

    network: bytes
    epoch: int
    size: int
    quorum: int
    coin_delay: int
    coin_length: int
    root: BlockReference

    @classmethod
    def of(cls, network: bytes, committee: Committee, parameters: Parameters) -> Self:
        """The rules of `committee`'s epoch."""
        return cls(
            network=network,
            epoch=committee.epoch,
            size=committee.size,
            quorum=committee.quorum,
            coin_delay=parameters.coin_delay,
            coin_length=parameters.coin_length,
            root=epoch_root(network, committee.epoch),
        )


def check_block(block: Block, rules: Rules) -> None:
    """Raise PeerFault (its code names the rule) unless `block` is valid by itself.

    Code `early-epoch` is no offence: the block belongs to an epoch whose record to fetch first.
    """
    header = block.header
    _require(header.network == rules.network, "network", "a block of another network")
    _check_epoch(header.epoch, rules.epoch)
    _require(0 <= header.author < rules.size, "author", "a block by an unknown author")
    _require(header.round >= 1, "round", "a block below round 1")
    _require(
        0 <= header.timestamp_ms <= limits.MAX_TIMESTAMP_MS, "timestamp", "an impossible timestamp"
    )
    _require(len(block.signature) == SIGNATURE_BYTES, "signature", "a signature has 64 bytes")
    _check_coin(header, rules)
    _check_parents(header, rules)
    _check_payload(block.payload)


def _require(holds: bool, code: str, message: str) -> None:
    if not holds:
        raise PeerFault(code, message)


def _check_epoch(epoch: int, ours: int) -> None:
    _require(epoch <= ours, "early-epoch", "a block of an epoch that is not known here yet")
    _require(epoch == ours, "past-epoch", "a block of a past epoch")


def _check_coin(header: BlockHeader, rules: Rules) -> None:
    is_carried = carried_round(header.round, rules.coin_delay, rules.coin_length) != 0
    expected = hashing.DIGEST_BYTES if is_carried else 0
    _require(len(header.coin) == expected, "coin", f"a coin of {expected} bytes belongs here")


def _check_parents(header: BlockHeader, rules: Rules) -> None:
    parents = header.parents
    _require(0 < len(parents) <= rules.size, "parents", "an impossible number of parents")
    first, others = parents[0], parents[1:]
    if header.round == 1:
        _require(parents == (rules.root,), "parents", "a first block has only the root as parent")
        return
    is_own = first.author == header.author and first.round >= 1
    _require(is_own or first == rules.root, "parent-0", "parent 0 is not the own last block")
    seen = {header.author}
    for parent in others:
        _require(parent.author not in seen, "parents", "two parents by one author")
        seen.add(parent.author)
    blocks = parents if is_own else others
    for parent in blocks:
        _check_parent(parent, header.round, rules.size)
    previous = sum(parent.round == header.round - 1 for parent in blocks)
    _require(previous >= rules.quorum, "quorum", "no quorum of parents in the round before")


def _check_parent(parent: BlockReference, round_: int, size: int) -> None:
    _require(0 <= parent.author < size, "parents", "a parent by an unknown author")
    _require(1 <= parent.round < round_, "parents", "a parent that is not of an earlier round")
    _require(len(parent.digest) == hashing.DIGEST_BYTES, "parents", "a digest has 32 bytes")


def _check_payload(payload: Payload) -> None:
    _require(
        len(payload.envelopes) <= limits.MAX_ENVELOPES_PER_BLOCK
        and len(payload.votes) <= limits.MAX_VOTES_PER_BLOCK
        and len(payload.membership) <= limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK,
        "payload",
        "too much in one payload",
    )
    longest = max(map(len, payload.envelopes), default=0)
    _require(longest <= limits.MAX_ENVELOPE_BYTES, "payload", "an oversized envelope")
