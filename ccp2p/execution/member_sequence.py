"""Exactly once, in order per member: what the state remembers of each member's numbers.

The last executed number is never forgotten. The outcomes of the last 64 are kept and given again
to a repeated event; up to 64 numbers ahead an event is held until the gap before it fills. Held
events die with their epoch.

In the state a member is a ring of chunks, eight numbers each, so that an event rewrites one small
record and not all that is remembered; the newest chunk tells the last number. What is held is a
record of its own.
"""

from typing import Final, Literal

from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.model.outcome import MemberEvent, Outcome

MEMBER: Final = SYSTEM + b"m"
HELD: Final = SYSTEM + b"h"

_WINDOW: Final = limits.SEQUENCE_WINDOW
_CHUNK: Final = 8
_RING: Final = _WINDOW // _CHUNK + 1  # one is being overwritten while the others hold the window
_SLOTS: Final = tuple(bytes([slot]) for slot in range(_RING))
_MAX_OUTCOME_BYTES: Final = limits.MAX_OUTCOME_BYTES + 256
_MAX_CHUNK_BYTES: Final = _CHUNK * _MAX_OUTCOME_BYTES + 64
_MAX_HELD_BYTES: Final = 2 * limits.MAX_HELD_BYTES
_COMMITS_PER_TRIM: Final = 64  # looking at all members' sizes takes a while
_ITEM_BYTES: Final = 64  # what Python needs for a kept outcome or event besides its bytes


class Held(Wire, frozen=True):
    """An event that came before its turn."""

    epoch: int
    sequence: int
    tag: bytes
    identifier: bytes
    body: bytes


class _Chunk(Wire, frozen=True):
    """`outcomes` are encoded, those of the chunk's numbers up to `last`."""

    last: int
    outcomes: tuple[bytes, ...]


_HeldEvents = tuple[Held, ...]


class MemberSequence:
    """One member's numbers. `last` is 0 before the first."""

    __slots__ = (
        "_has_held_record",
        "_held",
        "_held_bytes",
        "_outcomes",
        "_written",
        "changed",
        "is_known",
        "last",
    )

    def __init__(self, last: int | None, outcomes: list[bytes], held: _HeldEvents, epoch: int):
        self.is_known = last is not None
        self.last = self._written = last or 0
        self._outcomes = outcomes
        self._has_held_record = bool(held)
        self._held = {event.sequence: event for event in held if event.epoch == epoch}
        self._held_bytes = sum(len(event.body) for event in self._held.values())
        self.changed = False

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        kept = len(self._outcomes) + len(self._held)
        return self._held_bytes + sum(map(len, self._outcomes)) + _ITEM_BYTES * kept

    def past(self, event: MemberEvent) -> Outcome | Literal["used", "conflict"]:
        """The kept outcome of an executed number, or why there is none."""
        behind = self.last - event.sequence
        if behind >= _WINDOW or event.sequence < 1:
            return "used"
        data = self._outcomes[-1 - behind]
        outcome = codec.decode(data, Outcome, _MAX_OUTCOME_BYTES, LocalFault)
        return outcome if outcome.event == event.identifier else "conflict"

    def hold(self, event: MemberEvent, epoch: int) -> str:
        """Keep an event for later; empty, or why not: `too-far`, `conflict`, `held-full`.

        The same event again is answered under the tag of its newest sending.
        """
        if event.sequence > self.last + _WINDOW:
            return "too-far"
        earlier = self._held.get(event.sequence)
        if earlier is not None and earlier.identifier != event.identifier:
            return "conflict"
        if earlier is None:
            if self._held_bytes + len(event.body) > limits.MAX_HELD_BYTES:
                return "held-full"
            self._held_bytes += len(event.body)
        self._held[event.sequence] = Held(
            epoch, event.sequence, event.tag, event.identifier, event.body
        )
        self.changed = True
        return ""

    def take_next(self) -> Held | None:
        """The held event whose turn it is, which is then held no more."""
        if not self._held:
            return None
        held = self._held.pop(self.last + 1, None)
        if held is not None:
            self._held_bytes -= len(held.body)
        return held

    def executed(self, outcome: bytes) -> None:
        """Number `last + 1` has run; keep its encoded outcome."""
        self.last += 1
        self._outcomes.append(outcome)
        self.changed = True

    def write(self, state: State, member: bytes) -> None:
        """Put what changed into the state."""
        last, outcomes = self.last, self._outcomes
        newest = (last - 1) // _CHUNK if last else 0
        first = self._written // _CHUNK  # beyond the newest where a chunk had just filled up
        first = max(first, newest - _RING + 1) if first < newest else newest
        for number in range(first, newest + 1):
            start = number * _CHUNK
            end = start + _CHUNK if number < newest else last
            kept = len(outcomes) - last
            chunk = codec.encode((end, outcomes[kept + start : kept + end]))  # a _Chunk, unbuilt
            state.put(MEMBER + member + _SLOTS[number % _RING], chunk)
        if self._held or self._has_held_record:
            self._write_held(state, member)
        if len(self._outcomes) > 2 * _WINDOW:
            del self._outcomes[: -_WINDOW - _CHUNK]
        self.is_known, self._written, self.changed = True, self.last, False

    def _write_held(self, state: State, member: bytes) -> None:
        events = tuple(self._held[number] for number in sorted(self._held))
        if events:
            state.put(HELD + member, codec.encode(events))
        else:
            state.delete(HELD + member)
        self._has_held_record = bool(events)


class MemberSequences:
    """The members of one epoch: read when first met, written once a commit, kept within a bound."""

    def __init__(self, state: State, epoch: int) -> None:
        self._state = state
        self._epoch = epoch
        self._members: dict[bytes, MemberSequence] = {}
        self._commits = 0
        self._met: dict[bytes, MemberSequence] = {}

    @property
    def epoch(self) -> int:
        """Whose held events these are."""
        return self._epoch

    def of(self, member: bytes) -> MemberSequence:
        """The member's numbers; a fresh start for an unknown one."""
        sequence = self._met.get(member)
        if sequence is None:
            sequence = self._members.get(member) or _read(self._state, member, self._epoch)
            self._met[member] = sequence
        return sequence

    def last_of(self, member: bytes) -> int | None:
        """The last executed number of a member; None when it is unknown."""
        sequence = self._members.get(member)
        if sequence is None:
            last, _ = _read_chunks(self._state, member)
            return last
        return sequence.last if sequence.is_known else None

    def is_known(self, member: bytes) -> bool:
        """Whether somebody was let in as a member, also earlier in this commit."""
        sequence = self._met.get(member)
        if sequence is None:
            return self.last_of(member) is not None
        return sequence.is_known or sequence.changed

    def enrol(self, member: bytes) -> None:
        """Make a newcomer a member, of whom nothing has been executed yet."""
        self.of(member).changed = True

    def write(self) -> list[tuple[bytes, int]]:
        """Put the changed records into the state; every such member with its last number."""
        advanced = []
        for member, sequence in self._met.items():
            if sequence.changed:
                sequence.write(self._state, member)
                advanced.append((member, sequence.last))
        self._members.update(self._met)
        self._commits += 1
        if self._commits % _COMMITS_PER_TRIM == 0:
            self._trim()
        self._met = {}
        return advanced

    def _trim(self) -> None:
        """Forget who was met first, until the rest is within the bound."""
        size_bytes = 0
        for member in reversed(list(self._members)):
            size_bytes += self._members[member].size_bytes
            if size_bytes > limits.MEMBER_CACHE_BYTES and member not in self._met:
                del self._members[member]


def _read(state: State, member: bytes, epoch: int) -> MemberSequence:
    last, outcomes = _read_chunks(state, member)
    data = None if last is None else state.get(HELD + member)
    held = codec.decode(data, _HeldEvents, _MAX_HELD_BYTES, LocalFault) if data else ()
    return MemberSequence(last, outcomes, held, epoch)


def _read_chunks(state: State, member: bytes) -> tuple[int | None, list[bytes]]:
    """The last number, or None for an unknown member, and the outcomes up to it."""
    chunks = []
    for slot in _SLOTS:  # they fill up in this order
        data = state.get(MEMBER + member + slot)
        if data is None:
            break
        chunks.append(codec.decode(data, _Chunk, _MAX_CHUNK_BYTES, LocalFault))
    if not chunks:
        return None, []
    chunks.sort(key=lambda chunk: chunk.last)
    return chunks[-1].last, [outcome for chunk in chunks for outcome in chunk.outcomes]
