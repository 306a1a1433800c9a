"""Members with sessions, and a replica: a table and a real state machine that move together."""

import os
from collections.abc import Sequence
from functools import partial

from ccp2p.crypto import aead, hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.apps import kv_protocol as kv
from ccp2p.execution.governance import Governors
from ccp2p.execution.machine import Applied, StateMachine
from ccp2p.model import codec, hashing
from ccp2p.model.block import BlockReference
from ccp2p.model.commit import Commit
from ccp2p.model.envelope import Envelope, Event, event_id, event_signed_bytes, pad
from ccp2p.model.host_commands import invite_digest
from ccp2p.model.outcome import Outcome
from ccp2p.sealing import session as sessions
from ccp2p.sealing.session import SessionContext, SessionKeys
from ccp2p.sealing.table import OpenedCommit, SessionTable

NETWORK = b"n" * 32
INVITE = b"come in"
GOVERNOR = "governor"
EPOCH_KEY = hpke.PrivateKey(b"e" * 32)
CONTEXT = SessionContext(NETWORK, 0, "aegis256")
BODY = codec.encode(kv.Request(kv.Put(b"key", b"value")))
_LEADER = BlockReference(1, 0, bytes(32))


def key_of(name: str) -> SigningKey:
    """A member's key."""
    return SigningKey(hashing.digest(hashing.SIMULATED, name.encode()))


def event_of(
    member: SigningKey, sequence: int, body: bytes = BODY, network: bytes = NETWORK
) -> Event:
    """A signed event."""
    identifier = event_id(network, member.public, sequence, body)
    return Event(member.public, sequence, body, member.sign(event_signed_bytes(identifier)))


class ClientSession:
    """One session as its member holds it; `key` may be shared on purpose."""

    def __init__(
        self,
        name: str,
        key: bytes = b"",
        invite: bytes = INVITE,
        context: SessionContext = CONTEXT,
    ) -> None:
        self.member = key_of(name)
        self.context = context
        key = key or os.urandom(sessions.KEY_BYTES)
        self.keys = SessionKeys.derive(key)
        self.opening = sessions.seal_opening(context, EPOCH_KEY.public, key, invite)
        self.identifier = sessions.session_id(self.opening)

    def open(self, sequence: int = 0) -> bytes:
        """An envelope that opens the session, with an event."""
        return self.send(sequence, opening=self.opening)

    def send(
        self, sequence: int, *, event: Event | None = None, opening: bytes = b"", tag: bytes = b""
    ) -> bytes:
        """An envelope of the member's event, or of whatever `event` and `tag` say instead."""
        event = event or event_of(self.member, sequence)
        tag = tag or self.keys.tag_of(event.sequence)
        sealed = aead.seal(
            self.context.aead,
            self.keys.up,
            pad(codec.encode(event)),
            self.context.associated(b"event", tag),
        )
        return codec.encode(Envelope(self.context.epoch, tag, opening, sealed))


class Replica:
    """One node's table and state. `table` may be exchanged for one that was just restored."""

    def __init__(self) -> None:
        self.machine = StateMachine(
            network=NETWORK,
            app="kv",
            salt_key=b"s" * 32,
            load_bucket=lambda _: None,
            protocol=1,
            governors=Governors((key_of(GOVERNOR).public,), 1),
            member_invite=invite_digest(INVITE),
        )
        self.table = self.new_table()
        self.commits = 0

    def new_table(self) -> SessionTable:
        """An empty table."""
        return SessionTable(CONTEXT, EPOCH_KEY)

    def restart(self) -> None:
        """Replace the table by one restored from the state, as a restart does."""
        self.table = self.new_table()
        self.table.restore(self.machine.session_records(), self.machine.last_of)

    def commit(
        self, envelopes: Sequence[bytes], time_ms: int | None = None
    ) -> tuple[OpenedCommit, Applied]:
        """Open and execute one commit, at ledger time `time_ms` (its number, unless given)."""
        self.commits += 1
        time_ms = self.commits if time_ms is None else time_ms
        commit = Commit(0, self.commits, _LEADER, (), time_ms, bytes(32))
        admit = partial(self.machine.admit, commit)
        opened = self.table.open_commit(self.commits, envelopes, self.machine.last_of, admit)
        applied = self.machine.apply(commit, opened.events, opened.opened, opened.closed)
        self.table.advance(applied.advanced)
        return opened, applied

    def outcomes(self, *envelopes: bytes, time_ms: int | None = None) -> list[str]:
        """What became of each event that a session claimed: its status, or why it was refused."""
        return [_word(outcome) for _, outcome in self.commit(envelopes, time_ms)[1].outcomes]

    def dropped(self, *envelopes: bytes) -> list[str]:
        """Why envelopes of one commit were dropped."""
        return [code for _, code in self.commit(envelopes)[0].dropped]


def _word(outcome: Outcome) -> str:
    refused = outcome.status in ("denied", "rejected")
    return outcome.body.decode() if refused else outcome.status
