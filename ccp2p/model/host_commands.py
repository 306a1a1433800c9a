"""Events that the host of the state machine executes itself, and no app sees; and its questions.

Such an event's body is `wrap(type, body)` with a type that starts with `net.`. What a body is
follows from its first bytes alone, so an app's own bodies must not begin so: a three-element array
whose first element is a short string.
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from msgspec import Meta

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import MemberFault

_PREFIX = b"net."
_ARRAY_OF_THREE = b"\x93"

Role = Literal["member", "node"]
Digest = Annotated[bytes, Meta(min_length=hashing.DIGEST_BYTES, max_length=hashing.DIGEST_BYTES)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class IssueInvite(Wire, frozen=True):
    """A governor lets `uses` newcomers in, for `lifetime_ms` of ledger time from execution on.

    `digest` is `invite_digest(secret)`; the secret itself never enters the order. Answer:
    `InviteIssued`. Rejected with `not-governor`, `invite-exists` or `too-many-invites`.
    """

    kind: ClassVar[str] = "net.invite"
    digest: Digest
    role: Role
    uses: Annotated[int, Meta(ge=1, le=limits.MAX_INVITE_USES)]
    lifetime_ms: Annotated[int, Meta(ge=1, le=limits.MAX_INVITE_LIFETIME_MS)]


class RevokeInvite(Wire, frozen=True):
    """A governor takes an invite back. Answer empty; `not-governor`, `no-such-invite`.

    Who used it before stays a member.
    """

    kind: ClassVar[str] = "net.revoke"
    digest: Digest


class InviteIssued(Wire, frozen=True):
    """The invite ends at this ledger time (Unix, in milliseconds)."""

    expires_ms: int


class ProposeAmendment(Wire, frozen=True):
    """A governor proposes an amendment (encoded `amendment.Amendment`), and approves it.

    `signature` is over `amendment.approval_bytes`. Answer: `AmendmentState`. Rejected with the
    codes of `AMENDMENT_REFUSALS`, or those of `parse_amendment` and of the policy.
    """

    kind: ClassVar[str] = "net.propose"
    amendment: bytes
    signature: Signature


class ApproveAmendment(Wire, frozen=True):
    """A governor approves what another proposed. Answer and refusals as for `ProposeAmendment`."""

    kind: ClassVar[str] = "net.approve"
    digest: Digest
    signature: Signature


class AmendmentState(Wire, frozen=True):
    """Which governors (by place) approved, of whom `needed` must; once they did, it is adopted."""

    digest: bytes
    approved_by: tuple[int, ...]
    needed: int
    is_adopted: bool


class ListAmendments(Wire, frozen=True):
    """What is proposed, and what is adopted? Answer: `AmendmentList`."""

    kind: ClassVar[str] = "net.amendments"


class AmendmentList(Wire, frozen=True):
    """Digests of this epoch's amendments, in their order; `adopted` is empty or one of them."""

    epoch: int
    adopted: bytes
    digests: tuple[bytes, ...]


class ShowAmendment(Wire, frozen=True):
    """What is the amendment with this digest? Answer: `ProposedAmendment`; `no-such-amendment`."""

    kind: ClassVar[str] = "net.amendment"
    digest: Digest


class ProposedAmendment(Wire, frozen=True):
    """An amendment's bytes, and who approved it: (governor's place, signature)."""

    amendment: bytes
    approvals: tuple[tuple[int, bytes], ...]


AMENDMENT_REFUSALS = {
    "wrong-network": "the amendment is for another network",
    "wrong-epoch": "the amendment is for another epoch: propose it anew",
    "epoch-over": "the epoch ended with this very commit: propose it anew",
    "bad-approval": "the approval is not signed with the governor's key",
    "adopted-already": "an amendment was adopted in this epoch, and there is one an epoch: propose "
    "it again once the next epoch has begun",
    "no-such-amendment": "no such amendment is proposed in this epoch (`net proposals` lists them)",
    "too-many-amendments": "this governor has as many open proposals as one may have in an epoch",
}
"""What the codes mean with which a proposal or an approval is refused."""

INVITE_REFUSALS = {
    "not-invited": "the network does not know the ticket's invite, or it ended long ago: ask for a "
    "new ticket",
    "invite-used": "the ticket's invite is used up: ask for a new ticket",
    "invite-expired": "the ticket's invite has expired: ask for a new ticket",
    "invite-role": "the ticket's invite is for the other role (member, node): ask for a new ticket",
}
"""What the codes mean with which a newcomer is refused."""

HostCommand = IssueInvite | RevokeInvite | ProposeAmendment | ApproveAmendment
HostQuestion = ListAmendments | ShowAmendment
_COMMANDS: dict[str, type[Any]] = {kind.kind: kind for kind in get_args(HostCommand)}
_QUESTIONS: dict[str, type[Any]] = {kind.kind: kind for kind in get_args(HostQuestion)}


def invite_digest(secret: bytes) -> bytes:
    """What the network keeps of an invite's secret."""
    return hashing.digest(hashing.INVITE, secret)


def is_for_host(body: bytes) -> bool:
    """Whether a body, of an event or of a question, is for the host. Cheap: six bytes tell."""
    return body[2:6] == _PREFIX and body[:1] == _ARRAY_OF_THREE


def encode_command(command: HostCommand | HostQuestion) -> bytes:
    """The body of an event, or of a question."""
    return codec.wrap(command.kind, codec.encode(command))


def decode_command(body: bytes) -> HostCommand:
    """Read a body; MemberFault `unknown-command`, `unknown-version`, `malformed`, `oversized`."""
    command: HostCommand = _decode(body, _COMMANDS)
    return command


def decode_question(body: bytes) -> HostQuestion:
    """Read a question's body; MemberFault as above."""
    question: HostQuestion = _decode(body, _QUESTIONS)
    return question


def _decode(body: bytes, kinds: dict[str, type[Any]]) -> Any:
    outer = codec.decode(body, codec.Outer, limits.MAX_EVENT_BYTES, MemberFault)
    kind = kinds.get(outer.type)
    if kind is None:
        raise MemberFault("unknown-command", f"{outer.type[:32]!r} is not known here")
    if outer.version != 1:
        raise MemberFault("unknown-version", f"{outer.type} version {outer.version} is not known")
    return codec.decode(bytes(outer.body), kind, limits.MAX_EVENT_BYTES, MemberFault)
