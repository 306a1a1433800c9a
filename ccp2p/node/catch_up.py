"""How a node comes to the state of a running epoch: records, secret, a certified snapshot, blocks.

Nothing that a peer says is believed: the chain of records is checked from what is pinned, the
secret against the record, the roots against Q votes asked for by name, every part of the state
against the root, commits against the chain digest, blocks by their signatures. Whatever does not
hold ends the try with PeerFault, and another peer is asked.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from ccp2p.attestation.policy import parse_policy
from ccp2p.consensus.validity import Rules
from ccp2p.crypto import signatures
from ccp2p.execution import snapshot as parts
from ccp2p.execution.checkpoints import checkpoint_of_roots
from ccp2p.membership.records import Link, check_chain, check_successors
from ccp2p.model import codec, hashing, limits
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.checkpoint import Checkpoint, CheckpointVote
from ccp2p.model.epoch import SignedEpochRecord, is_full_page, parse_record, record_digest
from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.model.genesis import Genesis
from ccp2p.node.executor import CommitRecord
from ccp2p.node.intake import BlockIntake, Delivery
from ccp2p.node.letters import ANSWER_TIMEOUT_S, Letters
from ccp2p.node.messages import (
    FetchBlocks,
    FetchedBlocks,
    FollowReply,
    FollowRequest,
    SecretReply,
    SecretRequest,
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.receipts import kept_image
from ccp2p.node.roster_keeper import CLOSING
from ccp2p.node.steward import STEWARD
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets
from ccp2p.storage.store import Batch, Store

_VOTE_TRIES = 20
_VOTE_PAUSE_S = 0.25
_MAX_FETCHES = 10_000  # replies of one catch-up
# Answers in a row that bring nothing: an honest peer's may come late, when what it holds is here.
_MAX_FRUITLESS = 4


@dataclass(frozen=True, slots=True)
class Standing:
    """What a peer told and what held of it: the chain, its newest link, and how we stand."""

    records: tuple[SignedEpochRecord, ...]
    newest: Link
    reply: FollowReply


@dataclass(frozen=True, slots=True)
class Image:
    """A verified state of an epoch: all that a start needs beside the network record."""

    epoch: int
    commits: tuple[tuple[int, bytes], ...]
    buckets: dict[int, bytes]
    blocks: tuple[VerifiedBlock, ...]


@dataclass(frozen=True, slots=True)
class Entered:
    """The record to go on with, its secrets, and the state to begin from."""

    record: NetworkRecord
    secrets: EpochSecrets
    image: Image


class CatchUp:
    """The way of `node` to the present, over attested connections that stand."""

    def __init__(self, genesis: Genesis, network: bytes, node: bytes, letters: Letters) -> None:
        self._node = node
        self._genesis = genesis
        self._network = network
        self._cap = parse_policy(genesis.policy).caps.vendor  # record 0 was under it
        self._letters = letters
        self._head: SnapshotHead | None = None
        self._parts: dict[tuple[int, bytes], tuple[tuple[int, bytes], ...]] = {}

    async def stand(
        self,
        peer: bytes,
        known: Sequence[SignedEpochRecord],
        pinned: bytes,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Standing:
        """The chain of records that `peer` shows, checked behind the last of `known`.

        Without any, all of it is asked for: a node shows members the way from record 0.
        """
        records = list(known)
        link = Link(parse_record(known[-1].record), pinned) if known else None
        is_trusted = bool(known) or not pinned
        for _ in range(limits.MAX_RECORD_PAGES):
            request = FollowRequest(link.digest if link else b"")
            reply = await self._letters.ask(peer, request, FollowReply, timeout_s=timeout_s)
            links = await self._letters.work(self._check_page, reply.records, link)
            records.extend(reply.records[len(reply.records) - len(links) :])
            is_trusted = is_trusted or any(one.digest == pinned for one in links)
            link = links[-1] if links else link
            if not links or not is_full_page([codec.encode(one) for one in reply.records]):
                break
        if link is None or not is_trusted:
            raise PeerFault("record", "a chain without the record that is trusted")
        return Standing(tuple(records), link, reply)

    def _check_page(self, page: Sequence[SignedEpochRecord], previous: Link | None) -> list[Link]:
        """The links that a page adds to what was checked before, whose last it begins with."""
        verify = signatures.verify_batch
        if previous is None:
            return check_chain(page, self._genesis, self._network, self._cap, verify)
        if not page or record_digest(page[0].record) != previous.digest:
            raise PeerFault(
                "record", "a chain without the record that is trusted: older, or another history"
            )
        return check_successors(page[1:], previous, verify)

    async def secrets(self, peers: Sequence[bytes], link: Link) -> EpochSecrets:
        """The secrets of the record's epoch, from whoever hands out the right ones."""
        wanted = link.record.epoch_key
        for peer in peers:
            try:
                reply = await self._letters.ask(
                    peer, SecretRequest(wanted), SecretReply, lambda r: r.epoch_key == wanted
                )
                if len(reply.secret) == SECRET_BYTES:
                    return await self._letters.work(self._check_secret, reply.secret, link)
            except (PeerFault, Unreachable):
                continue
        raise Unreachable("no peer handed out the secret of this epoch")

    def _check_secret(self, secret: bytes, link: Link) -> EpochSecrets:
        length = self._genesis.parameters.coin_length
        return EpochSecrets.of_record(secret, length, link.record)

    async def image(self, peer: bytes, link: Link) -> Image:
        """The state of the link's epoch as `peer` has it, certified by Q seats.

        What an earlier try verified is kept, whoever it came from: the certified head, and each
        part by its hash. So a try that broke off goes on here, also with a peer whose state is
        newer, as far as parts did not change in between.
        """
        epoch = link.record.epoch
        head = self._head
        if head is None or head.epoch != epoch or not await self._fetch_parts(peer, head):
            head = self._head = await self._certified_head(peer, link)
            if not await self._fetch_parts(peer, head):
                raise Unreachable("the peer no longer keeps the snapshot")
        records = _commit_records(head)
        blocks = await self._blocks(peer, records, link) if records else ()
        first = head.commit - len(records) + 1
        commits = tuple(enumerate(head.commits, first))
        buckets = [kept for part in self._parts.values() for kept in part]
        return Image(epoch, commits, dict(buckets), blocks)

    async def _certified_head(self, peer: bytes, link: Link) -> SnapshotHead:
        """The newest state that `peer` offers, once Q seats vouch for its roots."""
        request = SnapshotRequest(link.record.epoch, 0, -1)
        head = await self._letters.ask(peer, request, SnapshotHead)
        if head.epoch != link.record.epoch:
            raise Unreachable("the epoch whose state was asked for is over, or not begun there")
        root = await self._certified_root(head, _commit_records(head), link)
        if parts.root_of(head.nodes) != root:
            raise PeerFault("snapshot", "a snapshot's parts do not give the certified root")
        return head

    async def _fetch_parts(self, peer: bytes, head: SnapshotHead) -> bool:
        """Fetch the parts that are not here yet; False when `peer` does not keep this state."""
        wanted = {
            (number, expected): None
            for number, expected in enumerate(head.nodes)
            if expected != hashing.ZERO_DIGEST
        }
        self._parts = {name: part for name, part in self._parts.items() if name in wanted}
        for number, expected in wanted:
            if (number, expected) not in self._parts:
                part = await self._part(peer, head, number, expected)
                if part is None:
                    return False
                self._parts[number, expected] = part
        return True

    async def _certified_root(
        self, head: SnapshotHead, records: list[CommitRecord], link: Link
    ) -> bytes:
        """The state root under which the snapshot must be: by the record, or by Q votes."""
        record = link.record
        if not records:
            if head.commit != 0:
                raise PeerFault("snapshot", "a snapshot without its commits")
            return record.state_root
        for earlier, later in pairwise(records):
            if later.commit.previous != earlier.commit.digest:
                raise PeerFault("snapshot", "the commits of a snapshot are no chain")
        newest = records[-1]
        if (newest.commit.index, newest.commit.epoch) != (head.commit, record.epoch):
            raise PeerFault("snapshot", "a snapshot's newest commit is another than it says")
        checkpoint = checkpoint_of_roots(
            self._network, newest.commit, newest.state_root, newest.outcomes_root
        )
        await self._certify(checkpoint, link)
        return newest.state_root

    async def _certify(self, checkpoint: Checkpoint, link: Link) -> None:
        """Ask seats for their votes until Q agree; Unreachable when they do not in time.

        Who showed the snapshot may be honest all the same: seats are away, or not as far yet. Where
        this node has a seat it is one of the Q: else a network that stands for want of its vote
        could not let it in. Of Q-1 others at most f are not honest, and one honest is enough.
        """
        committee = link.record.committee()
        own = committee.index_of(self._node)
        found = set() if own is None else {own}
        for _ in range(_VOTE_TRIES):
            for index, seat in enumerate(committee.seats):
                if index not in found and await self._votes_for(seat.node, index, checkpoint):
                    found.add(index)
                if len(found) >= committee.quorum:
                    return
            await self._letters.pause(_VOTE_PAUSE_S)
        raise Unreachable(f"{len(found)} of {committee.size} seats vouch for a snapshot: too few")

    async def _votes_for(self, node: bytes, seat: int, checkpoint: Checkpoint) -> bool:
        try:
            reply = await self._letters.ask(
                node,
                VoteRequest(checkpoint.epoch, checkpoint.commit),
                VoteReply,
                lambda r: r.commit == checkpoint.commit,
                timeout_s=2.0,
            )
            vote = codec.decode(reply.vote, CheckpointVote, limits.MAX_HEADER_BYTES)
        except (PeerFault, Unreachable):
            return False
        return (
            vote.checkpoint == checkpoint
            and vote.author == seat
            and signatures.verify(node, vote.signature, checkpoint.signed_bytes())
        )

    async def _part(
        self, peer: bytes, head: SnapshotHead, number: int, expected: bytes
    ) -> tuple[tuple[int, bytes], ...] | None:
        """The buckets of a part, from one peer in as many answers as it takes."""
        found: list[tuple[int, bytes]] = []
        first, size = number * parts.PART_BUCKETS, 0
        end = first + parts.PART_BUCKETS
        while True:
            reply = await self._letters.ask(
                peer,
                SnapshotRequest(head.epoch, head.commit, number, first),
                SnapshotPart,
                partial(_is_slice, head.commit, number, first),
            )
            if reply.is_gone:
                return None
            found += reply.buckets
            size += sum(len(data) for _, data in reply.buckets)
            if len(found) > parts.PART_BUCKETS or size > limits.MAX_SNAPSHOT_PART_BYTES:
                raise PeerFault("oversized", "a part of a snapshot is longer than any state's")
            if not first < reply.next < end:
                break
            first = reply.next
        await self._letters.work(parts.check_part, number, found, expected)
        return tuple(found)

    async def _blocks(
        self, peer: bytes, records: list[CommitRecord], link: Link
    ) -> tuple[VerifiedBlock, ...]:
        """Every block above the gc round in the newest commit's history, parents first.

        No other: what a quorum committed passed admission, and the rest is one peer's word.
        """
        parameters = self._genesis.parameters
        committee = link.record.committee()
        rules = Rules.of(self._network, committee, parameters)
        intake = BlockIntake(rules, committee, lambda _: False)
        leader = records[-1].commit.leader
        floor = max(0, leader.round - parameters.gc_depth)
        above = [floor] * committee.size
        held: dict[BlockReference, VerifiedBlock] = {}
        fruitless = 0
        for _ in range(_MAX_FETCHES):
            history, missing = _walked(leader, floor, held)
            if not missing:
                return tuple(sorted(history, key=lambda block: block.reference))
            request = FetchBlocks(missing, tuple(above), link.record.epoch)
            reply = await self._letters.ask(peer, request, FetchedBlocks)
            deliveries = [Delivery(0, reply.blocks, True)]
            found = (await self._letters.work(intake.verify, deliveries))[0].blocks
            fresh = _needed(found, held, missing, range(floor + 1, leader.round + 1))
            fruitless = 0 if fresh else fruitless + 1
            if fruitless == _MAX_FRUITLESS:
                break
            for block in fresh:
                held[block.reference] = block
                author = block.reference.author
                above[author] = max(above[author], block.reference.round)
        raise PeerFault("snapshot", "a peer does not have the blocks of its own commits")


def install(entered: Entered, store: Store) -> None:
    """Make the store the image of the network's present, whatever it held before, all at once.

    A part of it would be no state at all: who restarts on a disk whose log is gone has no commit
    for its buckets, and, between two epochs, none for the record that it signs.
    """
    image = entered.image
    newest = image.commits[-1][0] if image.commits else 0
    store.write(
        Batch(
            epoch=image.epoch,
            replaces=True,
            blocks=[(block.reference, block.to_bytes()) for block in image.blocks],
            commits=image.commits,
            buckets=image.buckets,
            meta={NetworkRecord.NAME: entered.record.kept(), CLOSING: b"", STEWARD: b""}
            | kept_image(image.epoch, newest),
        )
    )


def _commit_records(head: SnapshotHead) -> list[CommitRecord]:
    return [codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES) for data in head.commits]


def _is_slice(commit: int, part: int, first: int, reply: SnapshotPart) -> bool:
    """Whether a reply is of this part, and of no earlier slice of it."""
    is_later = reply.is_gone or not reply.buckets or reply.buckets[0][0] >= first
    return (reply.commit, reply.part) == (commit, part) and is_later


def _needed(
    found: Iterable[VerifiedBlock],
    held: Collection[BlockReference],
    asked: Collection[BlockReference],
    rounds: range,
) -> list[VerifiedBlock]:
    """What was asked for, and of each slot of these rounds two: a seat signs without end."""
    taken = Counter((one.round, one.author) for one in held)
    needed = {}
    for block in found:
        reference = block.reference
        slot = reference.round, reference.author
        is_spare = reference.round in rounds and taken[slot] < limits.MAX_UNSOLICITED_PER_SLOT
        if reference not in held and (reference in asked or is_spare):
            taken[slot] += reference not in needed
            needed[reference] = block
    return list(needed.values())


def _walked(
    leader: BlockReference, floor: int, held: dict[BlockReference, VerifiedBlock]
) -> tuple[list[VerifiedBlock], tuple[BlockReference, ...]]:
    """`leader` and its ancestors above `floor`: those held, and which are not, as far as seen."""
    history, missing = [], []
    seen = {leader}
    stack = [leader]
    while stack:
        reference = stack.pop()
        block = held.get(reference)
        if block is None:
            missing.append(reference)
            continue
        history.append(block)
        for parent in block.header.parents:
            if parent.round > floor and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return history, tuple(missing[: limits.MAX_FETCH_REFERENCES])
