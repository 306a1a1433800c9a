"""Chat logs to replay, read here by rules of their own: what transcripts are measured against."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

REAL_LOG = Path(__file__).resolve().parents[3] / "shared" / "data" / "irc" / "2005-07-06_14.log"
_ODD_LINES = [
    b"[10:00] <ann> plain",
    b"[10:00] <Ann> nicks are case-sensitive",
    b"[10:01] <ann> ",
    b"[10:01] <ann>",
    b"[10:02] <bob|away> \xff\xfe bad bytes",
    b"=== ann is now known as ann2",
    b"[10:02] * ann waves",
    b"[10:03] <bob|away> a carriage return ends no line\rit goes on\x0b\x0c",
    "[10:03] <zoë> line \u2028 and paragraph \u2029 separators, \x85 too".encode(),
    b"[10:04] <ann> [10:04] <bob|away> quoting",
    b"[10:05] <e\x00ve> a zero byte in a nick",
    b"  [10:06] <ann> not at the start of its line",
    b"[10:06] <ann>  two spaces  ",
    b"",
]


def write_odd_log(folder: Path, name: str, repeats: int) -> Path:
    """A log of every oddity that a line may have, many times over."""
    lines = [
        line + b" #%d" % number if line.startswith(b"[") and len(line) > 20 else line
        for number in range(repeats)
        for line in _ODD_LINES
    ]
    path = folder / f"{name}.log"
    path.write_bytes(b"\n".join(lines))
    return path


def real_log() -> Path:
    """A log of a public channel, from the folder beside the project."""
    if not REAL_LOG.exists():
        pytest.skip("the chat logs (../shared/data/irc) are not here")
    return REAL_LOG


def messages_of(log: Path) -> list[tuple[str, str]]:
    """(nick, text) of every message of a log."""
    found = []
    for line in log.read_bytes().decode("utf-8", "replace").split("\n"):
        match = re.match(r"\[[0-9]{2}:[0-9]{2}\] <([^>]+)> ", line)
        if match:
            found.append((match[1], line[match.end() :]))
    return found


@dataclass(frozen=True)
class Run:
    """A finished `ccp2p dev`: its one JSON object, and each node's transcript."""

    result: dict[str, object]
    transcripts: dict[str, bytes]

    def lines(self) -> list[dict[str, object]]:
        """The transcript, of whichever node: they are compared elsewhere."""
        return [json.loads(line) for line in next(iter(self.transcripts.values())).splitlines()]

    def room(self, name: str) -> list[tuple[str, str]]:
        """(nick, text) of a room, in order of position; positions count from 0 without a gap."""
        lines = [line for line in self.lines() if line["room"] == name]
        assert [line["position"] for line in lines] == list(range(len(lines)))
        return [(line["member"], line["text"]) for line in lines]


def replay(folder: Path, logs: list[Path], *options: str, data: Path | None = None) -> Run:
    """Run `ccp2p dev --replay` as a process; it has to end with 0 and one object on stdout."""
    transcripts = folder / "transcripts"
    command = [sys.executable, "-m", "ccp2p", "dev", "--nodes", "4", "--json", *options]
    command += ["--transcripts", str(transcripts)]
    command += ["--data", str(data)] if data else []
    for log in logs:
        command += ["--replay", str(log)]
    environment = os.environ | {"CCP2P_HOME": str(folder / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"\n") == 1
    files = sorted(transcripts.glob("*"))
    return Run(json.loads(done.stdout), {path.name: path.read_bytes() for path in files})


def assert_nothing_lost_or_twice(run: Run, log: Path, times: int = 1) -> None:
    """A room holds exactly its log's messages, each member's in file order."""
    sent, told = messages_of(log) * times, run.room(log.stem)
    assert len(told) == len(sent)
    assert _by_nick(told) == _by_nick(sent)


def _by_nick(messages: list[tuple[str, str]]) -> dict[str, list[str]]:
    by_nick: dict[str, list[str]] = defaultdict(list)
    for nick, text in messages:
        by_nick[nick].append(text)
    return by_nick
