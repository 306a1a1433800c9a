"""The questions that the `rooms` app answers. Replies are bounded and say where to go on."""

from typing import Final

from ccp2p.execution.app import View
from ccp2p.execution.apps import rooms_records as records
from ccp2p.execution.apps.rooms_protocol import (
    Members,
    Message,
    Messages,
    Pending,
    People,
    Person,
    Read,
    Room,
    RoomList,
    Rooms,
    Standing,
)
from ccp2p.model import limits
from ccp2p.model.errors import LocalFault

# A row of each list without its strings: keys, numbers and the encoding around them.
_ROW_BYTES: Final = 96


def answer(
    view: View, member: bytes, question: Rooms | Read | Members | Pending
) -> RoomList | Messages | People:
    """The reply; MemberFault when `member` may not ask this."""
    match question:
        case Rooms():
            return _rooms(view, member, question)
        case Read():
            return _read(view, member, question)
        case Members():
            room = records.room_of(view, question.room)
            records.joined_of(view, room.number, member)
            return _people(view, room.number, question, ("owner", "joined"))
        case Pending():
            room = records.room_of(view, question.room)
            records.require_owner(room, member)
            return _people(view, room.number, question, ("pending",))


def _rooms(view: View, member: bytes, question: Rooms) -> RoomList:
    end = records.count(view, records.ROOM_COUNT)
    stop = _stop(question.start, question.limit, end)
    found = []
    for index in range(question.start, stop):
        name = records.must_get(view, records.room_name_key(index)).decode()
        room = records.room_of(view, name)
        participant = records.participant_of(view, index, member)
        if room.closed and participant is None:
            continue
        standing: Standing = "none" if participant is None else participant.standing
        messages = records.count(view, records.message_count_key(index))
        found.append(Room(name, room.closed, standing, messages))
    return RoomList(tuple(found), stop, end)


def _read(view: View, member: bytes, question: Read) -> Messages:
    room = records.room_of(view, question.room).number
    records.joined_of(view, room, member)
    end = records.count(view, records.message_count_key(room))
    position = min(question.start, end)
    stop = _stop(position, question.limit, end)
    found = []
    room_bytes = limits.MAX_QUERY_REPLY_BYTES - _ROW_BYTES
    while position < stop:
        stored = records.message_at(view, room, position)
        room_bytes -= len(stored.text.encode()) + len(stored.name.encode()) + _ROW_BYTES
        if room_bytes < 0:
            break
        found.append(Message(position, stored.member, stored.name, stored.text, stored.time_ms))
        position += 1
    return Messages(tuple(found), position, end)


def _people(
    view: View, room: int, question: Members | Pending, wanted: tuple[Standing, ...]
) -> People:
    end = records.count(view, records.participant_count_key(room))
    stop = _stop(question.start, question.limit, end)
    found = []
    for index in range(question.start, stop):
        member = records.must_get(view, records.participant_at_key(room, index))
        participant = records.participant_of(view, room, member)
        if participant is None:
            raise LocalFault("corrupt", "a record of the rooms app is missing")
        if participant.standing in wanted:
            found.append(Person(member, participant.name, participant.standing))
    return People(tuple(found), stop, end)


def _stop(start: int, limit: int, end: int) -> int:
    """Where a list that looks at `limit` items from `start` stops."""
    return min(start + min(limit, limits.MAX_QUERY_ITEMS), end)
