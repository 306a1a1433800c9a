"""IRC logs as load: lines `[HH:MM] <nick> text` are messages, all others are not."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ccp2p.model import limits
from ccp2p.model.errors import MemberFault

# DOTALL: a line ends at \n only, so whatever else looks like an end belongs to the text.
_MESSAGE = re.compile(r"\[[0-9]{2}:[0-9]{2}\] <([^>]+)> (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a log; `room` is the file's stem."""

    room: str
    nick: str
    text: str


def read_log(path: Path) -> list[ChatMessage]:
    """All messages of a log, in order. UTF-8 with bad bytes replaced; MemberFault if unreadable."""
    room = os.fsencode(path.stem).decode("utf-8", "replace")
    if len(room) > limits.MAX_NAME_CHARS:
        raise MemberFault(
            "log",
            f"{path.name}: a log is a room named by its file's stem, and a room's name has at most "
            f"{limits.MAX_NAME_CHARS} characters",
        )
    try:
        content = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise MemberFault("log", f"{path} cannot be read: {error.strerror}") from None
    matches = map(_MESSAGE.fullmatch, content.split("\n"))
    return [ChatMessage(room, match[1], match[2]) for match in matches if match]


def interleave(logs: list[list[ChatMessage]]) -> list[ChatMessage]:
    """The logs' messages in turns, so that their rooms are busy together."""
    longest = max(map(len, logs), default=0)
    return [log[i] for i in range(longest) for log in logs if i < len(log)]
