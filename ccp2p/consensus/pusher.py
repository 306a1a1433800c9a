"""Which of our new block's parents a peer may lack, to send them along at once.

A DAG whose nodes only pull can be kept from committing by an author that sends its blocks to a few
peers only: every block that names them waits for a round trip. A peer whose newest block names no
block of an author in the two rounds below it may not be hearing that author in time, so it gets
that author's blocks together with ours. Two rounds, because over a wide area the n-Q farthest
authors are always one round late: looking at one round sends each of their blocks n times over,
and gains nothing (docs/decisions/0011). Small blocks only: large ones are better pulled.
"""

from collections.abc import Iterable

from ccp2p.consensus.index import Index
from ccp2p.consensus.messages import Draft, Push
from ccp2p.consensus.vertex import Vertex
from ccp2p.model import limits
from ccp2p.model.block import VerifiedBlock

HEARD_ROUNDS = 2


def push_history(index: Index, own: Vertex, size: int, draft: Draft) -> None:
    """Put into `draft` what the peers that keep up may lack of `own`'s parents."""
    for peer in range(size):
        newest = index.newest(peer, below=own.round)
        if peer == own.author or newest is None or not _shows_hearing(newest, own.round):
            continue
        blocks = _within_limit(_lacked(own, newest))
        if blocks:
            draft.send.append(Push(peer, blocks))


def _shows_hearing(newest: Vertex, round_: int) -> bool:
    """Whether a peer keeps up, and its newest block tells whom it hears: a first block does not."""
    return newest.round > max(1, round_ - 1 - limits.PUSH_ROUNDS)


def _lacked(own: Vertex, newest: Vertex) -> Iterable[VerifiedBlock]:
    oldest = newest.round - HEARD_ROUNDS
    heard = {parent.author for parent in newest.parents if parent.round >= oldest}
    for parent in own.parents:
        is_unheard = parent.author not in heard and parent not in newest.parents
        if is_unheard and parent.author not in (own.author, newest.author) and parent.block:
            yield parent.block


def _within_limit(blocks: Iterable[VerifiedBlock]) -> tuple[VerifiedBlock, ...]:
    room = limits.PUSH_BYTES
    taken = []
    for block in blocks:
        room -= len(block.header_bytes) + len(block.payload_bytes)
        if room < 0:
            break
        taken.append(block)
    return tuple(taken)
