import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ccp2p.model.ticket import parse_ticket
from tests.cli.conftest import Member, NodeProcess, start_node


def test_a_ticket_is_taken_from_stdin_or_a_file(
    stranger: Member, rooms_node: NodeProcess, tmp_path: Path
):
    stranger.run("net", "join", "-", stdin=rooms_node.ticket + "\n")
    (joined,) = stranger.json("net", "list")["networks"]
    assert joined["name"] == "home"
    file = tmp_path / "ticket"
    file.write_text(rooms_node.ticket)
    assert stranger.json("net", "join", f"@{file}")["name"] == "home"
    assert len(stranger.json("net", "list")["networks"]) == 1


def test_a_file_that_is_no_text_is_a_usage_error(stranger: Member, tmp_path: Path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    stranger.run("net", "join", f"@{tmp_path / 'binary'}", code=2)


def test_networks_are_told_apart_by_local_names(
    stranger: Member, rooms_node: NodeProcess, kv_node: NodeProcess
):
    stranger.run("net", "join", rooms_node.ticket)
    joined = stranger.run("net", "join", kv_node.ticket, "--as", "db")
    assert "kv get greeting --network db\n" in joined.stderr
    assert "--network" in stranger.run("net", "show", code=2).stderr
    for name, node in (("db", kv_node), ("home", rooms_node)):
        shown = stranger.json("net", "show", "--network", name)
        assert shown["id"] == parse_ticket(node.ticket).network.hex()
    assert (
        "no network is called 'x'" in stranger.run("net", "show", "--network", "x", code=2).stderr
    )
    taken = stranger.run("net", "join", kv_node.ticket, "--as", "home", code=2)
    assert "another network" in taken.stderr


def test_show_says_what_a_network_is(ann: Member, rooms_node: NodeProcess):
    shown = ann.json("net", "show")
    assert shown["schema"] == "net/1"
    assert shown["id"] == parse_ticket(rooms_node.ticket).network.hex()
    assert [seat["tee"] for seat in shown["committee"]] == ["simulated"]
    told = ann.run("net", "show")
    assert "NOT CONFIDENTIAL" in told.stderr
    lines = [line.split() for line in told.stdout.splitlines()]
    assert ["id", shown["id"]] in lines
    assert ["policy", "digest", shown["policy_digest"]] in lines


def test_every_command_says_once_that_tees_are_simulated(ann: Member):
    for command in (
        ("room", "create", "glass"),
        ("send", "glass", "hello"),
        ("read", "glass"),
        ("room", "list"),
        ("net", "show"),
        ("net", "peers"),
        ("net", "policy"),
        ("net", "proposals"),
        ("net", "show", "--json"),
    ):
        assert ann.run(*command).stderr.count("NOT CONFIDENTIAL") == 1, command


def test_verify_network_asks_every_node_with_a_fresh_nonce(ann: Member):
    shown = ann.json("verify", "network")
    (node,) = shown["nodes"]
    assert (node["verified"], node["tee"], shown["simulated"]) == (True, "simulated", True)
    assert "NOT CONFIDENTIAL" in ann.run("verify", "network").stderr


def test_inspecting_a_ticket_shows_what_it_pins_and_keeps_its_secret(
    stranger: Member, rooms_node: NodeProcess
):
    shown = stranger.json("inspect", "ticket", rooms_node.ticket)
    ticket = parse_ticket(rooms_node.ticket)
    assert (shown["role"], shown["id"]) == ("member", ticket.network.hex())
    for result in (
        stranger.run("inspect", "ticket", rooms_node.ticket),
        stranger.run("inspect", "ticket", "-", stdin=rooms_node.ticket),
    ):
        assert ticket.secret.hex() not in result.output


def test_inspecting_a_folder_counts_records_and_reads_none(
    stranger: Member, rooms_node: NodeProcess
):
    (network,) = stranger.json("inspect", "folder", str(rooms_node.folder))["networks"]
    assert network["databases"]["log"]["records"] > 0


def test_only_the_owner_reads_keys_and_tickets(ann: Member):
    ann.run("room", "list")
    files = [p for p in Path(ann.environment["CCP2P_HOME"]).rglob("*") if p.is_file()]
    assert len(files) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


@pytest.mark.parametrize("name", ["../escape", "", "a/b", ".hidden", "x" * 65])
def test_a_local_name_never_leaves_the_folder(stranger: Member, rooms_node: NodeProcess, name: str):
    stranger.run("net", "join", rooms_node.ticket)
    for arguments in (["--network", "home", "--member", name],):
        done = stranger.run("room", "list", *arguments, code=2 if name else 0)
        assert ("a local name has 1 to 64 letters" in done.stderr) == bool(name)


def test_kv_commands(tmp_path: Path, kv_node: NodeProcess):
    member = Member(tmp_path)
    member.run("net", "join", kv_node.ticket)
    assert member.json("verify", "network")["aead"] == "xchacha20"
    member.run("kv", "put", "fruit/apple", "red")
    member.run("kv", "put", "fruit/pear", "-", stdin="green")
    assert member.run("kv", "get", "fruit/apple").stdout == "red\n"
    assert member.json("kv", "get", "fruit/pear")["value"] == "green"
    assert member.run("kv", "ls", "fruit/").stdout.split() == ["fruit/apple", "fruit/pear"]
    assert member.json("kv", "ls")["keys"] == ["fruit/apple", "fruit/pear"]
    member.run("kv", "del", "fruit/apple")
    assert "no-such-key" in member.run("kv", "del", "fruit/apple", code=6).stderr
    assert member.json("kv", "get", "fruit/apple", code=1)["value"] is None
    member.run("kv", "put", "esc\x1b[31m\nfake", "x")
    assert "\x1b" not in member.run("kv", "ls").stdout


def test_a_network_of_another_app_says_what_it_runs(
    ann: Member, tmp_path: Path, kv_node: NodeProcess
):
    member = Member(tmp_path)
    member.run("net", "join", kv_node.ticket, "--as", "db")
    for command in (("read", "lobby"), ("room", "list"), ("send", "lobby", "hello")):
        assert "db runs kv, not rooms" in member.run(*command, code=2).stderr
    assert "home runs rooms, not kv" in ann.run("kv", "ls", code=2).stderr


def test_a_node_alone_founds_a_network_says_what_it_is_and_goes_on_after_a_stop(
    tmp_path: Path, stranger: Member
):
    node = start_node(tmp_path / "node", "--name", "solo")
    stranger.run("net", "join", node.ticket)
    stranger.run("room", "create", "diary")
    stranger.run("send", "diary", "day one")
    assert node.stop() == 0
    node = start_node(tmp_path / "node", event="floor")
    stranger.run("send", "diary", "day two")
    assert [m["text"] for m in stranger.json("read", "diary")["messages"]] == ["day one", "day two"]
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(timeout=60) == 0


def paste(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a printed command in another terminal: another folder, and no activated environment."""
    environment = {"CCP2P_HOME": str(home), "PATH": os.defpath}
    return subprocess.run(
        ["sh", "-ec", command],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_what_a_node_says_and_what_a_join_says_next_work_by_copy_and_paste(tmp_path: Path):
    program = Path(sys.executable).with_name("ccp2p")
    process = subprocess.Popen(
        [program, "node", "--data", tmp_path / "node", "--coin-length", "4096"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    while not said or "net join --allow-simulated ccp2p1" not in said[-1]:
        said.append(process.stderr.readline())
        assert said[-1], said
    assert "SIMULATED TEE: NOT CONFIDENTIAL" in said[0]
    joined = paste(said[-1].strip(), tmp_path / "home")
    assert "NOT CONFIDENTIAL" in joined.stderr
    _, commands = joined.stderr.split("next:\n")
    assert paste(commands, tmp_path / "home").stdout.endswith("Hello\n")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert process.stdout is not None
    assert process.stdout.read() == ""


def test_a_full_disk_ends_the_node_with_advice_and_exit_code_1(stranger: Member, tmp_path: Path):
    node = start_node(tmp_path / "node", "--map-size", "1", event="ready")
    stranger.run("net", "join", node.ticket)
    stranger.run("room", "create", "archive")
    kept = 0
    while node.process.poll() is None and kept < 200:
        sent = stranger.attempt("send", "archive", "--timeout", "2", "x" * 30_000)
        if sent.exit_code != 0:
            break
        kept += 1
    assert node.process.wait(timeout=60) == 1
    assert kept > 0
    said = node.log.read_text()
    assert "raise the map size and start again" in said
    assert "Traceback" not in said
    node = start_node(tmp_path / "node", "--map-size", "64", event="floor")
    assert len(stranger.json("read", "archive")["messages"]) >= kept
    assert node.stop() == 0
