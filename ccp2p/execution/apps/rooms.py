"""The `rooms` app: rooms with members, closed ones by admission, and their messages in order."""

from ccp2p.execution.app import Context, View
from ccp2p.execution.apps import rooms_queries
from ccp2p.execution.apps import rooms_records as records
from ccp2p.execution.apps.rooms_protocol import (
    Admit,
    Create,
    Join,
    Joined,
    Post,
    Posted,
    Query,
    Request,
    Standing,
)
from ccp2p.execution.apps.rooms_records import Participant, RoomRecord, StoredMessage
from ccp2p.model import codec, limits
from ccp2p.model.errors import MemberFault


class Rooms:
    """See `App`."""

    def apply(self, context: Context, body: bytes) -> bytes:
        """Execute a `Request`."""
        operation = codec.decode(body, Request, limits.MAX_EVENT_BYTES, MemberFault).operation
        match operation:
            case Post():
                return _post(context, operation)
            case Create():
                return _create(context, operation)
            case Join():
                return _join(context, operation)
            case Admit():
                return _admit(context, operation)

    def query(self, view: View, member: bytes, body: bytes) -> bytes:
        """Answer a `Query`."""
        question = codec.decode(body, Query, limits.MAX_EVENT_BYTES, MemberFault).question
        return codec.encode(rooms_queries.answer(view, member, question))


def _create(context: Context, operation: Create) -> bytes:
    key = records.room_key(operation.room)
    if context.get(key) is not None:
        raise MemberFault("room-exists", "a room of this name exists")
    number = records.count(context, records.ROOM_COUNT)
    room = RoomRecord(number, context.member, operation.closed)
    context.put(key, codec.encode(room))
    context.put(records.room_name_key(number), operation.room.encode())
    context.put(records.ROOM_COUNT, records.count_bytes(number + 1))
    return _take_part(context, room, operation.name, "owner")


def _join(context: Context, operation: Join) -> bytes:
    room = records.room_of(context, operation.room)
    earlier = records.participant_of(context, room.number, context.member)
    if earlier is not None:
        if earlier.name != operation.name:
            raise MemberFault("already-joined", "you are in this room under another name")
        return codec.encode(Joined(earlier.standing))
    if context.get(records.display_name_key(room.number, operation.name)) is not None:
        raise MemberFault("name-taken", "somebody in this room has this name")
    return _take_part(context, room, operation.name, "pending" if room.closed else "joined")


def _take_part(context: Context, room: RoomRecord, name: str, standing: Standing) -> bytes:
    count_key = records.participant_count_key(room.number)
    index = records.count(context, count_key)
    participant = Participant(name, standing)
    context.put(records.participant_key(room.number, context.member), codec.encode(participant))
    context.put(records.display_name_key(room.number, name), context.member)
    context.put(records.participant_at_key(room.number, index), context.member)
    context.put(count_key, records.count_bytes(index + 1))
    return codec.encode(Joined(standing))


def _admit(context: Context, operation: Admit) -> bytes:
    room = records.room_of(context, operation.room)
    records.require_owner(room, context.member)
    participant = records.participant_of(context, room.number, operation.member)
    if participant is None:
        raise MemberFault("not-pending", "this member has not asked to join")
    if participant.standing == "pending":
        admitted = codec.encode(Participant(participant.name, "joined"))
        context.put(records.participant_key(room.number, operation.member), admitted)
    return b""


def _post(context: Context, operation: Post) -> bytes:
    room = records.room_of(context, operation.room)
    author = records.joined_of(context, room.number, context.member)
    if len(operation.text.encode()) > limits.MAX_TEXT_BYTES:
        raise MemberFault("text-oversized", "a message has at most 32 KiB")
    count_key = records.message_count_key(room.number)
    position = records.count(context, count_key)
    message = StoredMessage(context.member, author.name, operation.text, context.ledger_time_ms)
    context.put(records.message_key(room.number, position), codec.encode(message))
    context.put(count_key, records.count_bytes(position + 1))
    return codec.encode(Posted(position))
