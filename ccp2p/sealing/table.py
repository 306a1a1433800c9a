"""The open sessions of an epoch, as every replica keeps them.

A commit's envelopes are opened here, all at once, against the tags as of the commit's start;
openings in the same commit go first. What no session claims is dropped without trace. The result
depends on the committed order and the state alone, so it is the same on every node. No two open
sessions share a key: then no two claim one tag, and who claimed it first need not be state.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ccp2p.crypto import aead, blake2b, envelopes, hpke, signatures
from ccp2p.crypto.arena import Arena
from ccp2p.model import codec, hashing, limits
from ccp2p.model.envelope import (
    TAG_BYTES,
    Envelope,
    Event,
    event_id,
    event_signed_bytes,
    parse_envelope,
    unpad,
)
from ccp2p.model.errors import Fault, MemberFault
from ccp2p.model.host_commands import invite_digest
from ccp2p.model.outcome import MemberEvent, SessionRecord
from ccp2p.sealing.session import (
    SessionContext,
    SessionKeys,
    open_opening,
    session_id,
)

LastOf = Callable[[bytes], int | None]
"""A member's last executed sequence number as of the commit's start; None for a stranger."""

Admit = Callable[[bytes, bytes], str | None]
"""Lets a member in by the digest of its invite's secret: None, or the code of a refusal.

Asked once for each session that would open otherwise, in the commit's order; a stranger's invite
is used up by it, so what one opening is told may depend on those before it.
"""

_WINDOW = limits.SEQUENCE_WINDOW


@dataclass(slots=True)
class Session:
    """An open session; it answers to the tags of numbers from `first_tag` to below `end_tag`.

    `opener` is what its events are opened and checked with: keys of tags and of seals, the member.
    """

    record: SessionRecord
    keys: SessionKeys
    first_tag: int = 0
    end_tag: int = 0
    tags: deque[bytes] = field(default_factory=deque)
    opener: tuple[bytes, bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.opener = (self.keys.tag, self.keys.up, self.record.member)


@dataclass(slots=True)
class OpenedCommit:
    """A commit's events, in order; sessions opened and closed; tags that nobody claimed.

    `keys` seal the answers, by tag, to events whose session the table may not hold afterwards.
    """

    events: list[MemberEvent] = field(default_factory=list)
    opened: list[SessionRecord] = field(default_factory=list)
    closed: list[bytes] = field(default_factory=list)
    dropped: list[tuple[bytes, str]] = field(default_factory=list)
    keys: dict[bytes, SessionKeys] = field(default_factory=dict)


@dataclass(slots=True)
class _Candidate:
    """An envelope on its way to becoming an event."""

    envelope: Envelope
    session: Session | None = None
    opening: bool = False
    invite: bytes = b""
    event: Event | None = None
    identifier: bytes = b""
    refusal: str = ""


_Foreseen = tuple[Session, MemberEvent]


class SessionTable:
    """Opens what members sealed."""

    def __init__(self, context: SessionContext, epoch_key: hpke.PrivateKey) -> None:
        self._context = context
        self._epoch_key = epoch_key
        self._sessions: dict[bytes, Session] = {}
        self._by_member: dict[bytes, list[Session]] = {}
        self._by_tag: dict[bytes, Session] = {}
        self._keys: set[bytes] = set()
        self._coming: list[bytes] = []  # what was foreseen, and in the same order what it is
        self._foreseen: list[_Foreseen | None] = []

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def context(self) -> SessionContext:
        """Network, epoch and algorithm of every session here."""
        return self._context

    def restore(self, records: Iterable[SessionRecord], last_of: LastOf) -> None:
        """Rebuild the table from the replicated state."""
        for record in sorted(records, key=lambda record: (record.commit, record.session)):
            session = Session(record, SessionKeys.derive(record.key))
            self._add(session, last_of(record.member) or 0)

    def find(self, session: bytes) -> Session | None:
        """The open session with this id."""
        return self._sessions.get(session)

    def of_tag(self, tag: bytes) -> Session | None:
        """The session that claims this tag now."""
        return self._by_tag.get(tag)

    def foresee(self, data: Sequence[bytes]) -> None:
        """Open and check at once what open sessions claim of several commits to come.

        Only a cache for the commits that come next, in this order: what an envelope holds under a
        session is the same whenever it is opened, and `open_commit` still decides which session
        claims it in its turn. Whatever is not plain (openings, odd encodings, what does not open)
        waits for `open_commit` altogether.
        """
        self._coming, self._foreseen = list(data), [None] * len(data)
        claimed = [
            (place, tag, session)
            for place, tag in enumerate(envelopes.tags_of(data, self._context.epoch))
            if tag is not None and (session := self._by_tag.get(tag)) is not None
        ]
        if not claimed:
            return
        places, tags, sessions = zip(*claimed, strict=True)
        tag_keys, up_keys, members = zip(*[session.opener for session in sessions], strict=True)
        statuses, numbers, bodies, ids, proofs = envelopes.open_events(
            self._context.aead,
            self._context.network,
            self._context.epoch,
            [data[place] for place in places],
            tag_keys,
            up_keys,
            members,
        )
        identifiers = blake2b.split(ids)
        verdicts = _verdicts(members, identifiers, statuses, proofs)
        refusals = ["" if good else "bad-signature" for good in verdicts]
        events = map(MemberEvent, tags, members, numbers, bodies, identifiers, refusals)
        for place, session, event, status in zip(places, sessions, events, statuses, strict=True):
            if status == envelopes.GOOD:
                self._foreseen[place] = (session, event)

    def open_commit(
        self, commit: int, data: Sequence[bytes], last_of: LastOf, admit: Admit
    ) -> OpenedCommit:
        """Open everything that commit number `commit` carries."""
        result = OpenedCommit()
        if not data:
            return result
        foreseen = self._take_foreseen(data)
        others = [item for item, known in zip(data, foreseen, strict=True) if known is None]
        rest = iter(self._open_others(commit, others, last_of, admit, result))
        by_tag, events = self._by_tag, result.events
        for item, known in zip(data, foreseen, strict=True):
            if known is None:
                self._collect(next(rest), result)
            elif by_tag.get(known[1].tag) is known[0]:
                events.append(known[1])
            else:  # its session went meanwhile
                for candidate in self._open_others(commit, [item], last_of, admit, result):
                    self._collect(candidate, result)
        return result

    def _take_foreseen(self, data: Sequence[bytes]) -> Sequence[_Foreseen | None]:
        """What was foreseen of the next envelopes, if these are they."""
        count = len(data)
        coming, foreseen = self._coming[:count], self._foreseen[:count]
        if coming != list(data):
            return [None] * count
        del self._coming[:count], self._foreseen[:count]
        return foreseen

    def _open_others(
        self,
        commit: int,
        data: Sequence[bytes],
        last_of: LastOf,
        admit: Admit,
        result: OpenedCommit,
    ) -> list[_Candidate | None]:
        """What was not foreseen, one an item; None for garbage that nobody waits for."""
        candidates = [self._parse(item, result) for item in data]
        found = [candidate for candidate in candidates if candidate is not None]
        self._open_sessions(commit, [c for c in found if c.opening], last_of, admit, result)
        self._open_events([c for c in found if not c.opening])
        return candidates

    @staticmethod
    def _collect(candidate: _Candidate | None, result: OpenedCommit) -> None:
        if candidate is None:
            return
        event, tag = candidate.event, candidate.envelope.tag
        if event is None:
            result.dropped.append((tag, candidate.refusal or "no-session"))
            return
        if candidate.session is not None:
            result.keys[tag] = candidate.session.keys
        result.events.append(
            MemberEvent(
                tag,
                event.member,
                event.sequence,
                event.body,
                candidate.identifier,
                candidate.refusal,
            )
        )

    def advance(self, moved: Iterable[tuple[bytes, int]]) -> None:
        """Slide the tag windows of members to their new last sequence numbers."""
        self._slide(
            [
                (session, last)
                for member, last in moved
                for session in self._by_member.get(member, ())
            ]
        )

    def _parse(self, data: bytes, result: OpenedCommit) -> _Candidate | None:
        try:
            envelope = parse_envelope(data)
        except Fault:
            return None  # a node packed garbage; nobody waits for its tag
        if envelope.epoch != self._context.epoch:
            result.dropped.append((envelope.tag, "wrong-epoch"))
            return None
        return _Candidate(envelope, None, self._is_opening(envelope))

    def _is_opening(self, envelope: Envelope) -> bool:
        return bool(envelope.opening) and session_id(envelope.opening) not in self._sessions

    def _open_sessions(
        self,
        commit: int,
        candidates: list[_Candidate],
        last_of: LastOf,
        admit: Admit,
        result: OpenedCommit,
    ) -> None:
        """Accept new sessions; one envelope each, a second of the same id is an ordinary one.

        One that does not hold is none: anybody can copy another's encapsulation, which is the id.
        """
        first: dict[bytes, _Candidate] = {}
        for candidate in candidates:
            identifier = session_id(candidate.envelope.opening)
            if identifier in first:
                candidate.opening = False
                continue
            try:
                self._propose(candidate, identifier, commit, last_of)
                first[identifier] = candidate
            except MemberFault as fault:
                candidate.refusal = fault.code
        proposed = [(c, c.session) for c in first.values() if c.session is not None]
        _check_signatures([candidate for candidate, _ in proposed])
        for candidate, session in proposed:
            if candidate.refusal:
                continue
            if len(self._sessions) >= limits.MAX_SESSIONS:
                candidate.refusal = "too-many-sessions"
                continue
            if session.record.key in self._keys:
                candidate.refusal = "key-in-use"
                continue
            # Last: whoever is refused for another reason uses no invite up.
            candidate.refusal = admit(session.record.member, candidate.invite) or ""
            if candidate.refusal:
                continue
            self._make_room(session.record.member, result)
            self._add(session, last_of(session.record.member) or 0)
            result.opened.append(session.record)

    def _propose(
        self, candidate: _Candidate, identifier: bytes, commit: int, last_of: LastOf
    ) -> None:
        envelope = candidate.envelope
        opening = open_opening(self._context, self._epoch_key, envelope.opening)
        keys = SessionKeys.derive(opening.key)
        associated = self._context.associated(b"event", envelope.tag)
        plaintext = aead.open_one(self._context.aead, keys.up, envelope.sealed, associated)
        if plaintext is None:
            raise MemberFault("sealed", "the first event is not sealed to its session")
        event = _parse_event(plaintext)
        if keys.tag_of(event.sequence) != envelope.tag:
            raise MemberFault("tag", "an envelope's tag is not its event's")
        record = SessionRecord(identifier, event.member, opening.key, self._context.epoch, commit)
        candidate.event = event
        candidate.identifier = event_id(
            self._context.network, event.member, event.sequence, event.body
        )
        candidate.session = Session(record, keys)
        candidate.invite = invite_digest(opening.invite)
        if last_of(event.member) is None and not signatures.is_admissible_key(event.member):
            candidate.refusal = "bad-key"

    def _open_events(self, candidates: list[_Candidate]) -> None:
        claimed = []
        for candidate in candidates:
            session = self._claimant(candidate.envelope)
            candidate.session, candidate.event, candidate.refusal = session, None, ""
            if session is not None:
                claimed.append((candidate, session))
        if not claimed:
            return
        arena = aead.open_many(
            self._context.aead,
            [session.keys.up for _, session in claimed],
            [self._context.associated(b"event", c.envelope.tag) for c, _ in claimed],
            [c.envelope.sealed for c, _ in claimed],
        )
        opened = []
        for index, (candidate, session) in enumerate(claimed):
            if self._accept(candidate, session, arena[index]):
                opened.append(candidate)
        _check_signatures(opened)

    def _claimant(self, envelope: Envelope) -> Session | None:
        """The session that an envelope names by its opening, or else by its tag."""
        if envelope.opening:
            return self._sessions.get(session_id(envelope.opening))
        return self._by_tag.get(envelope.tag)

    def _accept(self, candidate: _Candidate, session: Session, plaintext: bytes | None) -> bool:
        """Attach the event when the member of the session wrote it under this very tag."""
        if plaintext is None:
            candidate.refusal = "sealed"
            return False
        try:
            event = _parse_event(plaintext)
        except MemberFault as fault:
            candidate.refusal = fault.code
            return False
        if (
            event.member != session.record.member
            or session.keys.tag_of(event.sequence) != candidate.envelope.tag
        ):
            candidate.refusal = "tag"
            return False
        candidate.event = event
        candidate.identifier = event_id(
            self._context.network, event.member, event.sequence, event.body
        )
        return True

    def _make_room(self, member: bytes, result: OpenedCommit) -> None:
        sessions = self._by_member.get(member, [])
        if len(sessions) < limits.SESSIONS_PER_MEMBER:
            return
        oldest = min(sessions, key=lambda s: (s.record.commit, s.record.session))
        sessions.remove(oldest)
        del self._sessions[oldest.record.session]
        self._keys.discard(oldest.record.key)
        for tag in oldest.tags:
            self._by_tag.pop(tag, None)
        result.closed.append(oldest.record.session)

    def _add(self, session: Session, last: int) -> None:
        self._sessions[session.record.session] = session
        self._keys.add(session.record.key)
        self._by_member.setdefault(session.record.member, []).append(session)
        session.first_tag = session.end_tag = max(0, last - _WINDOW + 1)
        self._slide([(session, last)])

    def _slide(self, moves: list[tuple[Session, int]]) -> None:
        """Let sessions answer to the tags around their members' last numbers, in one batch."""
        owners: list[Session] = []
        keys: list[bytes] = []
        numbers: list[bytes] = []
        for session, last in moves:
            end = last + _WINDOW + 1
            for number in range(session.end_tag, end):
                owners.append(session)
                keys.append(session.keys.tag)
                numbers.append(number.to_bytes(8, "big"))
            session.end_tag = end
        tags = blake2b.split(blake2b.keyed_each(hashing.ENVELOPE, keys, numbers), TAG_BYTES)
        by_tag = self._by_tag
        for tag, session in zip(tags, owners, strict=True):
            session.tags.append(tag)
            by_tag[tag] = session
        for session, last in moves:
            first = last - _WINDOW + 1
            while session.first_tag < first:
                session.first_tag += 1
                by_tag.pop(session.tags.popleft(), None)


def _verdicts(
    members: Sequence[bytes], identifiers: list[bytes], statuses: bytes, proofs: bytes
) -> list[bool]:
    """Whether each event is signed by its member; False where there is no event."""
    messages = hashing.EVENT + hashing.EVENT.join(identifiers)
    size = len(hashing.EVENT) + hashing.DIGEST_BYTES
    offsets = array("q", range(0, len(messages), size))
    lengths = array("q", [size if status == envelopes.GOOD else -1 for status in statuses])
    return signatures.verify_arena(b"".join(members), proofs, Arena(messages, offsets, lengths))


def _parse_event(plaintext: bytes) -> Event:
    event = codec.decode(unpad(plaintext), Event, limits.MAX_EVENT_BYTES, MemberFault)
    if not 0 <= event.sequence < 1 << 63:
        raise MemberFault("sequence", "a sequence number is out of range")
    return event


def _check_signatures(candidates: list[_Candidate]) -> None:
    """Mark every candidate whose member did not sign its event."""
    if not candidates:
        return
    items = [
        (c.event.member, c.event.signature, event_signed_bytes(c.identifier))
        for c in candidates
        if c.event is not None
    ]
    for candidate, good in zip(candidates, signatures.verify_batch(items), strict=True):
        if not good:
            candidate.refusal = "bad-signature"
