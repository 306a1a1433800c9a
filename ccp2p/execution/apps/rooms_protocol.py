"""What a client of the `rooms` app sends and gets.

A member joins a room under a display name that is unique there; only those who joined read and
post. Whoever creates a room owns it; into a closed room the owner admits.
"""

from typing import Annotated, Literal

from msgspec import Meta

from ccp2p.model import limits
from ccp2p.model.codec import Wire

Name = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_CHARS)]
MemberKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
Position = Annotated[int, Meta(ge=0, lt=1 << 62)]
Limit = Annotated[int, Meta(ge=1)]
Standing = Literal["owner", "joined", "pending", "none"]


class Create(Wire, frozen=True, tag="create"):
    """Make a room and join it as owner under `name`; `room-exists`. Answer: `Joined`."""

    room: Name
    closed: bool
    name: Name


class Join(Wire, frozen=True, tag="join"):
    """Join, or ask to; again under the same name changes nothing. Answer: `Joined`.

    Rejected with `no-such-room`, `name-taken` (a request to join holds its name too) or
    `already-joined` under another name.
    """

    room: Name
    name: Name


class Admit(Wire, frozen=True, tag="admit"):
    """The owner lets a pending member in. Answer empty; `no-such-room`, `not-owner`, `not-pending`.

    Again for a member who is in changes nothing.
    """

    room: Name
    member: MemberKey


class Post(Wire, frozen=True, tag="post"):
    """Say something, at most 32 KiB in UTF-8; empty text is a message. Answer: `Posted`.

    Rejected with `no-such-room`, `not-joined` or `text-oversized`.
    """

    room: Name
    text: str


class Request(Wire, frozen=True):
    """The body of an event."""

    operation: Create | Join | Admit | Post


class Joined(Wire, frozen=True):
    """`pending` until the owner of a closed room admits."""

    standing: Standing


class Posted(Wire, frozen=True):
    """The message's place in its room, from 0."""

    position: int


class Rooms(Wire, frozen=True, tag="rooms"):
    """Ask for rooms: the open ones, and closed ones that the member joined or asked to join."""

    start: Position = 0
    limit: Limit = limits.MAX_QUERY_ITEMS


class Read(Wire, frozen=True, tag="read"):
    """Ask for messages from a position on; a `Messages` replies."""

    room: Name
    start: Position = 0
    limit: Limit = 100


class Members(Wire, frozen=True, tag="members"):
    """Ask who joined; a `People` replies."""

    room: Name
    start: Position = 0
    limit: Limit = limits.MAX_QUERY_ITEMS


class Pending(Wire, frozen=True, tag="pending"):
    """The owner asks who waits to be admitted; a `People` replies."""

    room: Name
    start: Position = 0
    limit: Limit = limits.MAX_QUERY_ITEMS


class Query(Wire, frozen=True):
    """The body of a query. Refused with the reason codes of `Request`."""

    question: Rooms | Read | Members | Pending


class Room(Wire, frozen=True):
    """A room as the asking member sees it; `messages` counts them."""

    room: str
    closed: bool
    standing: Standing
    messages: int


class RoomList(Wire, frozen=True):
    """Reply to `Rooms`. Every list goes on at `start = next` until `next` equals `end`."""

    rooms: tuple[Room, ...]
    next: int
    end: int


class Message(Wire, frozen=True):
    """`name` is the author's display name, `time_ms` the ledger's Unix time."""

    position: int
    member: bytes
    name: str
    text: str
    time_ms: int


class Messages(Wire, frozen=True):
    """Reply to `Read`."""

    messages: tuple[Message, ...]
    next: int
    end: int


class Person(Wire, frozen=True):
    """A member of a room, or one who asks to be."""

    member: bytes
    name: str
    standing: Standing


class People(Wire, frozen=True):
    """Reply to `Members` and `Pending`."""

    people: tuple[Person, ...]
    next: int
    end: int
