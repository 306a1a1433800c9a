import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.devnet.chat_log import ChatMessage, interleave, read_log
from ccp2p.model.errors import MemberFault
from tests.e2e.logs import messages_of, real_log, write_odd_log


def read(tmp_path: Path, content: bytes) -> list[tuple[str, str]]:
    path = tmp_path / "room.log"
    path.write_bytes(content)
    messages = read_log(path)
    assert {message.room for message in messages} <= {"room"}
    return [(message.nick, message.text) for message in messages]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[12:34] <ann> hello", ("ann", "hello")),
        (b"[12:34] <ann> ", ("ann", "")),
        (b"[12:34] <ann>", None),
        (b"[12:34] <> hello", None),
        (b"[12:34] * ann waves", None),
        (b"=== ann has joined", None),
        (b" [12:34] <ann> hello", None),
        (b"[1:34] <ann> hello", None),
        (b"[12:34] <ann>  two  spaces ", ("ann", " two  spaces ")),
        (b"[12:34] <ann> a\rb\x0bc\x85d", ("ann", "a\rb\x0bc\ufffdd")),
        ("[12:34] <ann> a\u2028b".encode(), ("ann", "a\u2028b")),
        (b"[12:34] <\xff> x", ("\ufffd", "x")),
        (b"[12:34] <ann> <bob> x", ("ann", "<bob> x")),
    ],
)
def test_one_line(tmp_path: Path, line: bytes, message: tuple[str, str] | None):
    assert read(tmp_path, line) == ([message] if message else [])
    assert read(tmp_path, b"x\n" + line + b"\n") == ([message] if message else [])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_log(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    read(tmp_path_factory.mktemp("log"), content)


def test_a_second_reader_finds_the_same_in_an_odd_log(tmp_path: Path):
    path = write_odd_log(tmp_path, "odd", 3)
    found = [(message.nick, message.text) for message in read_log(path)]
    assert found == messages_of(path)
    assert len(found) > 20


def test_a_second_reader_finds_the_same_in_real_logs():
    for path in sorted(real_log().parent.glob("*.log")):
        found = [(message.nick, message.text) for message in read_log(path)]
        assert found == messages_of(path)


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(MemberFault, match=r"missing\.log"):
        read_log(tmp_path / "missing.log")


def test_a_name_that_is_not_utf_8_still_names_a_room(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"caf\xe9 \xf0\x9f\x92\xac.log")
    path.write_bytes(b"[10:00] <ann> hi")
    assert read_log(path) == [
        ChatMessage("caf\N{REPLACEMENT CHARACTER} \N{SPEECH BALLOON}", "ann", "hi")
    ]


def test_a_name_too_long_for_a_room_is_refused_before_anything_starts(tmp_path: Path):
    path = tmp_path / f"{'x' * 64}.log"
    path.touch()
    assert read_log(path) == []
    with pytest.raises(MemberFault, match="at most 64 characters"):
        read_log(tmp_path / f"{'x' * 65}.log")


def test_logs_take_turns_and_each_keeps_its_order():
    logs = [
        [ChatMessage(room, "n", str(i)) for i in range(size)] for room, size in (("a", 3), ("b", 1))
    ]
    mixed = interleave(logs)
    assert [(m.room, m.text) for m in mixed] == [("a", "0"), ("b", "0"), ("a", "1"), ("a", "2")]
    assert interleave([]) == []
