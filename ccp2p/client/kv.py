"""The kv app from a member's side: typed requests over a session."""

from ccp2p.client.session import MemberSession, require_executed
from ccp2p.execution.apps import kv_protocol as kv
from ccp2p.model import codec, limits

_REPLY_BYTES = limits.MAX_QUERY_REPLY_BYTES


def put_body(key: bytes, value: bytes) -> bytes:
    """The body of an event that sets a key."""
    return codec.encode(kv.Request(kv.Put(key, value)))


async def put(session: MemberSession, key: bytes, value: bytes, timeout_ms: int) -> None:
    """Set a key."""
    require_executed(await session.submit(put_body(key, value), timeout_ms))


async def delete(session: MemberSession, key: bytes, timeout_ms: int) -> None:
    """Remove a key; Denied (`no-such-key`) when it is not there."""
    body = codec.encode(kv.Request(kv.Delete(key)))
    require_executed(await session.submit(body, timeout_ms))


async def get(session: MemberSession, key: bytes) -> bytes | None:
    """A key's value, or None."""
    query = codec.encode(kv.Query(kv.Get(key)))
    return codec.decode(await session.query(query), kv.Value, _REPLY_BYTES).value


async def keys(session: MemberSession, prefix: bytes) -> list[bytes]:
    """All keys with a prefix, in order."""
    found: list[bytes] = []
    more = True
    while more:
        after = found[-1] if found else b""
        query = codec.encode(kv.Query(kv.List(prefix, after)))
        reply = codec.decode(await session.query(query), kv.Keys, _REPLY_BYTES)
        found.extend(reply.keys)
        more = reply.more and bool(reply.keys)
    return found
