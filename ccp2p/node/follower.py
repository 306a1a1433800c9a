"""Whom a node without a seat asks for the blocks of commits that it heard of. No IO.

Whoever announced a commit that is lacking is asked for everything above what is here, one after the
other; a second one as well when the first takes long. Who has nothing to give is asked again once
it announces more, and who is slow only where there is nobody else for a while. So a peer that
promises, and keeps or trickles what it has, costs a moment and not the way.

Who gave something is asked for more at once, and may answer when there is more. While it does, what
others announce only shows that it still does its part.
"""

from collections.abc import Container
from typing import Final

_PATIENCE_MS: Final = 250  # then another is asked as well
_GIVEN_UP_MS: Final = 2_000
_AT_ONCE: Final = 3
_SLOW_MS: Final = 10_000  # who took longer than patience comes last for so long
HELD_MS: Final = 2_000  # how long an answer may wait for something to be in it

Above = tuple[int, ...]
"""The highest round held of each author."""


class Follower:
    """One node in one epoch. Times of any clock that rises."""

    def __init__(self) -> None:
        self._claims: dict[bytes, int] = {}  # the newest commit that a peer announced
        self._asked: dict[bytes, int] = {}  # when, of those that have not answered
        self._held: dict[bytes, Above] = {}  # what we had when a peer was last asked
        self._slow: dict[bytes, int] = {}  # until when
        self._source = b""  # who is asked although nothing is known to be lacking
        self._behind_ms = 0  # since when something is

    @property
    def is_behind(self) -> bool:
        """Whether somebody announced what is not here."""
        return bool(self._claims)

    def hear(self, node: bytes, commit: int, committed: int, now_ms: int) -> bool:
        """A peer announced a commit; whether `next` may name somebody for it now."""
        if commit <= max(committed, self._claims.get(node, 0)):
            return False
        is_first = not self._claims
        if is_first:
            self._behind_ms = now_ms
        self._claims[node] = commit
        self._held.pop(node, None)
        return is_first or not self._is_patient(now_ms)

    def forget(self, node: bytes) -> None:
        """A peer is gone, or cannot be asked."""
        self._claims.pop(node, None)
        self._asked.pop(node, None)
        self._held.pop(node, None)
        if node == self._source:
            self._source = b""

    def keep_only(self, nodes: Container[bytes]) -> None:
        """Forget all peers but these."""
        for node in [one for one in (*self._held, *self._claims) if one not in nodes]:
            self.forget(node)
        self._slow = {node: until for node, until in self._slow.items() if node in nodes}

    def next(self, committed: int, above: Above, now_ms: int) -> bytes | None:
        """Whom to ask now for everything above `above`, with `committed` commits here."""
        self._claims = {node: at for node, at in self._claims.items() if at > committed}
        if not self._claims:
            return self._ask(self._source, above, now_ms) if not self._asked else None
        for node in list(self._asked):
            if self._waited_ms(node, now_ms) >= _PATIENCE_MS:
                self._slow[node] = now_ms + _SLOW_MS
            if self._waited_ms(node, now_ms) >= _GIVEN_UP_MS:
                del self._asked[node]
                self._claims.pop(node, None)
        if len(self._asked) >= _AT_ONCE or self._is_patient(now_ms):
            return None
        able = [node for node in self._claims if node not in self._asked]
        for node in sorted(able, key=lambda one: self._slow.get(one, 0) > now_ms):
            claim = self._claims.pop(node)
            if self._held.get(node) == above:
                continue  # it had no more than this
            self._claims[node] = claim  # behind the others
            return self._ask(node, above, now_ms)
        return None

    def wait_ms(self, now_ms: int) -> int | None:
        """How long until `next` may name somebody else, with nothing heard meanwhile."""
        if not self._claims or not self._asked:
            return None
        waited = [self._waited_ms(node, now_ms) for node in self._asked]
        is_patient = self._is_patient(now_ms)
        left_ms = _PATIENCE_MS - min(waited) if is_patient else _GIVEN_UP_MS - max(waited)
        return max(1, left_ms)

    def answered(self, node: bytes, above: Above, now_ms: int) -> None:
        """What this peer answered was taken in; `above` is held now."""
        asked_ms = self._asked.pop(node, None)
        if asked_ms is None:
            return
        if above != self._held.get(node) or now_ms - asked_ms >= HELD_MS // 2:
            self._source = node
        elif node == self._source:
            self._source = b""

    def _ask(self, node: bytes, above: Above, now_ms: int) -> bytes | None:
        if not node:
            return None
        self._asked[node] = now_ms
        self._held[node] = above
        return node

    def _waited_ms(self, node: bytes, now_ms: int) -> int:
        """How long a peer has not answered although there is something."""
        return now_ms - max(self._asked[node], self._behind_ms)

    def _is_patient(self, now_ms: int) -> bool:
        return any(self._waited_ms(node, now_ms) < _PATIENCE_MS for node in self._asked)
