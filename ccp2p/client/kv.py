"""The kv app from a member's side: typed requests over a session."""

from ccp2p.client import receipts
from ccp2p.client.session import MemberSession, require_executed
from ccp2p.execution.apps import kv_protocol as kv
from ccp2p.execution.receipts import Receipt
from ccp2p.model import codec, limits
from ccp2p.model.errors import NotCommitted

_READ_TRIES = 3
_REPLY_BYTES = limits.MAX_QUERY_REPLY_BYTES


def put_body(key: bytes, value: bytes) -> bytes:
    """The body of an event that sets a key."""
    return codec.encode(kv.Request(kv.Put(key, value)))


async def put(session: MemberSession, key: bytes, value: bytes, timeout_ms: int) -> None:
    """Set a key."""
    require_executed(await session.submit(put_body(key, value), timeout_ms))


async def read_with_proof(
    session: MemberSession, key: bytes, timeout_ms: int, wait: receipts.Wait
) -> tuple[bytes | None, Receipt]:
    """A key's value at a place in the order, or None, and the receipt that proves it.

    A long value is fetched apart, under the digest in the outcome; when it changes in between, the
    key is read again.
    """
    body = codec.encode(kv.Request(kv.Read(key)))
    for _ in range(_READ_TRIES):
        ordered = await receipts.order(session, body, timeout_ms)
        outcome = require_executed(ordered.outcome)
        found = codec.decode(outcome, kv.Reading, limits.MAX_OUTCOME_BYTES)
        content = await get(session, key) if found.digest else b""
        if content is not None and (not found.digest or kv.value_digest(content) == found.digest):
            receipt = await receipts.fetch(session, ordered, wait, content)
            return (content if found.digest else found.value), receipt
    raise NotCommitted(f"the value changed {_READ_TRIES} times while it was read: try again")


async def delete(session: MemberSession, key: bytes, timeout_ms: int) -> None:
    """Remove a key; Denied (`no-such-key`) when it is not there."""
    body = codec.encode(kv.Request(kv.Delete(key)))
    require_executed(await session.submit(body, timeout_ms))


def get_body(key: bytes) -> bytes:
    """The body of a query for a key."""
    return codec.encode(kv.Query(kv.Get(key)))


async def get(session: MemberSession, key: bytes) -> bytes | None:
    """A key's value, or None."""
    return codec.decode(await session.query(get_body(key)), kv.Value, _REPLY_BYTES).value


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
