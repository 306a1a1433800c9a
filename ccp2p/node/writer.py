"""Group commit: whatever asks for the disk while a transaction runs shares the next one."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from ccp2p.model.errors import LocalFault
from ccp2p.storage.store import Batch


@dataclass(slots=True, eq=False)
class _Request:
    batch: Batch
    done: bool = False
    error: LocalFault | None = None


class GroupWriter:
    """Writes batches durably, in the order asked for. `write_batch` blocks; it runs in a thread."""

    def __init__(self, write_batch: Callable[[Batch], None]) -> None:
        self._write_batch = write_batch
        self._waiting: list[_Request] = []
        self._turn = trio.Lock()

    async def write(self, batch: Batch) -> None:
        """Return once `batch` is on disk. LocalFault (such as `disk-full`) when it is not."""
        request = _Request(batch)
        self._waiting.append(request)
        async with self._turn:
            if not request.done:
                await self._write_waiting()
        if request.error is not None:
            raise request.error

    async def _write_waiting(self) -> None:
        requests, self._waiting = self._waiting, []
        error = None
        try:
            merged = _merge([request.batch for request in requests])
            await trio.to_thread.run_sync(self._write_batch, merged)
        except LocalFault as fault:
            error = fault
        for request in requests:
            request.done, request.error = True, error


def _merge(batches: list[Batch]) -> Batch:
    """One batch of the same epoch with the effect of all, later ones winning."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        epoch=batches[0].epoch,
        blocks=[block for batch in batches for block in batch.blocks],
        commits=[commit for batch in batches for commit in batch.commits],
        buckets={k: v for batch in batches for k, v in batch.buckets.items()},
        meta={k: v for batch in batches for k, v in batch.meta.items()},
    )
