"""Reads rooms back through the client path of each node, and compares what the nodes executed."""

import json
from collections.abc import Iterable
from pathlib import Path

import trio

from ccp2p.client import rooms
from ccp2p.client.connection import NodeConnection
from ccp2p.devnet.replay import Replay
from ccp2p.model.errors import LocalFault

_CATCH_UP_TIMEOUT_S = 60.0
_POLL_S = 0.05


async def wait_for_commit(connections: Iterable[NodeConnection], commit: int) -> int:
    """Wait until every node executed `commit`; the newest commit that all of them executed."""
    reached = []
    for connection in connections:
        with trio.move_on_after(_CATCH_UP_TIMEOUT_S):
            while (status := await connection.status()).commit < commit:
                await trio.sleep(_POLL_S)
            reached.append(status.commit)
            continue
        raise LocalFault("behind", f"seat {connection.node.seat} did not reach commit {commit}")
    return min(reached)


async def state_roots(connections: Iterable[NodeConnection], commit: int) -> list[str]:
    """Each node's state root after `commit`, in hexadecimal."""
    return [(await connection.status(commit)).state_root.hex() for connection in connections]


def empty_folder(folder: Path) -> None:
    """Make the folder, and take out transcripts of an earlier run, whose nodes may be others."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("node-*.jsonl"):
            path.unlink()
    except OSError as error:
        raise LocalFault("transcripts", f"{folder} cannot be written: {error.strerror}") from None


async def write_transcript(replay: Replay, connection: NodeConnection, path: Path) -> None:
    """Every room as one node tells it: one JSON object a line; ASCII, so that a line is a line."""
    with path.open("w", encoding="ascii") as file:
        for room, reader in replay.readers.items():
            async for message in rooms.messages(reader, room, via=connection):
                line = {
                    "room": room,
                    "position": message.position,
                    "member": message.name,
                    "text": message.text,
                }
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
