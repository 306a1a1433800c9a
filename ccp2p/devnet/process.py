"""One `ccp2p node` process: started, listened to, measured and ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from ccp2p.model.errors import LocalFault

_PATIENCE_S = 120.0
_STOP_TIMEOUT_S = 10.0
_LOG_TAIL_BYTES = 2000


class NodeProcess:
    """A node in `directory`; it is always told to speak JSON, and its stderr goes to a file.

    `first` are arguments of its very first start, which found or enter a network. `program` is the
    module to run, with what comes before the command.
    """

    def __init__(
        self,
        number: int,
        directory: Path,
        arguments: list[str],
        first: Sequence[str] = (),
        program: Sequence[str] = ("ccp2p",),
    ) -> None:
        self.number = number
        self.directory = directory
        self.addresses: list[str] = []
        self.client_addresses: list[str] = []
        self.ticket: str | None = None
        self.node = b""
        self.killed = False
        self.ended = trio.Event()
        self._arguments = arguments
        self._first = first
        self._program = program
        self._events: list[dict[str, Any]] = []
        self._changed = trio.Event()
        self._process: trio.Process | None = None
        self._peak_rss_mb = 0.0

    @property
    def log_path(self) -> Path:
        """Where its stderr goes."""
        return self.directory.with_suffix(".log")

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid if self._process else 0

    async def run(
        self,
        stdin: bytes = b"",
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run it until it ends; cancelled, end it. `stdin` is what it reads there."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", *self._program, "node", "--json"]
        command += ["--data", str(self.directory)]
        with self.log_path.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                [*command, *self._first, *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Whoever starts a network governs it; here that is nobody's own key.
                env=os.environ
                | {
                    "CCP2P_HOME": str(self.directory.parent / "governor"),
                    "CCP2P_NO_DISCOVERY": "1",
                },
            )
        task_status.started()
        try:
            await self._feed(stdin)
            await self._listen()
            await self._process.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._end()
            self.ended.set()

    def again(self) -> "NodeProcess":
        """Another process of this node, for when this one has ended, on what its folder holds."""
        return NodeProcess(self.number, self.directory, self._arguments, program=self._program)

    async def stop(self) -> dict[str, Any]:
        """End it as SIGTERM does; its last report, or an empty one when it gave none."""
        with trio.CancelScope(shield=True):
            await self._end()
            with trio.move_on_after(1):
                while not self.reports("stopped"):
                    await self._changed.wait()
        return next(iter(self.reports("stopped")), {})

    def reports(self, event: str) -> list[dict[str, Any]]:
        """What it reported of `event` so far, in that order."""
        return [report for report in self._events if report["event"] == event]

    async def wait_for(
        self, event: str, matching: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """The node's first matching report of `event`; LocalFault when it ends before."""
        with trio.move_on_after(_PATIENCE_S):
            while True:
                is_over = not self.is_alive
                for report in filter(matching, self.reports(event)):
                    return report
                if is_over and self._process is not None:
                    break
                with trio.move_on_after(0.2):
                    await self._changed.wait()
        raise LocalFault("node", f"node {self.number} reports no {event}: {self.last_words()}")

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None and self.is_alive:
            self.peak_rss_mb()
            self.killed = True
            self._process.kill()

    def peak_rss_mb(self) -> float:
        """The most memory that the process held resident so far, in MB."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self._peak_rss_mb = int(line.split()[1]) * 1024 / 1_000_000
        return self._peak_rss_mb

    def cpu_s(self) -> float:
        """CPU seconds that the process used so far."""
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        with contextlib.suppress(OSError):
            tail = self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
            return tail.splitlines()[-1] if tail else "it said nothing"
        return f"see {self.log_path}"

    async def _feed(self, data: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(trio.BrokenResourceError):
            await self._process.stdin.send_all(data)
        await self._process.stdin.aclose()

    async def _listen(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        pending = b""
        async for data in self._process.stdout:
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._heard(json.loads(line))

    def _heard(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        if event["event"] == "ready":
            self.addresses = event["addresses"]
            self.client_addresses = event["client_addresses"]
            self.ticket = event["ticket"]
            self.node = bytes.fromhex(event["node"])
        self._changed.set()
        self._changed = trio.Event()

    async def _end(self) -> None:
        if self._process is None or not self.is_alive:
            return
        self._process.send_signal(signal.SIGTERM)
        with trio.move_on_after(_STOP_TIMEOUT_S):
            await self._process.wait()
        if self.is_alive:
            self._process.kill()
            await self._process.wait()
