"""IRC logs as load: lines `[HH:MM] <nick> text` are messages, all others are not."""

import re
from dataclasses import dataclass
from pathlib import Path

from ccp2p.model.errors import MemberFault

# DOTALL: a line ends at \n only, so whatever else looks like an end belongs to the text.
_MESSAGE = re.compile(r"\[\d\d:\d\d\] <([^>]+)> (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a log; `room` is the file's stem."""

    room: str
    nick: str
    text: str


def read_log(path: Path) -> list[ChatMessage]:
    """All messages of a log, in order. UTF-8 with bad bytes replaced; MemberFault if unreadable."""
    try:
        content = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise MemberFault("log", f"{path} cannot be read: {error.strerror}") from None
    matches = map(_MESSAGE.fullmatch, content.split("\n"))
    return [ChatMessage(path.stem, match[1], match[2]) for match in matches if match]


def interleave(logs: list[list[ChatMessage]]) -> list[ChatMessage]:
    """The logs' messages in turns, so that their rooms are busy together."""
    longest = max(map(len, logs), default=0)
    return [log[i] for i in range(longest) for log in logs if i < len(log)]
