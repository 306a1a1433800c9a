"""Events that the host of the state machine executes itself, and no app sees.

Such an event's body is `wrap(type, body)` with a type that starts with `net.`. What a body is
follows from its first bytes alone, so an app's own bodies must not begin so: a three-element array
whose first element is a short string.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import MemberFault

_PREFIX = b"net."
_ARRAY_OF_THREE = b"\x93"

Role = Literal["member", "node"]
InviteDigest = Annotated[
    bytes, Meta(min_length=hashing.DIGEST_BYTES, max_length=hashing.DIGEST_BYTES)
]


class IssueInvite(Wire, frozen=True):
    """A governor lets `uses` newcomers in, for `lifetime_ms` of ledger time from execution on.

    `digest` is `invite_digest(secret)`; the secret itself never enters the order. Answer:
    `InviteIssued`. Rejected with `not-governor`, `invite-exists` or `too-many-invites`.
    """

    kind: ClassVar[str] = "net.invite"
    digest: InviteDigest
    role: Role
    uses: Annotated[int, Meta(ge=1, le=limits.MAX_INVITE_USES)]
    lifetime_ms: Annotated[int, Meta(ge=1, le=limits.MAX_INVITE_LIFETIME_MS)]


class RevokeInvite(Wire, frozen=True):
    """A governor takes an invite back. Answer empty; `not-governor`, `no-such-invite`.

    Who used it before stays a member.
    """

    kind: ClassVar[str] = "net.revoke"
    digest: InviteDigest


class InviteIssued(Wire, frozen=True):
    """The invite ends at this ledger time (Unix, in milliseconds)."""

    expires_ms: int


INVITE_REFUSALS = {
    "not-invited": "the network does not know the ticket's invite, or it ended long ago: ask for a "
    "new ticket",
    "invite-used": "the ticket's invite is used up: ask for a new ticket",
    "invite-expired": "the ticket's invite has expired: ask for a new ticket",
    "invite-role": "the ticket's invite is for the other role (member, node): ask for a new ticket",
}
"""What the codes mean with which a newcomer is refused."""

HostCommand = IssueInvite | RevokeInvite
_KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (IssueInvite, RevokeInvite)}


def invite_digest(secret: bytes) -> bytes:
    """What the network keeps of an invite's secret."""
    return hashing.digest(hashing.INVITE, secret)


def is_host_command(body: bytes) -> bool:
    """Whether an event's body is for the host. Cheap: it looks at six bytes."""
    return body[2:6] == _PREFIX and body[:1] == _ARRAY_OF_THREE


def encode_command(command: HostCommand) -> bytes:
    """The body of an event."""
    return codec.wrap(command.kind, codec.encode(command))


def decode_command(body: bytes) -> HostCommand:
    """Read a body; MemberFault `unknown-command`, `unknown-version`, `malformed`, `oversized`."""
    outer = codec.decode(body, codec.Outer, limits.MAX_EVENT_BYTES, MemberFault)
    kind = _KINDS.get(outer.type)
    if kind is None:
        raise MemberFault("unknown-command", f"{outer.type[:32]!r} is not known here")
    if outer.version != 1:
        raise MemberFault("unknown-version", f"{outer.type} version {outer.version} is not known")
    command: HostCommand = codec.decode(
        bytes(outer.body), kind, limits.MAX_EVENT_BYTES, MemberFault
    )
    return command
