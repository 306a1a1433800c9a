"""A ledger to test with: members who send events, a machine that applies them, its disk."""

import hashlib
from collections.abc import Sequence

from ccp2p.execution.governance import NOBODY
from ccp2p.execution.machine import Applied, StateMachine
from ccp2p.model import codec
from ccp2p.model.block import BlockReference
from ccp2p.model.commit import Commit
from ccp2p.model.envelope import event_id
from ccp2p.model.errors import MemberFault
from ccp2p.model.outcome import MemberEvent, Outcome, SessionRecord

NETWORK = b"n" * 32
SALT_KEY = b"s" * 32
LEADER = BlockReference(1, 0, bytes(32))


def member(name: str) -> bytes:
    """A member's key."""
    return hashlib.sha256(name.encode()).digest()


def event(
    author: str, sequence: int, body: bytes, *, tag: bytes = b"", refusal: str = ""
) -> MemberEvent:
    """An opened event. Its tag is that of the member's only session, unless given."""
    key = member(author)
    identifier = event_id(NETWORK, key, sequence % (1 << 63), body)
    tag = tag or hashlib.sha256(b"%d of " % sequence + key).digest()[:16]
    return MemberEvent(tag, key, sequence, body, identifier, refusal)


def commit_at(index: int, epoch: int = 0) -> Commit:
    """Commit `index`, one second after its predecessor."""
    return Commit(epoch, index, LEADER, (LEADER,), index * 1000, bytes(32))


class Ledger:
    """A machine, the buckets it stored, and everyone's next sequence number."""

    def __init__(self, app: str = "rooms", *, cache_bytes: int = 1 << 20):
        self._settings = {"app": app, "cache_bytes": cache_bytes}
        self.disk: dict[int, bytes] = {}
        self.loads = 0
        self.index = 0
        self.epoch = 0
        self.salt_key = SALT_KEY
        self.machine = self._machine()
        self._sequences: dict[str, int] = {}

    def _machine(self) -> StateMachine:
        return StateMachine(
            network=NETWORK,
            salt_key=self.salt_key,
            load_bucket=self._load,
            protocol=1,
            **self._settings,
        )

    def _load(self, index: int) -> bytes | None:
        self.loads += 1
        return self.disk.get(index)

    def apply(
        self,
        events: Sequence[MemberEvent] = (),
        opened: Sequence[SessionRecord] = (),
        closed: Sequence[bytes] = (),
    ) -> Applied:
        """One commit, stored."""
        self.index += 1
        commit = commit_at(self.index, self.epoch)
        applied = self.machine.apply(commit, events, opened, closed)
        self.store(applied)
        return applied

    def store(self, applied: Applied) -> None:
        """What a node does with what `apply` returned."""
        for index, data in applied.buckets.items():
            if data:
                self.disk[index] = data
            else:
                self.disk.pop(index, None)
        self.machine.stored(self.epoch, self.index)

    def begin_epoch(self, salt_key: bytes) -> None:
        """The next epoch."""
        self.epoch, self.index, self.salt_key = self.epoch + 1, 0, salt_key
        self.machine.begin_epoch(salt_key, 1, NOBODY)

    def restart(self) -> None:
        """A new machine from the same disk."""
        root = self.machine.state_root
        self.machine = self._machine()
        self.machine.restore(self.disk.items(), root)

    def next(self, author: str, request: object) -> MemberEvent:
        """The author's next event."""
        self._sequences[author] = self._sequences.get(author, 0) + 1
        return event(author, self._sequences[author], codec.encode(request))

    def do(self, author: str, request: object) -> Outcome:
        """One event in a commit of its own, and its outcome."""
        (answered,) = self.apply([self.next(author, request)]).outcomes
        return answered[1]

    def query_fault(self, author: str, body: bytes) -> str:
        """The code with which a query is refused; empty when it is answered."""
        try:
            self.machine.query(member(author), body)
        except MemberFault as fault:
            return fault.code
        return ""
