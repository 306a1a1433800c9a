import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Member


def test_a_conversation(ann: Member, bob: Member):
    assert "created room tea" in ann.run("room", "create", "tea", "--as", "ann").stderr
    assert bob.json("room", "join", "tea", "--as", "bob")["standing"] == "joined"
    assert ann.json("send", "tea", "hello", "bob")["position"] == 0
    assert bob.json("send", "tea", "hi")["position"] == 1
    read = bob.run("read", "tea").stdout.splitlines()
    assert [line.split(" ", 1)[1] for line in read] == ["<ann> hello bob", "<bob> hi"]
    assert ann.run("read", "tea", "--from", "1").stdout.count("\n") == 1
    messages = ann.json("read", "tea")["messages"]
    assert [(m["position"], m["name"], m["text"]) for m in messages] == [
        (0, "ann", "hello bob"),
        (1, "bob", "hi"),
    ]
    assert [p["name"] for p in ann.json("room", "members", "tea")["people"]] == ["ann", "bob"]


def test_text_from_stdin_and_empty_text_are_messages(ann: Member):
    ann.run("room", "create", "letters")
    ann.run("send", "letters", "-", stdin="two\nlines\n")
    ann.run("send", "letters", "")
    texts = [m["text"] for m in ann.json("read", "letters")["messages"]]
    assert texts == ["two\nlines", ""]


def test_stdin_that_is_no_text_is_refused(ann: Member):
    command = [sys.executable, "-m", "ccp2p", "send", "letters", "-"]
    environment = os.environ | ann.environment
    for mode in ("strict", "surrogateescape"):
        done = subprocess.run(
            command,
            env=environment | {"PYTHONIOENCODING": f"utf-8:{mode}"},
            input=b"caf\xe9",
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"is not UTF-8" in done.stderr) == (2, True)


def test_a_closed_room_lets_in_whom_its_owner_admits(ann: Member, bob: Member):
    ann.run("room", "create", "board", "--closed", "--as", "ann")
    assert bob.json("room", "join", "board", "--as", "bob")["standing"] == "pending"
    assert "not-joined" in bob.run("send", "board", "let me in", code=6).stderr
    assert "not-joined" in bob.run("read", "board", code=6).stderr
    assert "not-owner" in bob.run("room", "pending", "board", code=6).stderr
    assert "<" not in ann.run("read", "board").stdout
    assert [p["name"] for p in ann.json("room", "pending", "board")["people"]] == ["bob"]
    assert "nobody called 'eve'" in ann.run("room", "admit", "board", "eve", code=2).stderr
    ann.run("room", "admit", "board", "bob")
    assert bob.json("send", "board", "thank you")["position"] == 0
    rooms = {room["room"]: room for room in bob.json("room", "list")["rooms"]}
    assert (rooms["board"]["closed"], rooms["board"]["standing"]) == (True, "joined")


def test_a_closed_room_is_unknown_to_who_did_not_ask(ann: Member, bob: Member):
    ann.run("room", "create", "hidden", "--closed")
    assert "hidden" not in bob.run("room", "list").stdout
    assert "hidden" in ann.run("room", "list").stdout


IN_A_SCRIPTS_BACKGROUND = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""Such a job hears no Ctrl-C: a shell has it ignore the signal."""


@pytest.mark.parametrize(
    ("shell", "ending"),
    [([], signal.SIGINT), ([], signal.SIGTERM), (IN_A_SCRIPTS_BACKGROUND, signal.SIGTERM)],
)
def test_tail_prints_what_is_there_and_what_comes_until_it_is_told_to_end(
    ann: Member, bob: Member, shell: list[str], ending: signal.Signals
):
    room = f"news-{len(shell)}-{int(ending)}"
    ann.run("room", "create", room, "--as", "ann")
    bob.run("room", "join", room, "--as", "bob")
    ann.run("send", room, "old")
    tail = subprocess.Popen(
        [*shell, sys.executable, "-m", "ccp2p", "tail", room, "--json"],
        env=os.environ | bob.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["text"] == "old"
        ann.run("send", room, "new")
        message = json.loads(tail.stdout.readline())
        assert (message["schema"], message["name"], message["text"]) == ("message/1", "ann", "new")
        tail.send_signal(ending)
        assert tail.wait(timeout=60) == 130
        assert tail.stderr is not None
        assert b"Traceback" not in tail.stderr.read()
    finally:
        tail.kill()
        tail.wait()


def test_nobody_steers_anothers_terminal(ann: Member, bob: Member):
    escape = "\x1b[2J\x07\x9b31m\u202e"
    name = f"eve{escape}\n12:00 <bob> yes"
    ann.run("room", "create", "odd", "--as", name)
    ann.run("send", "odd", f"clear{escape}\r\n12:00 <bob> I agree")
    ann.run("room", "create", f"room{escape}\nfake")
    bob.run("room", "join", "odd", "--as", "bob")
    outputs = [bob.run("read", "odd"), bob.run("room", "members", "odd"), bob.run("room", "list")]
    refused = bob.run("room", "admit", "odd", f"x{escape}", code=6)
    for result in [*outputs, refused]:
        for character in "\x1b\x07\x9b\r\u202e":
            assert character not in result.stdout
            assert character not in result.stderr
        assert not any(line.startswith("12:00 <bob>") for line in result.stdout.splitlines())
    assert escape in bob.json("read", "odd")["messages"][0]["text"]
    assert bob.run("read", "odd", "--json").stdout.isascii()


def test_what_is_spelt_with_joiners_arrives_as_it_was_sent(ann: Member):
    ann.run("room", "create", "words", "--as", "ann")
    text = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f680"
    ann.run("send", "words", text)
    assert ann.run("read", "words").stdout.endswith(f"<ann> {text}\n")


def test_members_of_one_folder_have_keys_of_their_own(ann: Member):
    ann.run("inspect", "member", "work")
    ann.run("room", "create", "self", "--member", "work", "--as", "work")
    assert ann.json("room", "join", "self", "--as", "me")["standing"] == "joined"
    people = ann.json("room", "members", "self")["people"]
    assert len({person["member"] for person in people}) == 2


def test_a_mistyped_member_is_nobody_new(ann: Member):
    keys = Path(ann.environment["CCP2P_HOME"]) / "members"
    refused = ann.run("room", "list", "--member", "gohst", code=2)
    assert "no key 'gohst' here (have: me)" in refused.stderr
    (keys / "me.key").rename(keys / "work.key")
    assert "no key 'me' here (have: work)" in ann.run("room", "list", code=2).stderr
    assert [path.name for path in keys.iterdir()] == ["work.key"]


def test_the_room_of_a_name_is_made_once(ann: Member, bob: Member):
    ann.run("room", "create", "unique")
    assert "room-exists" in bob.run("room", "create", "unique", code=6).stderr
    bob.run("room", "join", "unique", "--as", "bob")
    assert "already-joined" in bob.run("room", "join", "unique", "--as", "eve", code=6).stderr
