"""What members of a simulated network do: open sessions, send events in order, read outcomes.

When the network begins another epoch they open a session there and send again what has no outcome,
as `client.session` does.

Every event of a member puts the member's own number under the member's own key, so the state tells
whether each number ran once and in order: the value must always equal the last executed number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.crypto import aead
from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.apps import kv_protocol as kv
from ccp2p.model import codec
from ccp2p.model.envelope import Event, event_id, event_signed_bytes
from ccp2p.model.epoch import EpochRecord
from ccp2p.model.errors import PeerFault
from ccp2p.model.outcome import Outcome
from ccp2p.sealing import session as sessions
from ccp2p.sealing.session import SessionContext, SessionKeys
from ccp2p.simulator import sealed
from ccp2p.simulator.founding import Founded, derived

if TYPE_CHECKING:
    from ccp2p.simulator.host import Host
    from ccp2p.simulator.world import World

RETRY_US = 2_000_000  # doubled with every silence, as clients do: repeats must not feed an overload
MOST_RETRY_US = 16_000_000
IN_FLIGHT = 32  # fewer than the window of sequence numbers that a member may be ahead


def body_of(member: bytes, sequence: int) -> bytes:
    """What a member's event asks for: its own number under its own key."""
    return codec.encode(kv.Request(kv.Put(member, sequence.to_bytes(8, "big"))))


class Session:
    """One member's session, as its client holds it. All randomness follows from the seed.

    `record` is that of its epoch; epoch record 0 unless another is given.
    """

    def __init__(
        self,
        founded: Founded,
        seed: int,
        number: int,
        invite: bytes,
        record: EpochRecord | None = None,
    ) -> None:
        record = record or founded.link.record
        self.epoch = record.epoch
        self.key = SigningKey(derived(seed, b"member", number))
        self.member = self.key.public
        self.context = SessionContext(
            founded.network, record.epoch, founded.genesis.parameters.aead
        )
        of_epoch = b"" if record.epoch == 0 else b" in epoch %d" % record.epoch
        secret = derived(seed, b"session" + of_epoch, number)
        self.keys = SessionKeys.derive(secret)
        ephemeral = derived(seed, b"ephemeral" + of_epoch, number)
        self.opening = sealed.seal_opening(
            self.context, record.epoch_key, secret, invite, ephemeral
        )
        self._of_epoch = of_epoch
        self._seed = seed
        self._number = number

    def event(self, sequence: int, body: bytes, signer: SigningKey | None = None) -> Event:
        """A signed event; by another key than the member's own if told so."""
        identifier = event_id(self.context.network, self.member, sequence, body)
        signature = (signer or self.key).sign(event_signed_bytes(identifier))
        return Event(self.member, sequence, body, signature)

    def seal(self, event: Event, opening: bytes = b"") -> bytes:
        """The envelope of an event. Nonces follow from the event, as runs must be repeatable."""
        nonce = derived(self._seed, b"nonce" + event.signature + self._of_epoch, self._number)
        nonce = nonce[: aead.NONCE_BYTES[self.context.aead]]
        return sealed.seal_event(self.context, self.keys, event, opening, nonce)


@dataclass(slots=True)
class Pending:
    """An event under way."""

    sequence: int
    tag: bytes
    envelope: bytes
    identifier: bytes
    sent_us: int
    tries: int = 0
    silences: int = 0
    is_repeated: bool = False  # sent in an earlier epoch, too


@dataclass
class Member:
    """One member and its client; `home` is the node that it talks to, others too if it roams."""

    number: int
    session: Session
    home: int
    roams: bool
    last: int = 0
    wanted: int = 0
    is_open: bool = False
    pending: dict[bytes, Pending] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)  # numbers to send again in a new session
    done: dict[int, None] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)


class Load:
    """All members of a world. `members` many, who together send `events` within `span_us`."""

    def __init__(
        self, world: "World", random: Random, members: int, events: int, span_us: int
    ) -> None:
        self._world = world
        self._random = random
        founded, seed = world.founded, world.seed
        size = founded.committee.size
        self.members = [
            Member(
                number,
                Session(founded, seed, number, founded.invite),
                random.randrange(size),
                number == 1,
            )
            for number in range(members)
        ]
        self._by_tag: dict[bytes, Member] = {}
        self._unordered: dict[bytes, tuple[int, int]] = {}
        self.latencies_us: list[int] = []
        for number in range(events):
            at_us = random.randrange(span_us)
            world.later(at_us, self._want, self.members[number % members])
        for member in self.members:
            world.later(0, self._open, member)

    @property
    def unanswered(self) -> int:
        """How many events were asked for and have no outcome yet."""
        return sum(member.wanted - len(member.done) for member in self.members)

    @property
    def executed(self) -> int:
        """How many events have an outcome."""
        return sum(len(member.done) for member in self.members)

    def forget_latencies(self) -> None:
        """Count the latencies of what is sent from now on, and of nothing before."""
        self.latencies_us.clear()
        self._unordered.clear()

    def envelopes(self) -> Iterator[bytes]:
        """What is under way, for whoever wants to repeat it."""
        for member in self.members:
            for pending in member.pending.values():
                yield pending.envelope

    def ordered(self, host: "Host", committed: CommittedBlocks) -> None:
        """A node has ordered a commit: take the time of what came in through it."""
        for block in committed.blocks:
            for envelope in block.payload.envelopes:
                sent = self._unordered.get(envelope)
                if sent is not None and sent[0] == host.index:
                    del self._unordered[envelope]
                    self.latencies_us.append(self._world.now_us - sent[1])

    def answered(self, host: "Host", tag: bytes, sealed_outcome: bytes) -> None:
        """A sealed outcome for whoever sent `tag`."""
        member = self._by_tag.get(tag)
        if member is None or tag not in member.pending:
            return
        pending = member.pending[tag]
        session = member.session
        opened = sessions.open_outcome(
            session.context, session.keys, tag, sealed_outcome, PeerFault
        )
        outcome = codec.decode(opened, Outcome, 4096)
        del member.pending[tag]
        if pending.sequence == 0:
            self._opened(member, outcome)
            return
        self._world.checks.outcome(host, member, pending, outcome)
        member.done[pending.sequence] = None
        if not pending.is_repeated:
            member.places[pending.sequence] = (outcome.commit, outcome.position)
        self._pump(member)

    def dropped(self, host: "Host", code: str) -> None:
        """The network dropped an envelope; its client will send it again."""
        self._world.trace.note(self._world.now_us, host.index, "dropped", code.encode())

    def _open(self, member: Member) -> None:
        self._send(member, 0, b"", member.session.opening)

    def _opened(self, member: Member, outcome: Outcome) -> None:
        self._world.checks.opened(outcome)
        member.is_open = True
        waiting, member.waiting = member.waiting, []
        for sequence in waiting:
            body = body_of(member.session.member, sequence)
            self._send(member, sequence, body, b"", is_repeated=True)
        self._pump(member)

    def _renew(self, member: Member, record: EpochRecord) -> None:
        """Open a session of a later epoch; what has no outcome follows once it is open."""
        world = self._world
        numbers = [one.sequence for one in member.pending.values() if one.sequence]
        member.waiting = sorted((*member.waiting, *numbers))
        member.pending.clear()
        member.places.clear()  # of another epoch than those that follow
        member.is_open = False
        founded = world.founded
        member.session = Session(founded, world.seed, member.number, founded.invite, record)
        self._open(member)

    def _want(self, member: Member) -> None:
        member.wanted += 1
        self._pump(member)

    def _pump(self, member: Member) -> None:
        while member.is_open and member.last < member.wanted and len(member.pending) < IN_FLIGHT:
            member.last += 1
            self._send(member, member.last, body_of(member.session.member, member.last), b"")

    def _send(
        self,
        member: Member,
        sequence: int,
        body: bytes,
        opening: bytes,
        *,
        is_repeated: bool = False,
    ) -> None:
        session = member.session
        event = session.event(sequence, body)
        tag = session.keys.tag_of(sequence)
        identifier = event_id(session.context.network, session.member, sequence, body)
        envelope = session.seal(event, opening)
        pending = Pending(
            sequence, tag, envelope, identifier, self._world.now_us, is_repeated=is_repeated
        )
        member.pending[tag] = pending
        self._by_tag[tag] = member
        self._submit(member, pending)

    def _submit(self, member: Member, pending: Pending) -> None:
        world = self._world
        if pending.tries or member.roams:
            # Intruders come last, and nobody takes them for nodes of the network.
            member.home = self._random.randrange(len(world.hosts) - len(world.intruders))
        host = world.hosts[member.home]
        refusal = host.submit(pending.envelope) if host.is_up else "down"
        if refusal == "wrong-epoch" and host.epoch > member.session.epoch:
            self._renew(member, host.link.record)
            return
        if not refusal and not pending.tries:
            self._unordered[pending.envelope] = (host.index, world.now_us)
        pause_us = min(MOST_RETRY_US, RETRY_US << pending.silences)
        pending.tries += 1
        pending.silences += refusal != "down"  # no silence: another node is asked soon
        world.later(pause_us, self._retry, member, pending)

    def _retry(self, member: Member, pending: Pending) -> None:
        if member.pending.get(pending.tag) is pending:
            self._submit(member, pending)
