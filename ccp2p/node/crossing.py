"""Drives a node's passage between two epochs over real peers.

It ends when the next epoch can begin here, or, for a node that is not in it, a while later.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from ccp2p.gossip.messages import Message as Gossiped
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import PeerFault
from ccp2p.node.correspondence import FrameFeed
from ccp2p.node.early_frames import EarlyFrames
from ccp2p.node.messages import (
    FetchBlocks,
    FollowReply,
    PeerMessage,
    SecretReply,
    decode_message,
    encode_message,
)
from ccp2p.node.passage import Crossed, Passage, PassageMessage

_SPEAK_S: Final = 0.5
_SERVE_ON_S: Final = 5.0  # how long a node that left goes on serving
_Long = FollowReply | FetchBlocks | SecretReply  # chains of records, the disk, a coin chain


class Crossing:
    """One crossing. `send(node, frame)` queues without blocking; `blame(node, fault)` is told."""

    def __init__(
        self,
        passage: Passage,
        send: Callable[[bytes, bytes], bool],
        feed: FrameFeed,
        blame: Callable[[bytes, PeerFault], None],
    ) -> None:
        self._passage = passage
        self._send = send
        self._feed = feed
        self._blame = blame
        self._later = EarlyFrames()

    async def run(self) -> Crossed | SignedEpochRecord:
        """Return when the next epoch may begin here; a later one's record when it is over."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak)
            while not (self._passage.is_done or self._passage.overtaken_by):
                await self._next()
            nursery.cancel_scope.cancel()
        if not self._passage.is_done and self._passage.overtaken_by:
            return self._passage.overtaken_by
        self._tell_all()
        self._feed.put_back(self._later.in_order())
        if not self._passage.goes_on:
            with trio.move_on_after(_SERVE_ON_S):
                while True:
                    await self._next()
        return await trio.to_thread.run_sync(self._passage.crossed)

    async def _next(self) -> None:
        node, frame = await anext(self._feed)
        try:
            message = decode_message(frame)
            if isinstance(message, Gossiped):
                return  # it is soon out of date, and would displace what is needed
            if not isinstance(message, PassageMessage):
                self._later.append(node, frame)
                return
            hear = partial(self._passage.hear, node, message)
            is_long = isinstance(message, _Long)
            reply = await trio.to_thread.run_sync(hear) if is_long else hear()
            if reply is not None:
                self._tell(node, reply)
        except PeerFault as fault:
            self._blame(node, fault)

    async def _speak(self) -> None:
        if self._passage.only_listens:  # a question now would meet seats that have most to do
            await trio.sleep(_SPEAK_S)
        while True:
            self._tell_all()
            await trio.sleep(_SPEAK_S)

    def _tell_all(self) -> None:
        for node, message in self._passage.words():
            self._tell(node, message)

    def _tell(self, node: bytes, message: PeerMessage) -> None:
        self._send(node, encode_message(message))
