"""How the `rooms` app keeps its data in keys and values.

Keys start with a letter a kind; a room's number stands for its name in all but the first.

    r name            RoomRecord        c room            messages in the room
    i index           room name         p room member     Participant
    I                 rooms             n room name       the member who has the name
    m room position   StoredMessage     j room index      member key, in order of asking
                                        k room            participants
"""

from typing import Protocol

from ccp2p.execution.apps.rooms_protocol import Standing
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault, MemberFault

ROOM_COUNT = b"I"


class RoomRecord(Wire, frozen=True):
    """A room; `number` is its index in the list of all rooms."""

    number: int
    owner: bytes
    closed: bool


class Participant(Wire, frozen=True):
    """A member's standing in a room and display name there."""

    name: str
    standing: Standing


class StoredMessage(Wire, frozen=True):
    """A message; its key holds the position."""

    member: bytes
    name: str
    text: str
    time_ms: int


class Reader(Protocol):
    """What `Context` and `View` have in common."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""


def room_key(room: str) -> bytes:
    """Of a `RoomRecord`."""
    return b"r" + room.encode()


def room_name_key(index: int) -> bytes:
    """Of a room's name, by its number."""
    return b"i" + _number(index)


def message_count_key(room: int) -> bytes:
    """Of the number of messages in a room."""
    return b"c" + _number(room)


def message_key(room: int, position: int) -> bytes:
    """Of a `StoredMessage`."""
    return b"m" + _number(room) + _number(position)


def participant_key(room: int, member: bytes) -> bytes:
    """Of a `Participant`."""
    return b"p" + _number(room) + member


def participant_count_key(room: int) -> bytes:
    """Of the number of participants of a room."""
    return b"k" + _number(room)


def participant_at_key(room: int, index: int) -> bytes:
    """Of a participant's member key, by order of asking."""
    return b"j" + _number(room) + _number(index)


def display_name_key(room: int, name: str) -> bytes:
    """Of the member key that has a display name."""
    return b"n" + _number(room) + name.encode()


def count(reader: Reader, key: bytes) -> int:
    """A counter; 0 before it was written."""
    return int.from_bytes(reader.get(key) or b"", "big")


def count_bytes(number: int) -> bytes:
    """A counter's value."""
    return _number(number)


def room_of(reader: Reader, room: str) -> RoomRecord:
    """The room called `room`, or MemberFault `no-such-room`."""
    data = reader.get(room_key(room))
    if data is None:
        raise MemberFault("no-such-room", "there is no such room")
    return codec.decode(data, RoomRecord, limits.MAX_VALUE_BYTES, LocalFault)


def participant_of(reader: Reader, room: int, member: bytes) -> Participant | None:
    """A member's standing in a room; None for a stranger."""
    data = reader.get(participant_key(room, member))
    if data is None:
        return None
    return codec.decode(data, Participant, limits.MAX_VALUE_BYTES, LocalFault)


def joined_of(reader: Reader, room: int, member: bytes) -> Participant:
    """As `participant_of`, or MemberFault `not-joined` when strange or pending."""
    participant = participant_of(reader, room, member)
    if participant is None or participant.standing == "pending":
        raise MemberFault("not-joined", "only those who joined the room may do this")
    return participant


def require_owner(room: RoomRecord, member: bytes) -> None:
    """MemberFault `not-owner` for anybody else."""
    if room.owner != member:
        raise MemberFault("not-owner", "only the room's owner may do this")


def message_at(reader: Reader, room: int, position: int) -> StoredMessage:
    """A message that the room's count covers."""
    return codec.decode(
        must_get(reader, message_key(room, position)),
        StoredMessage,
        limits.MAX_VALUE_BYTES,
        LocalFault,
    )


def must_get(reader: Reader, key: bytes) -> bytes:
    """A value that another record promises; LocalFault when it is missing."""
    data = reader.get(key)
    if data is None:
        raise LocalFault("corrupt", "a record of the rooms app is missing")
    return data


def _number(number: int) -> bytes:
    return number.to_bytes(8, "big")
