"""The guided conversation of `ccp2p dev`: two members talk, and what a host sees of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ccp2p.cli import console

if TYPE_CHECKING:
    from ccp2p.client.network import NetworkClient
    from ccp2p.client.session import MemberSession
    from ccp2p.devnet.network import LocalNetwork

_TIMEOUT_MS = 20_000
_ROOM = "garden"
_LINES = (
    ("alice", "Nobody but the members and the TEEs can read this."),
    ("bob", "Then what does my host see?"),
    ("alice", "That somebody sent some kilobyte, some time."),
)


async def tour(
    network: "LocalNetwork", client: "NetworkClient", show: Callable[[str], None]
) -> None:
    """Say a few lines through different nodes, read them from another, and show the disk."""
    from ccp2p.client import rooms
    from ccp2p.client.session import require_executed
    from ccp2p.crypto.signatures import SigningKey
    from ccp2p.devnet.transcripts import wait_for_commit
    from ccp2p.model import hashing

    verified = client.verified
    console.say(
        f"\nThe client verified {len(client.connections)} nodes: evidence over a fresh nonce, and "
        f"epoch record 0 signed by all {len(verified.record.seats)}."
    )
    sessions: dict[str, MemberSession] = {}
    for index, name in enumerate(("alice", "bob")):
        seed = hashing.keyed(hashing.SIMULATED, network.member_seed(), name.encode())
        sessions[name] = client.session(SigningKey(seed), prefer=index)
        await sessions[name].open(_TIMEOUT_MS)
    created = await sessions["alice"].submit(rooms.create(_ROOM, False, "alice"), _TIMEOUT_MS)
    if created.body != b"room-exists":
        require_executed(created)
    await rooms.ask_join(sessions["bob"], _ROOM, "bob", _TIMEOUT_MS)
    console.say(f"alice created the room {_ROOM!r} and bob joined it. They talk:\n")
    start = 0
    for name, text in _LINES:
        position = await rooms.ask_post(sessions[name], _ROOM, text, _TIMEOUT_MS)
        start = position if name == "alice" and text == _LINES[0][1] else start
    newest = max([(await connection.status()).commit for connection in client.live()])
    await wait_for_commit(client.live(), newest)
    reader = client.connections[-1]
    async for message in rooms.messages(sessions["bob"], _ROOM, start, via=reader):
        show(f"  {message.position:3} <{message.name}> {message.text}")
    console.say(f"\n(read back from seat {reader.node.seat}, which executed the same history)")
    _show_host(network)


def _show_host(network: "LocalNetwork") -> None:
    """A slice of the database file as the host has it, and a search for what was said."""
    path = next((network.folder / "node-0" / "networks").glob("*/data.mdb"))
    data = path.read_bytes()
    start = next(
        (i for i in range(0, len(data) - 64, 4096) if data[i + 2048 : i + 2112].strip(b"\0")), 0
    )
    console.say(f"\nWhat the host of node 0 sees: {path.name}, {len(data)} bytes, such as")
    for offset in range(2048, 2112, 32):
        console.say(f"  {data[start + offset : start + offset + 32].hex(' ', 4)}")
    for word in (_ROOM, "alice", _LINES[0][1][:12]):
        found = "FOUND" if word.encode() in data else "not there"
        console.say(f"  searching it for {word!r}: {found}")
