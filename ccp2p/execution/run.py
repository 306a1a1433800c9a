"""One commit on its way through the state machine: events executed, held, answered or refused."""

from collections.abc import Iterable

from ccp2p.execution.app import DETERMINISTIC_MISTAKES, App, Context
from ccp2p.execution.host import Host
from ccp2p.execution.member_sequence import Held, MemberSequence, MemberSequences
from ccp2p.execution.state import State
from ccp2p.model import codec, limits
from ccp2p.model.commit import Commit
from ccp2p.model.errors import MemberFault
from ccp2p.model.host_commands import is_for_host
from ccp2p.model.outcome import MemberEvent, Outcome, Status


class Run:
    """Collects the `outcomes` to answer, with their tags, and those `executed`, encoded.

    An outcome's position is its index in `outcomes`. `is_last`: the epoch ends with this commit.
    """

    def __init__(
        self,
        app: App,
        host: Host,
        state: State,
        seed_key: bytes,
        commit: Commit,
        sequences: MemberSequences,
    ) -> None:
        self._app = app
        self._host = host
        self._state = state
        self._commit = commit
        self._context = Context(state, commit, seed_key)
        self._sequences = sequences
        self.is_last = False
        self.outcomes: list[tuple[bytes, Outcome]] = []
        self.executed: list[tuple[bytes, bytes]] = []

    def take(self, events: Iterable[MemberEvent]) -> None:
        """Bring each event in turn to its outcome, or hold it."""
        sequence_of, execute = self._sequences.of, self._execute
        for event in events:
            if event.refusal:
                self._refuse(event, "denied", event.refusal)
                continue
            numbers = sequence_of(event.member)
            ahead = event.sequence - numbers.last
            if event.sequence == 0:
                self._greet(numbers, event)
            elif ahead == 1:
                execute(numbers, event.member, event)
                while held := numbers.take_next():
                    execute(numbers, event.member, held)
            elif ahead > 1:
                self._hold(numbers, event)
            else:
                self._repeat(numbers, event)

    def _greet(self, numbers: MemberSequence, event: MemberEvent) -> None:
        """Number 0 executes nothing: it makes a member known and tells its last number."""
        numbers.changed |= not numbers.is_known
        place = len(self.outcomes)
        body = numbers.last.to_bytes(8, "big")
        outcome = Outcome(event.identifier, "ok", self._commit.index, place, body)
        self.outcomes.append((event.tag, outcome))

    def _hold(self, numbers: MemberSequence, event: MemberEvent) -> None:
        reason = numbers.hold(event, self._commit.epoch)
        if reason == "conflict":
            self._refuse(event, "conflict", "")
        elif reason:
            self._refuse(event, "denied", reason)

    def _repeat(self, numbers: MemberSequence, event: MemberEvent) -> None:
        known = numbers.past(event)
        if isinstance(known, Outcome):
            self.outcomes.append((event.tag, known))
        else:
            self._refuse(event, known, "")

    def _execute(self, numbers: MemberSequence, member: bytes, event: MemberEvent | Held) -> None:
        place = len(self.outcomes)
        status, answer = self._answer(member, event.body, place)
        outcome = Outcome(event.identifier, status, self._commit.index, place, answer)
        encoded = codec.encode(outcome)
        numbers.executed(encoded)
        self.outcomes.append((event.tag, outcome))
        self.executed.append((event.identifier, encoded))

    def _answer(self, member: bytes, body: bytes, place: int) -> tuple[Status, bytes]:
        """The app, or the host, on one event: all of its writes, or none."""
        context = self._context
        context.begin(member, place)
        try:
            if is_for_host(body):
                answer = self._host.execute(self._state, member, body, self._commit, self.is_last)
            else:
                answer = self._app.apply(context, body)
        except MemberFault as fault:
            return "rejected", fault.code.encode()
        except DETERMINISTIC_MISTAKES:
            return "rejected", b"app-mistake"
        if len(answer) > limits.MAX_OUTCOME_BYTES:
            return "rejected", b"answer-oversized"
        context.keep()
        return "ok", answer

    def _refuse(self, event: MemberEvent, status: Status, reason: str) -> None:
        body = reason.encode()[: limits.MAX_OUTCOME_BYTES]
        place = len(self.outcomes)
        outcome = Outcome(event.identifier, status, self._commit.index, place, body)
        self.outcomes.append((event.tag, outcome))
