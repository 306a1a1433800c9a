"""What a node does of itself now and then in an epoch, whatever its peers say.

It says what is its own to say about the committee's change, gathers secrets that it lacks, and
tells its operator when the epoch stands still and which observers wait for a seat in vain.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from ccp2p.membership.roster import Roster
from ccp2p.node.core import NodeCore
from ccp2p.node.desk import Desk
from ccp2p.node.executor import Executor
from ccp2p.node.messages import SecretRequest, encode_message
from ccp2p.node.patience import WAITING, Patience
from ccp2p.node.steward import Steward
from ccp2p.storage.store import Batch

_log = structlog.get_logger()

_TEND_S: Final = 0.5  # between two looks at a roster in which nothing happens
_LEAST_S: Final = 0.1  # and in any: a flood of requests changes it with each commit


class Tending:
    """One node in one epoch.

    `send(node, frame)` says whether the node is connected; `another()` is anybody who is.
    `submit` sees our own membership events into a block.
    """

    def __init__(
        self,
        *,
        core: NodeCore,
        executor: Executor,
        steward: Steward,
        desk: Desk,
        patience: Patience,
        write: Callable[[Batch], Awaitable[None]],
        send: Callable[[bytes, bytes], bool],
        another: Callable[[], bytes | None],
        submit: Callable[[list[bytes]], None],
        clock: Callable[[], int],
    ) -> None:
        self._core = core
        self._executor = executor
        self._steward = steward
        self._desk = desk
        self._patience = patience
        self._write = write
        self._send = send
        self._another = another
        self._submit = submit
        self._clock = clock
        self._seen: Roster | None = None
        self._news = trio.Event()
        self._kept_out: dict[bytes, str] = {}

    async def run(self) -> None:
        """Tend until cancelled."""
        while True:
            looked_s = trio.current_time()
            with trio.move_on_after(_TEND_S):
                await self._news.wait()
            await trio.sleep_until(looked_s + _LEAST_S)
            self._news = trio.Event()
            self._steward.must_close = self._core.coin_runs_out
            keeper = self._executor.keeper
            roster, at = keeper.roster, keeper.at
            acts = await trio.to_thread.run_sync(self._steward.act, roster, at, self._clock())
            if roster is not self._seen:
                self._seen = roster
                self._say_who_is_kept_out(await trio.to_thread.run_sync(keeper.kept_out))
            if acts.meta:
                await self._write(Batch(epoch=self._core.committee.epoch, meta=acts.meta))
            if acts.events:
                self._submit(acts.events)
            for proposal in self._steward.lacking(roster):
                self._ask_for_secret(roster, proposal.epoch_key)
            self._desk.sweep()
            self._look()

    def executed(self) -> None:
        """Commits were executed: what they changed in the roster is looked at without delay."""
        if self._executor.keeper.roster is not self._seen:
            self._news.set()

    def _look(self) -> None:
        core = self._core
        now_ms = int(trio.current_time() * 1000)
        if self._patience.look(core.consensus.round, core.starting, now_ms):
            last = core.consensus.last_commit
            commit = last.index if last else 0
            waiting = WAITING[self._patience.waits]
            _log.warning(waiting, epoch=core.committee.epoch, commit=commit)

    def _say_who_is_kept_out(self, kept_out: dict[bytes, str]) -> None:
        for node, reason in kept_out.items():
            if reason != self._kept_out.get(node):
                _log.warning("no seat for an observer", node=node.hex()[:16], reason=reason)
        self._kept_out = kept_out

    def _ask_for_secret(self, roster: Roster, epoch_key: bytes) -> None:
        """Ask all who acked it, or, where none of them is connected, anybody."""
        change = roster.change
        if change is not None:
            frame = encode_message(SecretRequest(epoch_key))
            acked = [one.node for one, ack in zip(change.members, change.acks, strict=True) if ack]
            told = [self._send(node, frame) for node in acked]
            if not any(told) and (other := self._another()) is not None:
                self._send(other, frame)
