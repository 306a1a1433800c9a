"""Where a node's CPU time goes: thread time by stage, for the benchmark and for people."""

import time
from types import TracebackType


class Meter:
    """Adds up CPU nanoseconds under names; stages must not nest. `sent_bytes` are to peers."""

    def __init__(self) -> None:
        self.cpu_ns: dict[str, int] = {}
        self.sent_bytes = 0

    def stage(self, name: str) -> "_Stage":
        """A context whose thread's CPU time counts for `name`; no await inside."""
        return _Stage(self.cpu_ns, name)


class _Stage:
    __slots__ = ("_into", "_name", "_started_ns")

    def __init__(self, into: dict[str, int], name: str) -> None:
        self._into = into
        self._name = name
        self._started_ns = 0

    def __enter__(self) -> None:
        self._started_ns = time.thread_time_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        spent_ns = time.thread_time_ns() - self._started_ns
        self._into[self._name] = self._into.get(self._name, 0) + spent_ns
