"""Hosts with addresses of their own on a local network of our own: namespaces, veth pairs, bridges.

Two switches with a cable between them, so that pulling it divides the hosts without any of them
noticing a link that is down.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 120  # a machine may be busy; only a test that fails waits so long
_VENDORS = ("sim-a", "sim-b", "sim-c", "sim-d")
_SWITCHES = ("east", "west")


def missing() -> str:
    """Why namespaces cannot be had here; empty where they can."""
    if shutil.which("ip") is None:
        return "there is no `ip` (iproute2)"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    name = f"ccp2p-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return made.stderr.decode().strip()
    _ip("netns", "del", name)
    return ""


@dataclass
class Node:
    """A running `ccp2p node`, and what it reported."""

    process: subprocess.Popen[str]
    log: Path
    started: float
    reports: list[dict[str, Any]] = field(default_factory=list)
    _arrived: "queue.Queue[dict[str, Any] | None]" = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arrived.put({**json.loads(line), "after_s": time.monotonic() - self.started})
        self._arrived.put(None)

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first report of `event` with these fields, also one that came before."""
        deadline = time.monotonic() + PATIENCE_S
        seen = 0
        while True:
            for report in self.reports[seen:]:
                seen += 1
                if report["event"] == event and fields.items() <= report.items():
                    return report
            try:
                report = self._arrived.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} in time: {self.log.read_text()}") from None
            assert report is not None, f"the node ended: {self.log.read_text()}"
            self.reports.append(report)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)


@dataclass
class Host:
    """A machine: an address, a home for keys, perhaps a node."""

    number: int
    namespace: str
    address: str
    folder: Path
    switch: str
    node: Node | None = None

    def start(self, *arguments: str) -> Node:
        """Run `ccp2p node` in the host's own home."""
        log = self.folder / "node.log"
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [*self._command("node", "--json"), *arguments],
                env=self._environment() | {"PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self.node = Node(process, log, time.monotonic())
        return self.node

    def begin(self, *arguments: str) -> Node:
        """Run a node on a machine that has none yet."""
        return self.start("--vendor", _VENDORS[self.number % len(_VENDORS)], *arguments)

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """A command of whoever sits at this host."""
        done = subprocess.run(
            self._command(*arguments),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def json(self, *arguments: str) -> dict[str, Any]:
        """A command's JSON object."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def ip(self, *arguments: str) -> None:
        """`ip` inside the host."""
        _ip("-n", self.namespace, *arguments)

    def disappear(self) -> None:
        """Pull the plug: no packet leaves any more, and the process dies."""
        self.ip("link", "set", "eth0", "down")
        assert self.node is not None
        self.node.end(signal.SIGKILL)

    def _command(self, *arguments: str) -> list[str]:
        inside = ["ip", "netns", "exec", self.namespace]
        return [*inside, sys.executable, "-m", "ccp2p", *arguments]

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k != "CCP2P_NO_DISCOVERY"}
        return kept | {"CCP2P_HOME": str(self.folder), "CCP2P_ALLOW_SIMULATED": "1"}


@dataclass
class Lan:
    """The hosts and the cable between the switches."""

    prefix: str
    hosts: list[Host]

    def cable(self, state: str) -> None:
        """Pull ("down") or plug in ("up") what joins the two switches."""
        _ip("-n", self.prefix, "link", "set", "cable-east", state)


@contextmanager
def lan(folder: Path, east: int, west: int = 0) -> Iterator[Lan]:
    """`east` + `west` hosts at two switches that are joined by a cable."""
    prefix = f"ccp2p-{os.getpid()}"
    built = Lan(prefix, [])
    _ip("netns", "add", prefix)
    try:
        for switch in _SWITCHES:
            _ip("-n", prefix, "link", "add", switch, "type", "bridge")
            _ip("-n", prefix, "link", "set", switch, "up")
        cable = ["type", "veth", "peer", "name", "cable-west"]
        _ip("-n", prefix, "link", "add", "cable-east", *cable)
        for switch in _SWITCHES:
            _ip("-n", prefix, "link", "set", f"cable-{switch}", "master", switch, "up")
        for number in range(east + west):
            built.hosts.append(_host(prefix, folder, number, _SWITCHES[number >= east]))
        yield built
    finally:
        for host in built.hosts:
            if host.node is not None:
                host.node.end(signal.SIGKILL)
            _ip("netns", "del", host.namespace)
        _ip("netns", "del", prefix)


def _host(prefix: str, folder: Path, number: int, switch: str) -> Host:
    home = folder / f"host-{number}"
    home.mkdir()
    host = Host(number, f"{prefix}-{number}", f"10.77.0.{number + 1}", home, switch)
    _ip("netns", "add", host.namespace)
    peer = ["type", "veth", "peer", "name", "eth0", "netns", host.namespace]
    _ip("-n", prefix, "link", "add", f"port-{number}", *peer)
    _ip("-n", prefix, "link", "set", f"port-{number}", "master", switch, "up")
    host.ip("link", "set", "lo", "up")
    host.ip("addr", "add", f"{host.address}/24", "dev", "eth0")
    host.ip("link", "set", "eth0", "up")
    return host


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
