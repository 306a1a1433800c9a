"""The main job: real chat through four real processes, resumed, searched by a curious host."""

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.client.network import open_network
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.devnet.process import NodeProcess
from ccp2p.model import hashing
from tests.e2e.logs import (
    Run,
    assert_nothing_lost_or_twice,
    messages_of,
    real_log,
    replay,
    write_odd_log,
)
from tests.e2e.secrets import found_in, member_keys, words
from tests.node_log import unexpected_lines

FIELDS = {
    "schema",
    "nodes",
    "tee",
    "events",
    "state_roots",
    "elapsed_s",
    "events_per_s",
    "latency_ms",
    "latency_after_crash_ms",
    "rss_mb",
    "native",
}


@dataclass(frozen=True)
class Replayed:
    """One whole log and one odd log, replayed into `data`."""

    run: Run
    logs: list[Path]
    data: Path


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    folder = tmp_path_factory.mktemp("replay")
    logs = [write_odd_log(folder, "oddities", 8), real_log()]
    data = folder / "data"
    return Replayed(replay(folder, logs, data=data), logs, data)


def test_nothing_is_lost_or_doubled_and_members_speak_in_their_order(replayed: Replayed):
    for log in replayed.logs:
        assert_nothing_lost_or_twice(replayed.run, log)
    total = sum(len(messages_of(log)) for log in replayed.logs)
    assert replayed.run.result["events"] == {
        "submitted": total,
        "committed": total,
        "rejected": 0,
    }


def test_all_nodes_tell_the_same_byte_by_byte(replayed: Replayed):
    transcripts = replayed.run.transcripts
    assert list(transcripts) == [f"node-{number}.jsonl" for number in range(4)]
    assert len(set(transcripts.values())) == 1
    (told,) = set(transcripts.values())
    assert len(told.decode().splitlines()) == told.count(b"\n")  # no U+2028 as it stands
    assert set(replayed.run.lines()[0]) == {"room", "position", "member", "text"}


def test_all_nodes_have_one_state(replayed: Replayed):
    roots = replayed.run.result["state_roots"]
    assert len(roots) == 4
    assert len(set(roots)) == 1
    assert len(bytes.fromhex(roots[0])) == 32


def test_the_result_has_every_field_of_its_schema(replayed: Replayed):
    result = replayed.run.result
    assert set(result) == FIELDS
    assert (result["schema"], result["nodes"], result["tee"]) == ("dev/1", 4, "simulated")
    assert set(result["latency_ms"]) == {"p50", "p90", "p99"}
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    assert result["latency_after_crash_ms"] is None
    assert len(result["rss_mb"]) == 4
    assert all(20 < megabytes < 2000 for megabytes in result["rss_mb"])
    assert isinstance(result["native"], bool)
    committed, elapsed_s = result["events"]["committed"], result["elapsed_s"]
    assert result["events_per_s"] == pytest.approx(committed / elapsed_s, rel=0.02)


def test_hosts_read_no_text_nick_room_or_member_key_in_any_file(replayed: Replayed):
    messages = [message for log in replayed.logs for message in messages_of(log)]
    nicks = {nick for nick, _ in messages}
    seed_file = replayed.data / "members.seed"  # the client's own secret, kept for the next run
    needles = (
        words(text for _, text in messages[::3])
        | words(nicks)
        | words(log.stem for log in replayed.logs)
        | member_keys(seed_file.read_bytes(), nicks)
    )
    assert len(needles) > 500
    assert found_in(replayed.data, needles, besides=[seed_file]) == set()
    planted = set(sorted(needles)[:: len(needles) // 20])
    (replayed.data / "node-0" / "planted").write_bytes(b"..".join(planted))
    try:
        # Some texts hold others, so more than what was planted may be found.
        assert found_in(replayed.data, planted, besides=[seed_file]) == planted
    finally:
        (replayed.data / "node-0" / "planted").unlink()


async def everything_said(network: LocalNetwork, room: str, nick: str) -> list[str]:
    key = SigningKey(hashing.keyed(hashing.SIMULATED, network.member_seed(), nick.encode()))
    async with open_network(network.ticket, allow_simulated=True) as client:
        session = client.session(key)
        await session.open(30_000)
        return [message.text async for message in rooms.messages(session, room)]


async def test_a_stopped_network_resumes_with_all_it_acknowledged(replayed: Replayed):
    said: list[str] = []
    odd = replayed.logs[0]
    with trio.fail_after(250):
        async with run_network(Plan(replayed.data, 4), said.append) as network:
            nick, _ = messages_of(odd)[0]
            texts = await everything_said(network, odd.stem, nick)
            assert texts == [text for _, text in replayed.run.room(odd.stem)]
            for node in network.nodes:
                node.kill()
    assert "resuming" in said[0]


def test_after_all_nodes_were_killed_the_same_log_goes_into_the_same_network(
    replayed: Replayed, tmp_path: Path
):
    odd = replayed.logs[0]
    again = replay(tmp_path, [odd], data=replayed.data)
    assert_nothing_lost_or_twice(again, odd, times=2)
    before = replayed.run.room(odd.stem)
    assert again.room(odd.stem)[: len(before)] == before
    assert len(set(again.transcripts.values())) == 1
    assert len(set(again.result["state_roots"])) == 1


def test_with_a_node_killed_midway_the_others_lose_nothing(tmp_path: Path):
    log = write_odd_log(tmp_path, "crashing", 60)
    run = replay(tmp_path, [log], "--crash", "1", "--in-flight", "32")
    assert_nothing_lost_or_twice(run, log)
    assert list(run.transcripts) == [f"node-{number}.jsonl" for number in range(3)]
    assert len(set(run.transcripts.values())) == 1
    result = run.result
    assert set(result) == FIELDS
    assert result["events"]["committed"] == len(messages_of(log))
    assert result["events"]["rejected"] == 0
    assert len(result["state_roots"]) == 3
    assert len(set(result["state_roots"])) == 1
    assert set(result["latency_after_crash_ms"]) == {"p50", "p90", "p99"}
    assert len(result["rss_mb"]) == 4


def test_what_cannot_be_sent_is_counted_and_costs_the_others_nothing(tmp_path: Path):
    log, empty, long = tmp_path / "mixed.log", tmp_path / "empty.log", "n" * 65
    log.write_text(
        f"[10:00] <{long}> a nick that no room takes\n"
        "[10:01] <ann> one\n"
        f"[10:02] <ann> {'x' * 40_000}\n"
        f"[10:03] <ann> {'y' * 70_000}\n"
        "[10:04] <ann> two\n"
        f"[10:05] <bob> {'z' * 32_768}\n"
    )
    empty.touch()
    run = replay(tmp_path, [log, empty])
    assert run.result["events"] == {"submitted": 6, "committed": 3, "rejected": 3}
    told = run.room("mixed")
    assert [text for nick, text in told if nick == "ann"] == ["one", "two"]
    assert [text for nick, text in told if nick == "bob"] == ["z" * 32_768]
    assert len(set(run.transcripts.values())) == 1


@pytest.mark.parametrize("content", ["", "[10:00] <ann> the only one"])
def test_a_log_of_hardly_anything_is_replayed_over_the_transcripts_of_an_earlier_run(
    tmp_path: Path, content: str
):
    (tmp_path / "transcripts").mkdir()
    (tmp_path / "transcripts" / "node-7.jsonl").write_text("of an earlier run\n")
    log = tmp_path / "short.log"
    log.write_text(content)
    run = replay(tmp_path, [log], "--nodes", "1")
    messages = messages_of(log)
    committed = len(messages)
    assert run.result["events"] == {"submitted": committed, "committed": committed, "rejected": 0}
    assert list(run.transcripts) == ["node-0.jsonl"]
    assert run.room("short") == messages


async def test_a_killed_node_rejoins_by_the_floor_rule_and_catches_up(tmp_path: Path):
    async with (
        trio.open_nursery() as nursery,
        run_network(Plan(tmp_path, 4, coin_length=1 << 16), lambda _: None) as network,
        open_network(network.ticket, allow_simulated=True, every_node=True) as client,
    ):
        ann = client.session(SigningKey(b"a" * 32))
        await ann.open(20_000)
        await ann.submit(rooms.create("lobby", False, "ann"), 20_000)
        victim = network.nodes[3]
        victim.kill()
        for number in range(10):
            await rooms.ask_post(ann, "lobby", f"while you were away {number}", 20_000)
        back = NodeProcess(3, victim.directory, ["--vendor", "sim-d"])
        await nursery.start(back.run)
        floor = await back.wait_for("floor")
        assert (floor["by"], floor["round"] > 3) == ("peers", True)
        assert await rooms.ask_post(ann, "lobby", "welcome back", 20_000) == 10
        await assert_one_state(network, back)
        await terminate(back)
        for node in network.nodes[:3]:
            await terminate(node)


async def assert_one_state(network: LocalNetwork, back: NodeProcess) -> None:
    """The node that was away executes the others' newest commit, with their root."""
    addresses = [*network.ticket.addresses[:3], back.client_addresses[0]]
    roots = set()
    newest = 0
    for address in addresses:
        async with open_network(
            replace(network.ticket, addresses=(address,)), allow_simulated=True
        ) as client:
            connection = client.connections[0]
            newest = newest or (await connection.status()).commit
            with trio.fail_after(30):
                while (status := await connection.status(newest)).commit != newest:
                    await trio.sleep(0.05)
            roots.add(status.state_root)
    assert len(roots) == 1


async def terminate(node: NodeProcess) -> None:
    """SIGTERM ends it cleanly: exit code 0, and nothing was wrong."""
    process = node._process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    with trio.fail_after(30):
        assert await process.wait() == 0
    log = node.log_path.read_text()
    assert "stopped" in log.splitlines()[-1]
    assert not unexpected_lines(log)
    assert "error" not in log
