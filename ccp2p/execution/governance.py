"""Amendments in the replicated state: proposed and approved by governors, adopted once an epoch.

All of it ends with the epoch. Functions write only when they succeed. What is adopted takes effect
through the committee's rules, which read it here (`adopted`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from ccp2p.crypto import signatures
from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, limits
from ccp2p.model.amendment import (
    Amendment,
    amendment_digest,
    approval_bytes,
    parse_amendment,
)
from ccp2p.model.codec import Wire
from ccp2p.model.commit import Commit
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.hashing import DIGEST_BYTES
from ccp2p.model.host_commands import (
    AMENDMENT_REFUSALS,
    AmendmentList,
    AmendmentState,
    ApproveAmendment,
    ProposeAmendment,
    ProposedAmendment,
)

_AMENDMENT: Final = SYSTEM + b"a"
_INDEX: Final = SYSTEM + b"amendments"
_MOST: Final = limits.MAX_GOVERNORS * limits.AMENDMENTS_PER_GOVERNOR
_MAX_INDEX_BYTES: Final = _MOST * (DIGEST_BYTES + 8) + 256


def _accept(_policy: str) -> None:
    """Any policy; for state machines whose network nobody governs."""


@dataclass(frozen=True, slots=True)
class Governors:
    """Who governs an epoch, by member key, and how many of them must agree.

    `check_policy(text)` raises MemberFault for a policy that must not come into force.
    """

    keys: tuple[bytes, ...] = ()
    threshold: int = 0
    check_policy: Callable[[str], object] = _accept


NOBODY: Final = Governors()


class AdoptedAmendment(Wire, frozen=True):
    """What enough governors approved (index, signature), and the ledger time at which they had."""

    digest: bytes
    amendment: bytes
    approvals: tuple[tuple[int, bytes], ...]
    time_ms: int


class _Index(Wire, frozen=True):
    """The epoch's amendments: (digest, place of who proposed it). `adopted` is empty before."""

    epoch: int
    proposed: tuple[tuple[bytes, int], ...] = ()
    adopted: bytes = b""
    adopted_ms: int = 0

    def holds(self, digest: bytes) -> bool:
        """Whether this amendment is proposed."""
        return any(digest == known for known, _ in self.proposed)


@dataclass(frozen=True, slots=True)
class Ballot:
    """What the governors of one network do in one commit."""

    state: State
    network: bytes
    governors: Governors
    commit: Commit

    def propose(self, place: int, command: ProposeAmendment) -> AmendmentState:
        """Take a proposal of the governor at `place`; MemberFault says why it is refused."""
        amendment = parse_amendment(command.amendment, MemberFault)
        self._check(amendment)
        digest = amendment_digest(command.amendment)
        index = _read_index(self.state, self.commit.epoch)
        if not index.holds(digest):
            own = sum(proposer == place for _, proposer in index.proposed)
            if own >= limits.AMENDMENTS_PER_GOVERNOR:
                raise _refusal("too-many-amendments")
            index = replace(index, proposed=(*index.proposed, (digest, place)))
        proposed = _read(self.state, digest) or ProposedAmendment(command.amendment, ())
        return self._approve(index, digest, proposed, place, command.signature)

    def approve(self, place: int, command: ApproveAmendment) -> AmendmentState:
        """Count an approval of the governor at `place`; MemberFault says why it is refused."""
        index = _read_index(self.state, self.commit.epoch)
        proposed = _read(self.state, command.digest) if index.holds(command.digest) else None
        if proposed is None:
            raise _refusal("no-such-amendment")
        return self._approve(index, command.digest, proposed, place, command.signature)

    def _check(self, amendment: Amendment) -> None:
        if amendment.network != self.network:
            raise _refusal("wrong-network")
        if amendment.epoch != self.commit.epoch:
            raise _refusal("wrong-epoch")
        if amendment.policy:
            self.governors.check_policy(amendment.policy)

    def _approve(
        self,
        index: _Index,
        digest: bytes,
        proposed: ProposedAmendment,
        place: int,
        signature: bytes,
    ) -> AmendmentState:
        """Add an approval, and adopt what has enough. The same one again changes nothing."""
        message = approval_bytes(self.network, digest)
        if not signatures.verify(self.governors.keys[place], signature, message):
            raise _refusal("bad-approval")
        approvals = dict(proposed.approvals)
        if place not in approvals:
            if index.adopted:
                raise _refusal("adopted-already")
            approvals[place] = signature
            if len(approvals) >= self.governors.threshold:
                index = replace(index, adopted=digest, adopted_ms=self.commit.ledger_time_ms)
            kept = ProposedAmendment(proposed.amendment, tuple(sorted(approvals.items())))
            self.state.put(_AMENDMENT + digest, codec.encode(kept))
            self.state.put(_INDEX, codec.encode(index))
        approved_by = tuple(sorted(approvals))
        is_adopted = digest == index.adopted
        return AmendmentState(digest, approved_by, self.governors.threshold, is_adopted)


def adopted(state: State, epoch: int) -> AdoptedAmendment | None:
    """What was adopted in this epoch."""
    index = _read_index(state, epoch)
    if not index.adopted:
        return None
    proposed = _read(state, index.adopted)
    if proposed is None:
        raise LocalFault("governance", "the state lacks the amendment that was adopted")
    return AdoptedAmendment(index.adopted, proposed.amendment, proposed.approvals, index.adopted_ms)


def listed(state: State) -> AmendmentList:
    """The amendments of the newest epoch that had any."""
    index = _stored_index(state)
    digests = tuple(digest for digest, _ in index.proposed)
    return AmendmentList(index.epoch, index.adopted, digests)


def shown(state: State, digest: bytes) -> ProposedAmendment:
    """One of them; MemberFault `no-such-amendment`."""
    proposed = _read(state, digest)
    if proposed is None:
        raise _refusal("no-such-amendment")
    return proposed


def forget(state: State) -> None:
    """Drop everything: another epoch has begun."""
    for digest, _ in _stored_index(state).proposed:
        state.delete(_AMENDMENT + digest)
    if state.get(_INDEX) is not None:
        state.delete(_INDEX)


def _refusal(code: str) -> MemberFault:
    return MemberFault(code, AMENDMENT_REFUSALS[code])


def _read(state: State, digest: bytes) -> ProposedAmendment | None:
    data = state.get(_AMENDMENT + digest)
    if data is None:
        return None
    return codec.decode(data, ProposedAmendment, limits.MAX_VALUE_BYTES, LocalFault)


def _read_index(state: State, epoch: int) -> _Index:
    """This epoch's; what is left of an earlier one does not count."""
    index = _stored_index(state)
    return index if index.epoch == epoch else _Index(epoch)


def _stored_index(state: State) -> _Index:
    data = state.get(_INDEX)
    return codec.decode(data, _Index, _MAX_INDEX_BYTES, LocalFault) if data else _Index(0)
