"""The `kv` app: one shared space of keys for all members."""

import heapq

from ccp2p.execution.app import Context, View
from ccp2p.execution.apps.kv_protocol import (
    Delete,
    Get,
    Keys,
    List,
    Put,
    Query,
    Read,
    Request,
    Value,
    reading,
)
from ccp2p.model import codec, limits
from ccp2p.model.errors import MemberFault


class Kv:
    """See `App`."""

    def apply(self, context: Context, body: bytes) -> bytes:
        """Execute a `Request`."""
        match codec.decode(body, Request, limits.MAX_EVENT_BYTES, MemberFault).operation:
            case Put(key, value):
                context.put(key, value)
            case Delete(key):
                if context.get(key) is None:
                    raise MemberFault("no-such-key", "there is no such key")
                context.delete(key)
            case Read(key):
                return codec.encode(reading(context.get(key)))
        return b""

    def query(self, view: View, _member: bytes, body: bytes) -> bytes:
        """Answer a `Query`."""
        question = codec.decode(body, Query, limits.MAX_EVENT_BYTES, MemberFault).question
        if isinstance(question, Get):
            return codec.encode(Value(view.get(question.key)))
        return codec.encode(_list(view, question))


def _list(view: View, question: List) -> Keys:
    limit = min(question.limit, limits.MAX_QUERY_ITEMS)
    later = (key for key, _ in view.scan(question.prefix) if key > question.after)
    keys = heapq.nsmallest(limit + 1, later)
    return Keys(tuple(keys[:limit]), len(keys) > limit)
