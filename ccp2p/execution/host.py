"""What the host of the state machine decides itself: who is let in, and governors' commands."""

from ccp2p.execution import governance, invites
from ccp2p.execution.governance import Ballot, Governors
from ccp2p.execution.member_sequence import MemberSequences
from ccp2p.execution.state import State
from ccp2p.model import codec
from ccp2p.model.commit import Commit
from ccp2p.model.errors import MemberFault
from ccp2p.model.host_commands import (
    AMENDMENT_REFUSALS,
    ApproveAmendment,
    InviteIssued,
    IssueInvite,
    ListAmendments,
    ProposeAmendment,
    Role,
    decode_command,
    decode_question,
)


class Host:
    """`governors` are the epoch's; standing invites are digests that always let in, or empty.

    An open network (a mesh) asks nobody for an invite.
    """

    def __init__(
        self,
        network: bytes,
        governors: Governors,
        member_invite: bytes,
        node_invite: bytes,
        is_open: bool = False,
    ) -> None:
        self._network = network
        self._governors = governors
        self._is_open = is_open
        self._standing: dict[Role, bytes] = {"member": member_invite, "node": node_invite}

    def begin_epoch(self, governors: Governors) -> None:
        """Go on under another epoch's governors."""
        self._governors = governors

    def admit(
        self,
        state: State,
        members: MemberSequences,
        member: bytes,
        secret_digest: bytes,
        ledger_time_ms: int,
    ) -> str | None:
        """Make a newcomer a member: None, or why not (see `invites.use`).

        Members and governors need no invite, and use none up.
        """
        if members.is_known(member):
            return None
        if member not in self._governors.keys:
            refusal = self.use_invite(state, "member", secret_digest, ledger_time_ms)
            if refusal is not None:
                return refusal
        members.enrol(member)
        return None

    def use_invite(
        self, state: State, role: Role, secret_digest: bytes, ledger_time_ms: int
    ) -> str | None:
        """Use an invite once: None, or why not (see `invites.use`). A standing one stays."""
        if self._is_open or secret_digest == self._standing[role]:
            return None
        return invites.use(state, role, secret_digest, ledger_time_ms)

    def execute(
        self, state: State, member: bytes, body: bytes, commit: Commit, is_last: bool
    ) -> bytes:
        """Run a command; the answer. MemberFault says why it is refused, and nothing changed.

        `is_last`: the epoch ends with this commit, so that nothing can be adopted in it any more.
        """
        command = decode_command(body)
        governors = self._governors
        if member not in governors.keys:
            raise MemberFault("not-governor", "only a governor of the network may do this")
        if isinstance(command, IssueInvite):
            time_ms = commit.ledger_time_ms
            return codec.encode(InviteIssued(invites.issue(state, member, command, time_ms)))
        if isinstance(command, ProposeAmendment | ApproveAmendment):
            if is_last:
                raise MemberFault("epoch-over", AMENDMENT_REFUSALS["epoch-over"])
            place = governors.keys.index(member)
            ballot = Ballot(state, self._network, governors, commit)
            if isinstance(command, ProposeAmendment):
                return codec.encode(ballot.propose(place, command))
            return codec.encode(ballot.approve(place, command))
        invites.revoke(state, command.digest)
        return b""

    def answer(self, state: State, body: bytes) -> bytes:
        """Answer a member's question to the host; MemberFault says why not."""
        question = decode_question(body)
        if isinstance(question, ListAmendments):
            return codec.encode(governance.listed(state))
        return codec.encode(governance.shown(state, question.digest))
