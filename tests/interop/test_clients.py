"""Members in other languages: they check the vectors, then a real node, and talk to Python's."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio

from ccp2p.client import rooms
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.session import MemberSession, require_executed
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.model.ticket import Ticket, format_ticket
from tests.interop import make_vectors, programs

pytestmark = pytest.mark.timeout(900)  # the first run compiles go-libp2p

PATIENCE_S = 120.0
TIMEOUT_MS = 60_000
PAUSE_S = 11  # longer than a node keeps a connection without a stream, and than libp2p's pings
LONG = "a long message" * 2000  # ten of these fill Yamux's windows both ways, and several pages
COMMANDS: dict[str, Callable[[], dict[str, list[str]]]] = {
    "javascript": programs.javascript,
    "go": programs.go,
}
# No library for AEGIS-256 in Go could be had, so Go talks in networks of the other cipher.
CIPHERS = {"javascript": "aegis256", "go": "xchacha20"}


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def commands(language: str) -> dict[str, list[str]]:
    try:
        return COMMANDS[language]()
    except programs.Missing as reason:
        pytest.skip(f"{language}: {reason}")


async def run(command: list[str], task: object = None) -> tuple[int, str, dict[str, object]]:
    """Exit code, stderr, and the JSON object of a program that was given `task`."""
    with trio.fail_after(PATIENCE_S):
        result = await trio.run_process(
            command,
            stdin=json.dumps(task).encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    report = programs.parsed(result.stdout) if result.stdout else {}
    return result.returncode, result.stderr.decode(), report


async def test_the_vectors_are_recomputed(language: str, commands: dict[str, list[str]]):
    code, said, report = await run([*commands["vectors"], str(make_vectors.FILE)])
    assert code == 0, said
    assert int(str(report["checked"])) > 100
    assert report["skipped"] == ([] if language == "javascript" else ["aegis256"])


async def test_members_talk_over_tcp_and_websocket(
    language: str, commands: dict[str, list[str]], tmp_path: Path
):
    plan = Plan(tmp_path, 2, aead=CIPHERS[language], coin_length=1 << 16)
    async with (
        run_network(plan, lambda _: None) as network,
        open_network(network.ticket, allow_simulated=True) as client,
        trio.open_nursery() as nursery,
    ):
        for carrier in ("tcp", "ws"):
            nursery.start_soon(_converse, commands["talk"], network, client, carrier)
        nursery.start_soon(_refuse, commands["talk"], network.ticket)


async def _converse(
    command: list[str], network: LocalNetwork, client: NetworkClient, carrier: str
) -> None:
    """Python opens a room, the program answers in it, and both read the same."""
    session = await _greet(client, carrier)
    texts = [f"Hello over {carrier}: \u00fc\U0001f980", *[LONG] * 10]
    task = {
        "ticket": format_ticket(network.ticket),
        "carrier": carrier,
        "room": carrier,
        "name": "guest",
        "texts": texts,
        "pause_s": PAUSE_S,
    }
    code, said, report = await run(command, task)
    assert code == 0, said
    assert f"/{carrier}/" in str(report["address"])
    assert report["network"] == network.ticket.network.hex()
    assert report["node"] in [node.node.hex() for node in network.nodes]
    assert report["aead"] == client.verified.genesis.parameters.aead
    expected = [("host", "Hello from Python"), *[("guest", text) for text in texts]]
    await session.barrier(TIMEOUT_MS)
    found = [m async for m in rooms.messages(session, carrier)]
    assert [(m.name, m.text) for m in found] == expected
    wanted = [{"position": m.position, "name": m.name, "text": m.text} for m in found]
    assert report["messages"] == wanted


async def _greet(client: NetworkClient, room: str) -> MemberSession:
    session = client.session(SigningKey.generate())
    await session.open(TIMEOUT_MS)
    require_executed(await session.submit(rooms.create(room, False, "host"), TIMEOUT_MS))
    await rooms.ask_post(session, room, "Hello from Python", TIMEOUT_MS)
    return session


async def _refuse(command: list[str], ticket: Ticket) -> None:
    """A node of another network, one without the record that is known, a ticket for nobody."""
    lies = (
        ({"network": b"x" * 32}, "no-network"),
        ({"record": b"x" * 32}, "another history"),
        ({"secret": b"x" * 16}, "not-invited"),
    )
    for lie, reason in lies:
        false = format_ticket(msgspec.structs.replace(ticket, **lie))
        task = {"ticket": false, "carrier": "tcp", "room": "tcp", "name": "liar", "texts": []}
        code, said, report = await run(command, task)
        assert (code, report) == (1, {})
        assert reason in said
