"""What a client of the `kv` app sends and gets. Members share one space of keys."""

from typing import Annotated, Final

from msgspec import Meta

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import MemberFault

MAX_READING_BYTES: Final = limits.MAX_OUTCOME_BYTES - 64  # a longer value is named by its digest

Key = Annotated[bytes, Meta(min_length=1, max_length=limits.MAX_KV_KEY_BYTES)]


class Put(Wire, frozen=True, tag="put"):
    """Set a key. The outcome's body is empty."""

    key: Key
    value: bytes


class Delete(Wire, frozen=True, tag="delete"):
    """Remove a key; rejected with `no-such-key` when it is not there."""

    key: Key


class Read(Wire, frozen=True, tag="read"):
    """Read a key in the order of events, so that a receipt proves it. A `Reading` comes of it."""

    key: Key


class Request(Wire, frozen=True):
    """The body of an event."""

    operation: Put | Delete | Read


class Reading(Wire, frozen=True):
    """A key's value at its place in the order, None when there is none.

    A value too long for an outcome is named by `digest` (`value_digest`), which is empty otherwise.
    """

    value: bytes | None
    digest: bytes = b""


class Get(Wire, frozen=True, tag="get"):
    """Ask for a key; the reply is a `Value`."""

    key: Key


class List(Wire, frozen=True, tag="list"):
    """Ask for keys in order that start with `prefix` and come after `after`; a `Keys` replies.

    A query looks through the node's whole state, whatever the prefix.
    """

    prefix: bytes = b""
    after: bytes = b""
    limit: Annotated[int, Meta(ge=1)] = 100


class Query(Wire, frozen=True):
    """The body of a query."""

    question: Get | List


class Value(Wire, frozen=True):
    """None when the key is not there."""

    value: bytes | None


class Keys(Wire, frozen=True):
    """`more`: ask again with `after` set to the last of these."""

    keys: tuple[bytes, ...]
    more: bool


def reading(value: bytes | None) -> Reading:
    """How an outcome tells a value."""
    if value is not None and len(value) > MAX_READING_BYTES:
        return Reading(None, value_digest(value))
    return Reading(value)


def value_digest(value: bytes) -> bytes:
    """What names a long value: 32 bytes."""
    return hashing.digest(hashing.VALUE, value)


def content_digest(body: bytes, outcome_body: bytes) -> bytes:
    """The digest by which an executed event's outcome names a value; empty when it names none.

    MemberFault when the two are not of this app.
    """
    request = codec.decode(body, Request, limits.MAX_EVENT_BYTES, MemberFault)
    if not isinstance(request.operation, Read):
        return b""
    return codec.decode(outcome_body, Reading, limits.MAX_OUTCOME_BYTES, MemberFault).digest
