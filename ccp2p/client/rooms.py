"""The rooms app from a member's side: typed requests over a session."""

from collections.abc import AsyncIterator

from ccp2p.client.connection import NodeConnection
from ccp2p.client.session import MemberSession, require_executed
from ccp2p.execution.apps import rooms_protocol as rooms
from ccp2p.model import codec, limits

_REPLY_BYTES = limits.MAX_QUERY_REPLY_BYTES


def create(room: str, closed: bool, name: str) -> bytes:
    """The body of an event that makes a room."""
    return codec.encode(rooms.Request(rooms.Create(room, closed, name)))


def join(room: str, name: str) -> bytes:
    """The body of an event that joins a room."""
    return codec.encode(rooms.Request(rooms.Join(room, name)))


def admit(room: str, member: bytes) -> bytes:
    """The body of an event that lets a member into a closed room."""
    return codec.encode(rooms.Request(rooms.Admit(room, member)))


def post(room: str, text: str) -> bytes:
    """The body of an event that says something."""
    return codec.encode(rooms.Request(rooms.Post(room, text)))


async def ask_join(session: MemberSession, room: str, name: str, timeout_ms: int) -> str:
    """Join a room; the standing that came of it."""
    body = require_executed(await session.submit(join(room, name), timeout_ms))
    return codec.decode(body, rooms.Joined, limits.MAX_OUTCOME_BYTES).standing


async def ask_post(session: MemberSession, room: str, text: str, timeout_ms: int) -> int:
    """Say something; its position in the room."""
    return posted_at(require_executed(await session.submit(post(room, text), timeout_ms)))


def posted_at(answer: bytes) -> int:
    """The position that the answer to a post tells."""
    return codec.decode(answer, rooms.Posted, limits.MAX_OUTCOME_BYTES).position


async def messages(
    session: MemberSession,
    room: str,
    start: int = 0,
    page: int = 500,
    via: NodeConnection | None = None,
) -> AsyncIterator[rooms.Message]:
    """Every message of a room from `start` to its end as of the first page; `via` one node."""
    end = None
    while end is None or start < end:
        query = codec.encode(rooms.Query(rooms.Read(room, start, page)))
        reply = codec.decode(await session.query(query, via), rooms.Messages, _REPLY_BYTES)
        end = reply.end if end is None else end
        for message in reply.messages:
            if message.position < end:
                yield message
        if reply.next <= start:
            return
        start = reply.next


async def room_list(session: MemberSession) -> list[rooms.Room]:
    """The rooms that this member may know of."""
    found: list[rooms.Room] = []
    start, end = 0, 1
    while start < end:
        query = codec.encode(rooms.Query(rooms.Rooms(start)))
        reply = codec.decode(await session.query(query), rooms.RoomList, _REPLY_BYTES)
        found.extend(reply.rooms)
        if reply.next <= start:
            break
        start, end = reply.next, reply.end
    return found


async def people(session: MemberSession, room: str, pending: bool) -> list[rooms.Person]:
    """Who joined a room, or who waits to be admitted."""
    kind = rooms.Pending if pending else rooms.Members
    found: list[rooms.Person] = []
    start, end = 0, 1
    while start < end:
        query = codec.encode(rooms.Query(kind(room, start)))
        reply = codec.decode(await session.query(query), rooms.People, _REPLY_BYTES)
        found.extend(reply.people)
        if reply.next <= start:
            break
        start, end = reply.next, reply.end
    return found
