"""Invites in the replicated state: who may come in, how often, until when.

An invite is kept under the digest of its secret until room is needed, so that whoever comes late
hears that it was used or has expired. All functions write only when they succeed.
"""

from typing import Final

from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.hashing import DIGEST_BYTES
from ccp2p.model.host_commands import IssueInvite, Role

_INVITE: Final = SYSTEM + b"i"
_INDEX: Final = SYSTEM + b"invites"
_MAX_INDEX_BYTES: Final = limits.MAX_INVITES * (DIGEST_BYTES + 2) + 16


class Invite(Wire, frozen=True):
    """`expires_ms` is ledger time, `issuer` the governor's key."""

    role: Role
    uses_left: int
    expires_ms: int
    issuer: bytes


def issue(state: State, issuer: bytes, command: IssueInvite, ledger_time_ms: int) -> int:
    """Add an invite; when it expires, in ledger time.

    MemberFault `invite-exists`, or `too-many-invites` while none of those kept has ended.
    """
    if _read(state, command.digest) is not None:
        raise MemberFault("invite-exists", "this invite was issued before")
    kept = _index(state)
    if len(kept) >= limits.MAX_INVITES:
        kept = _without_ended(state, kept, ledger_time_ms)
    expires_ms = ledger_time_ms + command.lifetime_ms
    invite = Invite(command.role, command.uses, expires_ms, issuer)
    state.put(_INVITE + command.digest, codec.encode(invite))
    state.put(_INDEX, codec.encode((*kept, command.digest)))
    return expires_ms


def revoke(state: State, digest: bytes) -> None:
    """Forget an invite; MemberFault `no-such-invite`."""
    if _read(state, digest) is None:
        raise MemberFault("no-such-invite", "no such invite is known")
    state.delete(_INVITE + digest)
    state.put(_INDEX, codec.encode(tuple(kept for kept in _index(state) if kept != digest)))


def use(state: State, role: Role, secret_digest: bytes, ledger_time_ms: int) -> str | None:
    """Let one newcomer in: None, and the invite has one use less; or why not.

    `not-invited` (unknown, or ended long ago), `invite-role`, `invite-used`, `invite-expired`.
    """
    invite = _read(state, secret_digest)
    if invite is None:
        return "not-invited"
    if invite.role != role:
        return "invite-role"
    if invite.uses_left < 1:
        return "invite-used"
    if invite.expires_ms <= ledger_time_ms:
        return "invite-expired"
    left = Invite(invite.role, invite.uses_left - 1, invite.expires_ms, invite.issuer)
    state.put(_INVITE + secret_digest, codec.encode(left))
    return None


def _read(state: State, digest: bytes) -> Invite | None:
    data = state.get(_INVITE + digest)
    return None if data is None else codec.decode(data, Invite, 256, LocalFault)


def _index(state: State) -> tuple[bytes, ...]:
    """The digests of the invites kept, in the order of their issue."""
    data = state.get(_INDEX)
    if data is None:
        return ()
    return codec.decode(data, tuple[bytes, ...], _MAX_INDEX_BYTES, LocalFault)


def _without_ended(state: State, kept: tuple[bytes, ...], ledger_time_ms: int) -> tuple[bytes, ...]:
    """Drop the invites that let nobody in any more."""
    live: list[bytes] = []
    ended: list[bytes] = []
    for digest in kept:
        invite = _read(state, digest)
        is_live = invite and invite.uses_left and invite.expires_ms > ledger_time_ms
        (live if is_live else ended).append(digest)
    if not ended:
        raise MemberFault("too-many-invites", "more invites than a network keeps at once")
    for digest in ended:
        state.delete(_INVITE + digest)
    return tuple(live)
