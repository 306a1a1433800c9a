"""Each exit code of the command line, by a real run that earns it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

import ccp2p
from ccp2p.model.ticket import Ticket, format_ticket, parse_ticket
from ccp2p.simulator import campaign
from tests.cli.conftest import Member, NodeProcess, start_node
from tests.cli.test_rooms import IN_A_SCRIPTS_BACKGROUND
from tests.node.stage import network

PROGRAM = str(Path(ccp2p.__file__).parents[1])


@pytest.fixture(scope="module")
def half_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ticket, NodeProcess]]:
    """One of two nodes: it answers members, and commits nothing while the other is away."""
    directory = tmp_path_factory.mktemp("half")

    async def found() -> Ticket:
        async with network(directory, 2) as stage:
            return stage.ticket()

    ticket = trio.run(found)
    node = start_node(directory / "node-0")
    yield ticket, node
    node.stop()


def ticket_with(ticket: str, **changes: object) -> str:
    return format_ticket(msgspec.structs.replace(parse_ticket(ticket), **changes))


def closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def test_0_when_all_is_well(ann: Member):
    assert ann.json("net", "show")["name"] == "home"


def test_0_when_a_node_in_a_scripts_background_ends_that_ctrl_c_was_not_for(tmp_path: Path):
    command = [sys.executable, "-m", "ccp2p", "node", "--json", "--no-discovery", "--data", "node"]
    node = subprocess.Popen(
        [*IN_A_SCRIPTS_BACKGROUND, *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PROGRAM},
        stdout=subprocess.PIPE,
    )
    try:
        assert node.stdout is not None
        assert b'"ready"' in node.stdout.readline()
        node.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            node.wait(timeout=1)
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=30) == 0
    finally:
        node.kill()
        node.wait()


@pytest.mark.parametrize("error", ["KeyError(said)", "ExceptionGroup(said, [KeyError(said)])"])
def test_1_when_a_node_fails_and_nobody_reads_what_its_members_said(tmp_path: Path, error: str):
    program = f"""
from ccp2p.cli import main
from ccp2p.node.node import Node

class Left:
    def __del__(self):
        raise KeyError("noon, at the latest")

async def fail(node):
    said = "meet at noon"
    Left()
    raise {error}

Node.run = fail
main(["node", "--no-discovery", "--name", "home", "--data", "node"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PROGRAM},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert b"error: it failed: KeyError" in ended.stderr
    assert b"noon" not in ended.stderr + ended.stdout


def test_1_when_a_key_is_not_there(tmp_path: Path, kv_node: NodeProcess):
    member = Member(tmp_path)
    member.run("net", "join", kv_node.ticket)
    assert "no such key: nothing" in member.run("kv", "get", "nothing", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "No such command"),
        (["send", "lobby"], "Missing argument"),
        (["net", "join", "hello"], "starts with ccp2p1"),
        (["net", "join", "@no-such-file"], "no-such-file cannot be read"),
        (["read", "lobby"], "net join TICKET"),
        (["send", "lobby", "caf\udce9"], "it is not UTF-8"),
        (["room", "join", "lobby", "--as", "caf\udce9"], "it is not UTF-8"),
        (["kv", "get", "caf\udce9"], "it is not UTF-8"),
        (["kv", "put", "", "x"], "it has 1 to 256 bytes, not 0"),
        (["kv", "get", "\u00e9" * 129], "it has 1 to 256 bytes, not 258"),
        (["room", "create", ""], "it has 1 to 64 characters, not 0"),
        (["room", "join", "lobby", "--as", "n" * 65], "it has 1 to 64 characters, not 65"),
        (["send", "r" * 65, "hello"], "it has 1 to 64 characters, not 65"),
        (["node", "--policy", "latin.toml"], "latin.toml holds no text"),
        (["dev", "--crash", "2"], "goes on without 1 nodes at most"),
        (["dev", "--nodes", "3", "--crash", "1"], "goes on without 0 nodes at most"),
        (["dev", "--replay", "missing.log"], "does not exist"),
        (["dev", "--replay", "."], "cannot be read"),
        (["node", "--join", "hello", "--data", "unused"], "starts with ccp2p1"),
        (["node", "--leave", "--data", "unused"], "unused holds none"),
        (["node", "--no-discovery", "--network", "foo", "--data", "unused"], "unused holds none"),
        (
            ["node", "--no-discovery", "--committee", "4", "--data", "unused"],
            "only a mesh draws its committee",
        ),
    ],
)
def test_2_when_it_was_asked_wrongly(
    stranger: Member, tmp_path: Path, monkeypatch, arguments: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    assert said in stranger.run(*arguments, code=2).stderr


@pytest.mark.parametrize("command", ["inspect member", "net list --json", "room list", "net show"])
def test_1_when_stdout_cannot_be_written(ann: Member, command: str):
    ann.run("room", "create", f"full {command}")
    for redirection, reason in ((">/dev/full", "No space left on device"), (">&-", "it is closed")):
        ended = subprocess.run(
            ["sh", "-c", f'exec "$0" -m ccp2p {command} {redirection}', sys.executable],
            env=os.environ | ann.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == f"error: stdout cannot be written: {reason}"


def test_2_for_a_forged_ticket(stranger: Member, rooms_node: NodeProcess):
    text = rooms_node.ticket
    altered = text[:40] + ("a" if text[40] != "a" else "b") + text[41:]
    for forged in (text[:-8], altered):
        assert "checksum" in stranger.run("net", "join", forged, code=2).stderr


def test_2_for_a_ticket_of_the_other_role(
    stranger: Member, rooms_node: NodeProcess, tmp_path: Path
):
    for_node = ticket_with(rooms_node.ticket, role="node")
    result = stranger.run("net", "join", for_node, "--as", "x", code=2)
    assert "--as goes with a member ticket" in result.stderr
    folder = tmp_path / "node"
    result = stranger.run("node", "--data", str(folder), "--join", rooms_node.ticket, code=2)
    assert "member's ticket" in result.stderr
    assert not (folder / "networks").exists()


def test_3_when_nobody_answers(stranger: Member, rooms_node: NodeProcess):
    (address, *_) = parse_ticket(rooms_node.ticket).addresses
    parts = address.split("/")
    parts[4] = str(closed_port())
    dead = ticket_with(rooms_node.ticket, addresses=("/".join(parts),))
    assert "error" in stranger.run("net", "join", dead, code=3).stderr


def test_4_for_a_simulated_tee_unless_it_is_allowed(stranger: Member, rooms_node: NodeProcess):
    del stranger.environment["CCP2P_ALLOW_SIMULATED"]
    result = stranger.run("net", "join", rooms_node.ticket, code=4)
    assert "--allow-simulated" in result.stderr
    assert stranger.json("net", "list")["networks"] == []
    assert (
        "NOT CONFIDENTIAL"
        in stranger.run("net", "join", "--allow-simulated", rooms_node.ticket).stderr
    )
    assert "--allow-simulated" in stranger.run("net", "show", code=4).stderr


def test_3_for_a_ticket_that_leads_to_a_node_of_another_network(
    stranger: Member, rooms_node: NodeProcess
):
    forged = ticket_with(rooms_node.ticket, network=b"x" * 32)
    assert "not of the network asked for" in stranger.run("net", "join", forged, code=3).stderr


def test_4_for_two_records_of_one_epoch(stranger: Member, rooms_node: NodeProcess):
    forged = ticket_with(rooms_node.ticket, record=b"r" * 32)
    assert "two records for one epoch" in stranger.run("net", "join", forged, code=4).stderr


def test_5_when_nothing_commits_in_time(stranger: Member, half_network):
    ticket, node = half_network
    text = node.ticket or format_ticket(ticket)
    result = stranger.run("net", "join", text, "--timeout", "1", code=5)
    assert "not committed within 1 s" in result.stderr


def test_6_when_the_network_refuses(ann: Member):
    assert "no-such-room" in ann.run("send", "no such room", "hello", code=6).stderr
    assert "no-such-room" in ann.run("read", "no such room", code=6).stderr


def test_6_for_a_stranger_with_a_forged_invite(stranger: Member, rooms_node: NodeProcess):
    forged = ticket_with(rooms_node.ticket, secret=b"forged")
    assert "invite" in stranger.run("net", "join", forged, code=6).stderr
    assert stranger.json("net", "list")["networks"] == []


def test_130_when_a_command_without_a_network_is_interrupted(stranger: Member, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "simulate", interrupted)
    done = stranger.run("sim", "--seed", "0", "--scenario", "calm", code=130)
    assert "Aborted" not in done.stderr


def test_exit_codes_and_streams_are_the_same_in_a_process_of_its_own(ann: Member):
    listed = ann.process("net", "list", "--json")
    assert (listed.returncode, len(listed.stdout.splitlines()), listed.stderr) == (0, 1, b"")
    refused = ann.process("send", "no such room", "hello")
    assert (refused.returncode, refused.stdout) == (6, b"")
    assert b"Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith(b"error: ")
