"""How a node that starts comes to the secret of its epoch, which its disk is under.

It asks every peer that it reaches. A peer of the same epoch hands the secret out; peers of a later
one show the records up to it, and then what this disk holds is of no use any more. Where nobody
runs, governors give their recovery shares. Nothing that is said is believed: a secret must be the
record's, records must follow, and a share must be the one in its governor's box.
"""

from collections.abc import Callable, Iterable
from typing import Final

import trio

from ccp2p.crypto import signatures
from ccp2p.membership.records import Link, check_successor
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, parse_record
from ccp2p.model.errors import MemberFault, PeerFault
from ccp2p.model.member_protocol import GiveShare, ShareTaken
from ccp2p.node.correspondence import FrameFeed
from ccp2p.node.messages import (
    FollowReply,
    FollowRequest,
    SecretReply,
    SecretRequest,
    decode_message,
    encode_message,
)
from ccp2p.sealing import shares
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets

_ASK_S: Final = 1.0
_PATIENCE_S: Final = 3.0  # peers that are up have answered before: then say what is waited for


class Unlocking:
    """The start of a node in the epoch of `link`. `send(node, frame)` queues without blocking.

    `peers()` are the connected ones; `report(text)` tells people, `blame(node, fault)` keeps score.
    """

    def __init__(
        self,
        link: Link,
        identity: Identity,
        coin_length: int,
        send: Callable[[bytes, bytes], bool],
        peers: Callable[[], Iterable[bytes]],
        report: Callable[[str], None],
        blame: Callable[[bytes, PeerFault], None],
    ) -> None:
        self._link = link
        self._identity = identity
        self._coin_length = coin_length
        self._send = send
        self._peers = peers
        self._report = report
        self._blame = blame
        self._over = trio.Event()
        self._secret = b""
        self._is_overtaken = False
        self._shares: dict[int, bytes] = {}

    async def run(self, feed: FrameFeed) -> EpochSecrets | None:
        """The secrets of the epoch, or None once a later one has begun."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask)
            nursery.start_soon(self._say)
            nursery.start_soon(self._listen, feed)
            await self._over.wait()
            nursery.cancel_scope.cancel()
        if self._is_overtaken:
            return None
        return await trio.to_thread.run_sync(EpochSecrets, self._secret, self._coin_length)

    def take_share(self, given: GiveShare) -> ShareTaken:
        """Hold a governor's share; with enough of them this is over."""
        record = self._link.record
        needed = record.governor_threshold
        try:
            share = self._checked_share(given, record)
        except MemberFault as fault:
            return ShareTaken(given.number, fault.code, str(fault), len(self._shares), needed)
        self._shares[given.governor] = share
        if len(self._shares) >= needed:
            self._take(shares.combine(self._shares) or b"")
        self._report(f"{len(self._shares)} of {needed} recovery shares are here")
        return ShareTaken(given.number, "", "", len(self._shares), needed)

    def _checked_share(self, given: GiveShare, record: EpochRecord) -> bytes:
        if given.epoch_key != record.epoch_key:
            raise MemberFault("wrong-epoch", f"this node waits for the secret of {record.epoch}")
        if given.governor >= len(record.shares):
            raise MemberFault("not-governor", "the epoch's record names no such governor")
        governor = record.governors[given.governor]
        share = shares.open_at_node(
            given.sealed, self._identity.sealing, record.network, record.epoch_key
        )
        if share is None or not shares.is_in_box(share, record.shares[given.governor], governor):
            raise MemberFault(
                "wrong-share",
                f"this is not the share that governor {governor.hex()[:16]} has in epoch "
                f"{record.epoch}",
            )
        return share

    async def _ask(self) -> None:
        questions = (SecretRequest(self._link.record.epoch_key), FollowRequest(self._link.digest))
        frames = [encode_message(question) for question in questions]
        while True:
            for node in self._peers():
                for frame in frames:
                    self._send(node, frame)
            await trio.sleep(_ASK_S)

    async def _say(self) -> None:
        await trio.sleep(_PATIENCE_S)
        self._report(waiting_words(self._link.record))

    async def _listen(self, feed: FrameFeed) -> None:
        async for node, frame in feed:
            try:
                self._hear(frame)
            except PeerFault as fault:
                self._blame(node, fault)

    def _hear(self, frame: bytes) -> None:
        message = decode_message(frame)
        if isinstance(message, SecretReply) and len(message.secret) == SECRET_BYTES:
            self._take(message.secret)
        elif isinstance(message, FollowReply):
            self._follow(message.records)

    def _take(self, secret: bytes) -> None:
        """All of an epoch's secrets follow from the one that its public key follows from."""
        if EpochSecrets.public_key(secret) == self._link.record.epoch_key:
            self._secret = secret
            self._over.set()

    def _follow(self, records: Iterable[SignedEpochRecord]) -> None:
        for signed in records:
            if parse_record(signed.record).epoch == self._link.record.epoch + 1:
                check_successor(signed, self._link, signatures.verify_batch)
                self._is_overtaken = True
                self._over.set()


def waiting_words(record: EpochRecord) -> str:
    """What a node waits for that has not come to the secret of its epoch."""
    return (
        f"this node's disk is under the key of epoch {record.epoch}, which only running nodes "
        "have: waiting for one of them. If all of them stopped, "
        f"{record.governor_threshold} of {len(record.governors)} governors have to give their "
        "shares: ccp2p net recover --shares"
    )
