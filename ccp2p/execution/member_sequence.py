"""Exactly once, in order per member: what the state remembers of each member's numbers.

The last executed number is never forgotten. The outcomes of the last 64 are kept and given again
to a repeated event; up to 64 numbers ahead an event is held until the gap before it fills. Held
events die with their epoch.
"""

from typing import Final, Literal

from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.model.outcome import MemberEvent, Outcome

MEMBER: Final = SYSTEM + b"m"

_WINDOW: Final = limits.SEQUENCE_WINDOW
_MAX_RECORD_BYTES: Final = _WINDOW * (limits.MAX_OUTCOME_BYTES + 256) + 2 * limits.MAX_HELD_BYTES


class Held(Wire, frozen=True):
    """An event that came before its turn."""

    epoch: int
    sequence: int
    tag: bytes
    identifier: bytes
    body: bytes


class _Record(Wire, frozen=True):
    """`outcomes` are encoded, those of the newest numbers up to `last`."""

    last: int
    outcomes: tuple[bytes, ...]
    held: tuple[Held, ...]


class MemberSequence:
    """One member's numbers while a commit is applied. `last` is 0 before the first."""

    __slots__ = ("_held", "_held_bytes", "_outcomes", "changed", "last")

    def __init__(self, record: _Record, epoch: int) -> None:
        self.last = record.last
        self._outcomes = list(record.outcomes)
        self._held = {held.sequence: held for held in record.held if held.epoch == epoch}
        self._held_bytes = sum(len(held.body) for held in self._held.values())
        self.changed = False

    def past(self, event: MemberEvent) -> Outcome | Literal["used", "conflict"]:
        """The kept outcome of an executed number, or why there is none."""
        place = len(self._outcomes) - 1 - (self.last - event.sequence)
        if place < 0 or event.sequence < 1:
            return "used"
        outcome = codec.decode(self._outcomes[place], Outcome, _MAX_RECORD_BYTES, LocalFault)
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
        held = self._held.pop(self.last + 1, None)
        if held is not None:
            self._held_bytes -= len(held.body)
        return held

    def executed(self, outcome: bytes) -> None:
        """Number `last + 1` has run; keep its encoded outcome."""
        self.last += 1
        self._outcomes.append(outcome)
        del self._outcomes[:-_WINDOW]
        self.changed = True

    def record(self) -> bytes:
        """The encoded record."""
        held = tuple(self._held[number] for number in sorted(self._held))
        return codec.encode(_Record(self.last, tuple(self._outcomes), held))


class MemberSequences:
    """The members that one commit touches: each record is read once and written once."""

    def __init__(self, state: State, epoch: int) -> None:
        self._state = state
        self._epoch = epoch
        self._members: dict[bytes, MemberSequence] = {}

    def of(self, member: bytes) -> MemberSequence:
        """The member's numbers; a fresh start for an unknown one."""
        sequence = self._members.get(member)
        if sequence is None:
            record = read(self._state, member) or _Record(0, (), ())
            sequence = self._members[member] = MemberSequence(record, self._epoch)
        return sequence

    def write(self) -> list[tuple[bytes, int]]:
        """Put the changed records into the state; every such member with its last number."""
        advanced = []
        for member, sequence in self._members.items():
            if sequence.changed:
                self._state.put(MEMBER + member, sequence.record())
                advanced.append((member, sequence.last))
        return advanced


def read(state: State, member: bytes) -> _Record | None:
    """A member's record, or None for an unknown member."""
    data = state.get(MEMBER + member)
    if data is None:
        return None
    return codec.decode(data, _Record, _MAX_RECORD_BYTES, LocalFault)
