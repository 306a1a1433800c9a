"""What a client of the `kv` app sends and gets. Members share one space of keys."""

from typing import Annotated

from msgspec import Meta

from ccp2p.model.codec import Wire

Key = Annotated[bytes, Meta(min_length=1, max_length=256)]


class Put(Wire, frozen=True, tag="put"):
    """Set a key. The outcome's body is empty."""

    key: Key
    value: bytes


class Delete(Wire, frozen=True, tag="delete"):
    """Remove a key; rejected with `no-such-key` when it is not there."""

    key: Key


class Request(Wire, frozen=True):
    """The body of an event."""

    operation: Put | Delete


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
