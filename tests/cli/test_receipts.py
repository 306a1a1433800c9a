"""Receipts at the terminal: written on request, checked offline, refused when altered."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from ccp2p.client import receipts
from ccp2p.execution.receipts import format_receipt, parse_receipt
from tests.cli.conftest import Member, NodeProcess


@pytest.fixture
def cleo(tmp_path: Path, kv_node: NodeProcess) -> Member:
    """A member of the kv network."""
    member = Member(tmp_path / "cleo")
    member.run("net", "join", kv_node.ticket)
    return member


@pytest.fixture
def receipt(tmp_path: Path, cleo: Member) -> Path:
    """The receipt of cleo's put."""
    file = tmp_path / "put.receipt"
    done = cleo.run("kv", "put", "colour", "green", "--receipt", str(file))
    assert "waiting for a certified checkpoint" in done.stderr
    return file


def test_who_interrupts_the_wait_for_a_proof_knows_what_is_committed(
    cleo: Member, tmp_path: Path, monkeypatch
):
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(receipts, "fetch", interrupted)
    file = tmp_path / "lost.receipt"
    done = cleo.run("kv", "put", "kept", "yes", "--receipt", str(file), code=130)
    assert "committed; waiting for the proof" in done.stderr
    assert cleo.run("kv", "get", "kept").stdout == "yes\n"
    assert not file.exists()


def network_of(member: Member) -> str:
    (joined,) = member.json("net", "list")["networks"]
    return str(joined["id"])


def test_a_receipt_says_what_happened_and_holds(cleo: Member, receipt: Path):
    assert stat.S_IMODE(receipt.stat().st_mode) == 0o600
    shown = cleo.json("inspect", "receipt", str(receipt))
    assert (shown["schema"], shown["valid"], shown["simulated"]) == ("receipt/1", True, True)
    assert shown["network"] == network_of(cleo)
    assert shown["asked"] == {"operation": "put", "key": "colour", "value": "green"}
    assert (shown["status"], shown["sequence"]) == ("ok", 1)
    assert shown["checkpoint"]["commit"] >= shown["commit"] > 0
    assert [vote["seat"] for vote in shown["votes"]] == [0]
    assert (shown["committee"], shown["quorum"]) == (1, 1)
    assert all(check["passed"] for check in shown["checks"])
    for asked in ((), ("--ask",)):
        text = cleo.run("inspect", "receipt", str(receipt), *asked)
        assert text.stderr.count("SIMULATED") == 1
    assert "the receipt holds" in text.stderr
    for part in (shown["member"], shown["event"], "green", "seat 0"):
        assert part in text.stdout


def test_it_is_checked_offline_by_whoever_knows_the_network_id(
    cleo: Member, receipt: Path, stranger: Member
):
    unknown = stranger.run("inspect", "receipt", str(receipt), code=2)
    assert "--network" in unknown.stderr
    assert stranger.json("inspect", "receipt", str(receipt), code=2)["valid"] is False
    identifier = network_of(cleo)
    stranger.run("inspect", "receipt", str(receipt), "--network", identifier)
    piped = subprocess.run(
        [sys.executable, "-m", "ccp2p", "inspect", "receipt", "-", "--network", identifier],
        input=receipt.read_bytes(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert identifier.encode() in piped.stdout


def test_another_networks_receipt_is_refused(cleo: Member, receipt: Path):
    refused = cleo.run("inspect", "receipt", str(receipt), "--network", "00" * 32, code=4)
    assert "FAILS" in refused.stdout
    assert "PROVES NOTHING" in refused.stderr
    assert (
        cleo.json("inspect", "receipt", str(receipt), "--network", "00" * 32, code=4)["valid"]
        is False
    )
    assert (
        "neither"
        in cleo.run("inspect", "receipt", str(receipt), "--network", "nowhere", code=2).stderr
    )


def test_an_altered_receipt_is_refused(cleo: Member, receipt: Path):
    true = parse_receipt(receipt.read_text())
    for altered in (
        replace(true, body=true.body.replace(b"green", b"black")),
        replace(true, outcome=replace(true.outcome, commit=true.outcome.commit + 1)),
        replace(true, member=b"x" * 32),
    ):
        receipt.write_text(format_receipt(altered))
        shown = cleo.json("inspect", "receipt", str(receipt), code=4)
        assert shown["valid"] is False
        assert any(not check["passed"] for check in shown["checks"])


@pytest.mark.parametrize("content", [b"", b"\x00\xff garbage", b"ccp2p1abc"])
def test_what_is_no_receipt_is_a_usage_error(stranger: Member, tmp_path: Path, content: bytes):
    file = tmp_path / "file"
    file.write_bytes(content)
    assert "not a receipt" in stranger.run("inspect", "receipt", str(file), code=2).stderr
    stranger.run("inspect", "receipt", str(tmp_path / "missing"), code=2)


def test_a_place_that_cannot_be_written_is_said_before_anything_is_sent(
    cleo: Member, tmp_path: Path
):
    nowhere = tmp_path / "no" / "folder" / "file"
    cleo.run("kv", "put", "never", "sent", "--receipt", str(nowhere), code=2)
    cleo.run("kv", "get", "never", code=1)


def test_an_earlier_proof_is_kept(cleo: Member, receipt: Path):
    kept = receipt.read_text()
    for command in (("put", "colour", "red", "--receipt"), ("get", "colour", "--proof")):
        assert "exists already" in cleo.run("kv", *command, str(receipt), code=2).stderr
    assert receipt.read_text() == kept
    assert cleo.run("kv", "get", "colour").stdout == "green\n"


@pytest.mark.parametrize("value", ["yes", "\N{SNOWMAN}" * 2000, None])
def test_a_proven_read(cleo: Member, tmp_path: Path, value: str | None):
    key, file = f"read-{len(value or '')}", tmp_path / "read.receipt"
    if value is not None:
        cleo.run("kv", "put", key, "-", stdin=value)
    code = 1 if value is None else 0
    assert cleo.json("kv", "get", key, "--proof", str(file), code=code)["value"] == value
    shown = cleo.json("inspect", "receipt", str(file))
    assert (shown["asked"], shown["value"]) == ({"operation": "read", "key": key}, value)
    text = cleo.run("inspect", "receipt", str(file)).stdout
    assert ("no such key" in text) == (value is None)


def test_a_message_and_its_receipt(ann: Member, tmp_path: Path):
    file = tmp_path / "message.receipt"
    ann.run("room", "create", "proofs")
    sent = ann.json("send", "proofs", "I said so\x1b[2J", "--receipt", str(file))
    assert sent["position"] == 0
    shown = ann.json("inspect", "receipt", str(file))
    assert shown["asked"] == {"operation": "post", "room": "proofs", "text": "I said so\x1b[2J"}
    assert "\x1b" not in ann.run("inspect", "receipt", str(file)).stdout
    refused = ann.run("send", "nowhere", "hi", "--receipt", str(tmp_path / "no"), code=6)
    assert "no-such-room" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_a_linearizable_read_sees_what_was_committed(ann: Member, bob: Member):
    ann.run("room", "create", "fresh", "--as", "ann")
    bob.run("room", "join", "fresh", "--as", "bob")
    ann.run("send", "fresh", "one")
    messages = bob.json("read", "fresh", "--linearizable")["messages"]
    assert [message["text"] for message in messages] == ["one"]


def test_a_linearizable_get(cleo: Member):
    cleo.run("kv", "put", "now", "here")
    assert cleo.json("kv", "get", "now", "--linearizable")["value"] == "here"
    assert json.loads(cleo.run("kv", "get", "gone", "--linearizable", "--json", code=1).stdout)
