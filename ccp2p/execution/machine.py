"""The state machine of one network: applies commits, answers queries, knows the roots.

Deterministic: the same commits give every node the same outcomes and roots. `apply` changes only
memory; the node stores what it returns and then calls `stored`. After a LocalFault the object is
of no use: the node stops and starts again from its disk.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ccp2p.execution import apps, governance, outcomes
from ccp2p.execution.app import DETERMINISTIC_MISTAKES, View
from ccp2p.execution.governance import NOBODY, AdoptedAmendment, Governors
from ccp2p.execution.host import Host
from ccp2p.execution.member_sequence import MemberSequences
from ccp2p.execution.outcomes import Leaves, OutcomeTree
from ccp2p.execution.run import Run
from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, limits
from ccp2p.model.commit import Commit
from ccp2p.model.errors import Fault, LocalFault, MemberFault
from ccp2p.model.host_commands import is_for_host
from ccp2p.model.outcome import MemberEvent, Outcome, SessionRecord

PROTOCOLS: Final = (1,)

_SESSION: Final = SYSTEM + b"s"
_ROSTER: Final = SYSTEM + b"roster"
_MAX_SESSION_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Applied:
    """What a commit did.

    `outcomes`: (tag, outcome) to answer, also those of repeated events and of held events whose
    turn came; an event that is held now has none yet. `buckets`: the changed ones, encoded, empty
    bytes where nothing is left. `advanced`: members with a new or changed record, and their last
    number. `leaves` are those of the executed outcomes. Roots are those after the commit.
    """

    outcomes: list[tuple[bytes, Outcome]]
    buckets: dict[int, bytes]
    state_root: bytes
    outcomes_root: bytes
    advanced: list[tuple[bytes, int]]
    leaves: Leaves


class StateMachine:
    """An empty machine; `restore` gives it the state of a store.

    `app` is a name in `apps.APPS`, `salt_key` the epoch's secret for salts (32 bytes),
    `load_bucket` reads a stored bucket and `protocol` is the epoch record's version. `governors`
    are the epoch's, `member_invite` and `node_invite` the digests of the genesis's standing
    invites; a machine that `is_open` asks for none.
    """

    def __init__(
        self,
        *,
        network: bytes,
        app: str,
        salt_key: bytes,
        load_bucket: Callable[[int], bytes | None],
        protocol: int,
        governors: Governors = NOBODY,
        member_invite: bytes = b"",
        node_invite: bytes = b"",
        is_open: bool = False,
        cache_bytes: int = limits.STATE_CACHE_BYTES,
    ) -> None:
        if app not in apps.APPS:
            raise LocalFault("unknown-app", f"this program has no app called {app!r}: upgrade it")
        _check_protocol(protocol)
        self._app = apps.APPS[app]()
        self._host = Host(network, governors, member_invite, node_invite, is_open)
        self._salt_key = salt_key
        self._state = State(
            network=network, salt_key=salt_key, load_bucket=load_bucket, cache_bytes=cache_bytes
        )
        self._outcomes = OutcomeTree(self._state, salt_key)
        self._sequences = MemberSequences(self._state, 0)
        self._sessions: dict[bytes, SessionRecord] = {}
        self.roster: bytes | None = (
            None  # encoded, as the last commit left it; None before the first
        )

    @property
    def state_root(self) -> bytes:
        """The state's root after the last commit."""
        return self._state.root

    @property
    def is_stored(self) -> bool:
        """Whether `stored` was told of all that was applied."""
        return self._state.is_stored

    @property
    def outcomes_root(self) -> bytes:
        """The root over the outcomes of the epoch."""
        return self._outcomes.root

    def restore(
        self,
        buckets: Iterable[tuple[int, bytes]],
        state_root: bytes,
        fault: type[Fault] = LocalFault,
    ) -> None:
        """Take up a stored state; once, on a new machine.

        Raises `fault` (LocalFault for our disk, PeerFault for buckets that a peer sent) with code
        `malformed` or `state-mismatch`.
        """
        found = self._state.restore(buckets, state_root, (_SESSION, _ROSTER, outcomes.KEY), fault)
        self._outcomes.resume(found.pop(outcomes.KEY, None))
        self.roster = found.pop(_ROSTER, None)
        for key, data in found.items():
            record = codec.decode(data, SessionRecord, _MAX_SESSION_BYTES, fault)
            self._sessions[key] = record

    def begin_epoch(self, salt_key: bytes, protocol: int, governors: Governors) -> None:
        """Go on under another epoch's secret and rules; the state stays."""
        _check_protocol(protocol)
        self._host.begin_epoch(governors)
        self._salt_key = salt_key
        self._state.set_salt_key(salt_key)
        self._outcomes.set_salt_key(salt_key)

    def apply(
        self,
        commit: Commit,
        events: Sequence[MemberEvent],
        opened: Sequence[SessionRecord] = (),
        closed: Sequence[bytes] = (),
        roster: bytes | None = None,
        is_last: bool = False,
    ) -> Applied:
        """Execute a commit: its events in order, and the sessions that it opened and closed.

        `roster` is the encoded roster after this commit, or None when it did not change. `is_last`:
        the epoch ends with it.
        """
        if commit.index == 1:
            self._end_sessions(commit.epoch)
            governance.forget(self._state)
        self._keep_sessions(opened, closed)
        if roster is not None:
            self.roster = roster
            self._state.put(_ROSTER, roster)
        self._enter_epoch(commit.epoch)
        run = Run(self._app, self._host, self._state, self._salt_key, commit, self._sequences)
        run.is_last = is_last
        run.take(events)
        advanced = self._sequences.write()
        leaves = self._outcomes.apply(commit.index, run.executed)
        buckets = self._state.flush(commit.epoch, commit.index)
        return Applied(
            run.outcomes, buckets, self._state.root, self._outcomes.root, advanced, leaves
        )

    def stored(self, epoch: int, commit: int) -> None:
        """The buckets of this commit and all before are on disk; until then memory holds them."""
        self._state.stored(epoch, commit)

    def query(self, member: bytes, body: bytes) -> bytes:
        """Answer `member` from the state after the last commit; MemberFault says why not."""
        if is_for_host(body):
            return self._host.answer(self._state, body)
        try:
            return self._app.query(View(self._state), member, body)
        except DETERMINISTIC_MISTAKES as mistake:
            raise MemberFault("app-mistake", "the app failed on this query") from mistake

    def admit(self, commit: Commit, member: bytes, secret_digest: bytes) -> str | None:
        """Let in the author of a session that `commit` opens; call it before `apply`.

        A newcomer's invite, named by its secret's digest, has one use less then. None, or why not.
        """
        self._enter_epoch(commit.epoch)
        time_ms = commit.ledger_time_ms
        return self._host.admit(self._state, self._sequences, member, secret_digest, time_ms)

    def admit_node(self, secret_digest: bytes, ledger_time_ms: int) -> str | None:
        """The same for a node that asks to join; call it before `apply` of the commit it is in."""
        return self._host.use_invite(self._state, "node", secret_digest, ledger_time_ms)

    def adopted(self, epoch: int) -> AdoptedAmendment | None:
        """The amendment that the governors of this epoch adopted, as of the last commit."""
        return governance.adopted(self._state, epoch)

    def last_of(self, member: bytes) -> int | None:
        """The last executed number of a member; None when it is unknown."""
        return self._sequences.last_of(member)

    def session_records(self) -> list[SessionRecord]:
        """The open sessions, in no particular order."""
        return list(self._sessions.values())

    def bucket_proof(self, key: bytes) -> tuple[int, tuple[bytes, ...]]:
        """The bucket of a state key, and its path to the state root."""
        return self._state.proof(key)

    def part_digests(self) -> tuple[bytes, ...]:
        """The hashes of the state's parts, as a snapshot's head shows them."""
        return self._state.part_digests()

    def _enter_epoch(self, epoch: int) -> None:
        """Held events die with their epoch; whoever comes first in a commit's work calls this."""
        if epoch != self._sequences.epoch:
            self._sequences = MemberSequences(self._state, epoch)

    def _keep_sessions(self, opened: Sequence[SessionRecord], closed: Sequence[bytes]) -> None:
        """Openings first: a commit may open a session and close it again."""
        for record in opened:
            key = _SESSION + record.session
            self._sessions[key] = record
            self._state.put(key, codec.encode(record))
        for session in closed:
            del self._sessions[_SESSION + session]
            self._state.delete(_SESSION + session)
        if len(self._sessions) > limits.MAX_SESSIONS:
            raise LocalFault("sessions", "more sessions than an epoch may have were let in")

    def _end_sessions(self, epoch: int) -> None:
        """Sessions die with their epoch, and their keys with them."""
        for key in [key for key, record in self._sessions.items() if record.epoch < epoch]:
            del self._sessions[key]
            self._state.delete(key)


def _check_protocol(protocol: int) -> None:
    if protocol not in PROTOCOLS:
        raise LocalFault(
            "newer-version", f"the network runs protocol {protocol}, unknown here: upgrade"
        )
