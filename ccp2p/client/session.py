"""A member's session with a network: sealed, signed, pipelined, and robust against lost nodes.

An event keeps its envelope from first try to last: the tag is the same through whichever node it
goes, so the network executes it once and every retry finds the same outcome. Only a new epoch makes
new envelopes: sessions die with their epoch, and what had no outcome is sealed anew under the same
number, so that it still executes once.
"""

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from ccp2p.client.connection import Answer, NodeConnection
from ccp2p.client.verification import VerifiedNode
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.envelope import Event, event_id, event_signed_bytes
from ccp2p.model.errors import Denied, Fault, MemberFault, NotCommitted, PeerFault, Unreachable
from ccp2p.model.host_commands import INVITE_REFUSALS
from ccp2p.model.member_protocol import Asked, QueryResult, Question, Read
from ccp2p.model.outcome import Outcome
from ccp2p.sealing import session as sessions
from ccp2p.sealing.session import SessionContext, SessionKeys

# The oldest event without an outcome is at most this far behind the newest, so that its number is
# within the window of kept outcomes even when all the others have been executed.
_IN_FLIGHT = limits.SEQUENCE_WINDOW
# What becomes of garbage that somebody else had ordered under our tag, which hosts can see.
_OTHERS_CODES = frozenset({"sealed", "tag", "opening"})
RETRY_AFTER_S = 5.0  # doubled with every silence
MOST_RETRY_S = 20.0
_FULL_CODES = frozenset({"busy", "not-founded"})  # here and now; elsewhere may be room
_MOST_OFFERS = 3  # of an event to one node after the other: in an overload all of them are full
_RENEW_PAUSE_S = 0.1  # between two looks at whether the node is in the next epoch
_RENEW_PATIENCE_S = 30.0  # for a read that waits for the next epoch
_NONCE_BYTES = 16

Done = Callable[[Outcome | Fault], None]


@dataclass(slots=True, eq=False)
class SealedEvent:
    """An event in its envelope, and what to do with its outcome."""

    sequence: int
    body: bytes
    tag: bytes
    envelope: bytes
    identifier: bytes
    done: Done
    sent_at: float = 0.0
    silences: int = 0
    offers: int = 0  # nodes that had no room for it since it was last waited for
    asked: list[NodeConnection] = field(default_factory=list)  # under the tag that it has now

    def is_overdue(self, now: float) -> bool:
        """Whether it is time to send it again: repeats at a steady pace would feed an overload."""
        return now - self.sent_at > min(MOST_RETRY_S, RETRY_AFTER_S * 2**self.silences)

    def may_be_others(self, refusal: Fault) -> bool:
        """Whether this may be said of another envelope under this tag: then ours may yet come.

        Nobody claims the tag of what opens a session before that is open.
        """
        opens = self.sequence == 0
        return refusal.code in _OTHERS_CODES or (opens and refusal.code == "no-session")


class MemberSession:
    """One member's events. `pick()` gives a live connection, preferring the one used before.

    `last` is the member's last used sequence number; `open` learns it from the network. `seen` is
    the newest commit that this session passed a barrier in: its reads never go behind that. `lost`
    counts events that were acknowledged to this session and that a recovery of the network lost.
    """

    def __init__(
        self,
        member: SigningKey,
        network: VerifiedNode,
        pick: Callable[[NodeConnection | None], NodeConnection],
        others: Callable[[], list[NodeConnection]],
        *,
        invite: bytes,
    ) -> None:
        self.member = member
        self.last = 0
        self.lost = 0
        self._pick = pick
        self._others = others
        self._invite = invite
        self._begin(network)
        self._connection: NodeConnection | None = None
        self._past_epoch = trio.Event()
        self._is_renewing = False
        self._barrier_turn = trio.Lock()
        self._queue: deque[SealedEvent] = deque()
        self._in_flight: dict[bytes, SealedEvent] = {}

    def _begin(self, network: VerifiedNode) -> None:
        """Agree on a key with the network's epoch; the opening tells it."""
        self.verified = network
        record, parameters = network.record, network.genesis.parameters
        self._context = SessionContext(network.network, record.epoch, parameters.aead)
        key = os.urandom(sessions.KEY_BYTES)
        self._keys = SessionKeys.derive(key)
        self._opening = sessions.seal_opening(self._context, record.epoch_key, key, self._invite)
        self.identifier = sessions.session_id(self._opening)
        self.seen = 0

    async def open(self, timeout_ms: int) -> None:
        """Open the session; afterwards `last` is what the network knows of this member.

        Denied when the invite or the member is refused; NotCommitted in time's absence.
        """
        await self.barrier(timeout_ms)

    async def barrier(self, timeout_ms: int) -> int:
        """Wait for a commit that was decided after this call; its index in the epoch.

        Later reads in this session see it, and thereby everything committed before the call. The
        event executes nothing; a nonce in it keeps a host from replaying the answer to an earlier.
        """
        async with self._barrier_turn:
            sealed = self._seal(0, os.urandom(_NONCE_BYTES), self._opening)
            outcome = await self.outcome_of(sealed, timeout_ms)
        if outcome.status != "ok":
            raise _denied(outcome)
        self.last = max(self.last, int.from_bytes(outcome.body, "big"))
        self.seen = max(self.seen, outcome.commit)
        return outcome.commit

    async def submit(self, body: bytes, timeout_ms: int) -> Outcome:
        """Order one event and wait for its outcome; NotCommitted when time is up."""
        return await self.outcome_of(self.seal(body), timeout_ms)

    def post(self, body: bytes, done: Done) -> None:
        """Order one event; `done` is called once, in this trio run, with what became of it."""
        self.post_sealed(self.seal(body), done)

    def seal(self, body: bytes) -> SealedEvent:
        """An event made ready under the next sequence number, for `post_sealed` in this order.

        MemberFault when it is too large; the number is then still free.
        """
        sealed = self._seal(self.last + 1, body, b"")
        self.last += 1
        return sealed

    def post_sealed(self, sealed: SealedEvent, done: Done) -> None:
        """Order an event that `seal` made."""
        sealed.done = done
        self._enqueue(sealed)

    async def query(self, body: bytes, via: NodeConnection | None = None) -> bytes:
        """Read from the executed state of one node: `via`, or the one this session talks to.

        The answer is that node's word. It is never older than the last `barrier` or `open`.
        """
        await self._is_open()
        return await self.ask(Read(self.seen, body), via)

    async def ask(self, asked: Asked, via: NodeConnection | None = None) -> bytes:
        """Ask one node; Denied has the reason code when it refuses."""
        await self._is_open()
        body = codec.encode(Question(asked))
        connection, context, keys, identifier = via, self._context, self._keys, self.identifier
        if connection is None:
            connection = self._connection = self._pick(self._connection)
        number, reply = await connection.query(
            identifier, lambda n: sessions.seal_query(context, keys, identifier, n, body)
        )
        if reply.refusal == "no-session" and await self._has_renewed(context.epoch, connection):
            return await self.ask(Read(0, asked.body) if isinstance(asked, Read) else asked, via)
        if reply.refusal:
            raise Denied(f"the node refuses the read: {reply.refusal[:64]}", reply.refusal[:64])
        answer = sessions.open_reply(context, keys, identifier, number, reply.sealed)
        if answer is None:
            raise PeerFault("reply", "the node's reply is not sealed to this session")
        result = codec.decode(answer, QueryResult, limits.MAX_QUERY_REPLY_BYTES + 1024)
        if result.refusal:
            raise Denied(f"the network refuses the read: {result.refusal[:64]}", result.refusal)
        return result.answer

    def others(self) -> list[NodeConnection]:
        """Connections to other nodes than the one that this session talks to, as far as there are.

        Nodes that are known and were never asked are connected to, for the next time.
        """
        return [connection for connection in self._others() if connection is not self._connection]

    async def _is_open(self) -> None:
        """Wait while a session of the next epoch is being opened: no node knows it before."""
        with trio.move_on_after(_RENEW_PATIENCE_S):
            while self._is_renewing:
                await trio.sleep(_RENEW_PAUSE_S)

    async def _has_renewed(self, epoch: int, connection: NodeConnection) -> bool:
        """Whether the session is in a later epoch than `epoch`, if need be after a while."""
        if self._context.epoch == epoch:
            if (await connection.refresh(epoch)).record.epoch <= epoch:
                return False
            if (
                self._context.epoch == epoch
            ):  # else it is under way: another word would break it off
                self._past_epoch.set()
        with trio.move_on_after(_RENEW_PATIENCE_S):
            while self._context.epoch == epoch or self._is_renewing:
                await trio.sleep(_RENEW_PAUSE_S)
        return self._context.epoch > epoch

    async def renew(self) -> None:
        """Follow the network into its next epochs, until cancelled."""
        while True:
            await self._past_epoch.wait()
            try:
                self._connection = self._pick(self._connection)
                node = await self._connection.refresh(self._context.epoch)
                self._past_epoch = trio.Event()
                if node.record.epoch > self._context.epoch:
                    await self._renew(node)
            except Fault:
                self._connection = None  # another node may answer
            await trio.sleep(_RENEW_PAUSE_S)

    async def _renew(self, node: VerifiedNode) -> None:
        """Open a session of the new epoch, then send again what has no outcome, in its order.

        Events follow the opening only once it is ordered: before, nobody would claim their tags.
        """
        self._is_renewing = True
        waiting = [*self._in_flight.values(), *self._queue]
        for pending in waiting:  # an answer that is late would not open under the new keys
            self._withdraw(pending)
        self._queue = deque()
        self._begin(node)
        known: int | None = None
        try:
            greeting = self._seal(0, os.urandom(_NONCE_BYTES), self._opening)
            known = await self._greet(greeting)
        finally:
            self._is_renewing = False
            waiting.extend(self._queue)
            self._queue = deque()
            if node.recoveries and known is not None:
                self._close_gap(waiting, known)
            for pending in sorted(waiting, key=lambda one: one.sequence):
                opening = self._opening if pending.sequence == 0 else b""
                sealed = self._seal(pending.sequence, pending.body, opening)
                pending.tag, pending.envelope = sealed.tag, sealed.envelope
                self._enqueue(pending)

    def _close_gap(self, waiting: list[SealedEvent], known: int) -> None:
        """Number what waits anew after a recovery that lost events of this member.

        The network knows numbers up to `known`. Later ones that were acknowledged are gone with
        their events, and what follows would wait for them for ever.
        """
        self.lost += max(0, self.last - known - sum(one.sequence > known for one in waiting))
        self.last = known
        for pending in sorted(waiting, key=lambda one: one.sequence):
            if pending.sequence > known:
                self.last += 1
                pending.sequence = self.last
                pending.identifier = self._identifier(pending.sequence, pending.body)

    async def _greet(self, greeting: SealedEvent) -> int | None:
        """Send a greeting until it is ordered, or the epoch is over again.

        A node shows the new record a moment before it takes envelopes of the new epoch. The
        member's last number, as the network knows it; None when it did not say.
        """
        answered = trio.Event()
        answers: list[Outcome | Fault] = []

        def done(answer: Outcome | Fault) -> None:
            answers.append(answer)
            answered.set()

        greeting.done = done
        self._send(greeting)
        while not answered.is_set():
            with trio.move_on_after(_RENEW_PAUSE_S):
                await answered.wait()
            if self._past_epoch.is_set():
                if await self._is_over():
                    break
                self._past_epoch = trio.Event()
                self._send(greeting)
        self._in_flight.pop(greeting.tag, None)
        for answer in answers:
            if isinstance(answer, Outcome) and answer.status == "ok":
                return int.from_bytes(answer.body, "big")
        return None

    async def _is_over(self) -> bool:
        """Whether the node that refuses this epoch is in a later one."""
        try:
            self._connection = self._pick(self._connection)
            node = await self._connection.refresh(self._context.epoch)
        except Fault:
            self._connection = None  # another node may take it
            return False
        return node.record.epoch > self._context.epoch

    def retry(self, now: float) -> None:
        """Send again whatever is overdue; call it about once a second."""
        overdue = [pending for pending in self._in_flight.values() if pending.is_overdue(now)]
        if any(pending.silences for pending in overdue):
            self._turn_from(self._connection)  # who keeps silent may be cut off, or hostile
        for pending in overdue:
            pending.silences += 1
            pending.offers = 0
            self._send(pending)

    def _turn_from(self, connection: NodeConnection | None) -> int:
        """Go on with another node than this one, if there is one; how many are connected."""
        live = self._others()
        if connection is self._connection and connection in live:
            self._connection = live[(live.index(connection) + 1) % len(live)]
        return len(live)

    def _seal(self, sequence: int, body: bytes, opening: bytes) -> SealedEvent:
        identifier = self._identifier(sequence, body)
        signature = self.member.sign(event_signed_bytes(identifier))
        event = Event(self.member.public, sequence, body, signature)
        envelope = sessions.seal_event(self._context, self._keys, event, opening)
        data = codec.encode(envelope)
        return SealedEvent(sequence, body, envelope.tag, data, identifier, lambda _: None)

    def _identifier(self, sequence: int, body: bytes) -> bytes:
        return event_id(self.verified.network, self.member.public, sequence, body)

    async def outcome_of(self, pending: SealedEvent, timeout_ms: int) -> Outcome:
        """Order an event that `seal` made, and wait; NotCommitted when time is up."""
        results: list[Outcome | Fault] = []
        finished = trio.Event()

        def done(result: Outcome | Fault) -> None:
            results.append(result)
            finished.set()

        pending.done = done
        self._enqueue(pending)
        with trio.move_on_after(timeout_ms / 1000):
            await finished.wait()
        if not results:
            self._withdraw(pending)
            if pending in self._queue:
                self._queue.remove(pending)
            raise NotCommitted(
                f"not committed within {timeout_ms / 1000:.0f} s; the network may still do it"
            )
        result = results[0]
        if isinstance(result, Fault):
            raise result
        return result

    def _enqueue(self, pending: SealedEvent) -> None:
        if len(self._in_flight) >= _IN_FLIGHT or self._is_renewing:
            self._queue.append(pending)
        else:
            self._send(pending)

    def _send(self, pending: SealedEvent) -> None:
        pending.sent_at = trio.current_time()
        self._in_flight[pending.tag] = pending
        try:
            self._connection = via = self._pick(self._connection)
            via.submit(
                pending.tag, pending.envelope, lambda answer: self._answered(pending, via, answer)
            )
            if via not in pending.asked:
                pending.asked.append(via)
        except Unreachable:
            pass  # no node is up now; `retry` tries again

    def _answered(self, pending: SealedEvent, via: NodeConnection, answer: Answer) -> None:
        if self._in_flight.get(pending.tag) is not pending:
            return
        if isinstance(answer, Fault):
            if answer.code == "unreachable":
                self._send(pending)
            elif answer.code in _FULL_CODES:
                self._offer_elsewhere(pending, via)
            elif answer.code == "wrong-epoch":
                self._past_epoch.set()  # it stays in flight, to be sealed anew
            elif not pending.may_be_others(answer):
                self._finish(pending, answer)
            return
        try:
            outcome = self._open(pending, answer)
        except PeerFault as fault:
            self._finish(pending, fault)
            return
        if outcome.event == pending.identifier:
            self._finish(pending, outcome)
        elif pending.sequence == 0:
            self._send(pending)  # an earlier barrier had a copy under way, ordered only now
        else:
            self._finish(
                pending, PeerFault("outcome", "the node answered with another event's outcome")
            )

    def _offer_elsewhere(self, pending: SealedEvent, full: NodeConnection) -> None:
        """Send it to another node at once; where a few have no room it waits to be overdue."""
        pending.offers += 1
        if pending.offers < min(_MOST_OFFERS, self._turn_from(full)):
            self._send(pending)

    def _open(self, pending: SealedEvent, sealed: bytes) -> Outcome:
        plaintext = sessions.open_outcome(self._context, self._keys, pending.tag, sealed, PeerFault)
        return codec.decode(plaintext, Outcome, limits.MAX_OUTCOME_BYTES + 256)

    def _withdraw(self, pending: SealedEvent) -> None:
        """Wait no more for an answer under its tag, from whichever node it was sent to."""
        self._in_flight.pop(pending.tag, None)
        while pending.asked:
            pending.asked.pop().abandon(pending.tag)

    def _finish(self, pending: SealedEvent, result: Outcome | Fault) -> None:
        self._withdraw(pending)
        while self._queue and len(self._in_flight) < _IN_FLIGHT and not self._is_renewing:
            self._send(self._queue.popleft())
        pending.done(result)


_DENIALS = {
    **INVITE_REFUSALS,
    "bad-key": "the member's key is not a valid Ed25519 key",
    "bad-signature": "the event's signature is wrong",
}


def _denied(outcome: Outcome) -> Denied:
    reason = outcome.body.decode(errors="replace")
    return Denied(_DENIALS.get(reason, reason), reason)


def require_executed(outcome: Outcome) -> bytes:
    """The body of an executed event; Denied or MemberFault says why there is none."""
    reason = outcome.body.decode(errors="replace")
    if outcome.status == "denied":
        raise _denied(outcome)
    if outcome.status == "rejected":
        raise Denied(f"the network refused it: {reason}", reason)
    if outcome.status != "ok":
        raise MemberFault(
            outcome.status,
            "this sequence number was used for something else: is the same member key in use on "
            "another machine?",
        )
    return outcome.body
