"""What an app is, and what it sees: a deterministic reducer over its own keys.

An app reads nothing but its arguments: no clock, no randomness, no disk. It refuses by raising
MemberFault, whose code becomes the outcome's body; then none of its writes happen.
"""

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from ccp2p.execution.state import APP, State
from ccp2p.model import hashing, limits
from ccp2p.model.commit import Commit
from ccp2p.model.errors import MemberFault

# What a mistake in an app can raise on every node alike: the event is rejected and life goes on.
# Anything else (memory, stack depth, disk) may differ between nodes, so it stops this one.
DETERMINISTIC_MISTAKES: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
)


class View:
    """The app's keys, read-only, as of the last commit."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._state.get(APP + key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All keys with a prefix and their values, unordered. Reads the whole state: be sparing."""
        for key, value in self._state.scan(APP + prefix):
            yield key[1:], value


class Context:
    """One event's surroundings and the app's keys; writes happen only if the app accepts.

    It serves one event after the other of a commit: an app keeps no reference to it.

    `member` is the author's key, `position` counts the outcomes of the commit from 0,
    `ledger_time_ms` is the commit's Unix time.
    """

    __slots__ = ("_commit", "_seed_key", "_state", "_writes", "member", "position")

    def __init__(self, state: State, commit: Commit, seed_key: bytes) -> None:
        self._state = state
        self._commit = commit
        self._seed_key = seed_key
        self._writes: dict[bytes, bytes | None] = {}  # under their keys in the state
        self.member = b""
        self.position = 0

    def begin(self, member: bytes, position: int) -> None:
        """Another event of the same commit; the host calls it before the app."""
        self._writes.clear()
        self.member = member
        self.position = position

    @property
    def ledger_time_ms(self) -> int:
        """The commit's time."""
        return self._commit.ledger_time_ms

    @property
    def commit(self) -> int:
        """The commit's index in its epoch."""
        return self._commit.index

    @property
    def seed(self) -> bytes:
        """32 bytes that are the same on every node and that no member can foresee."""
        place = (self._commit.epoch, self._commit.index, self.position)
        parts = b"".join(number.to_bytes(8, "big") for number in place)
        return hashing.keyed(hashing.APP_SEED, self._seed_key, parts)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None; this event's own writes included."""
        key = APP + key
        return self._writes[key] if key in self._writes else self._state.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key; MemberFault `oversized` when key or value is too long."""
        if len(key) >= limits.MAX_KEY_BYTES or len(value) > limits.MAX_VALUE_BYTES:
            raise MemberFault("oversized", "a key or value is longer than the state takes")
        self._writes[APP + key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        self._writes[APP + key] = None

    def keep(self) -> None:
        """Hand the writes to the state; the host calls it when the app accepted."""
        self._state.write(self._writes)


class App(Protocol):
    """What the host runs. Both methods may raise MemberFault, and LocalFault from below."""

    def apply(self, context: Context, body: bytes) -> bytes:
        """Execute one event's body; the answer, at most `limits.MAX_OUTCOME_BYTES`."""

    def query(self, view: View, member: bytes, body: bytes) -> bytes:
        """Answer a question of `member`; at most `limits.MAX_QUERY_REPLY_BYTES`."""
