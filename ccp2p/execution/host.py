"""What the host of the state machine decides itself: who is let in, and governors' commands."""

from ccp2p.execution import invites
from ccp2p.execution.member_sequence import MemberSequences
from ccp2p.execution.state import State
from ccp2p.model import codec
from ccp2p.model.errors import MemberFault
from ccp2p.model.host_commands import InviteIssued, IssueInvite, Role, decode_command


class Host:
    """`governors` are member keys; standing invites are digests that always let in, or empty."""

    def __init__(
        self, governors: tuple[bytes, ...], member_invite: bytes, node_invite: bytes
    ) -> None:
        self._governors = governors
        self._standing: dict[Role, bytes] = {"member": member_invite, "node": node_invite}

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
        if member not in self._governors:
            refusal = self.use_invite(state, "member", secret_digest, ledger_time_ms)
            if refusal is not None:
                return refusal
        members.enrol(member)
        return None

    def use_invite(
        self, state: State, role: Role, secret_digest: bytes, ledger_time_ms: int
    ) -> str | None:
        """Use an invite once: None, or why not (see `invites.use`). A standing one stays."""
        if secret_digest == self._standing[role]:
            return None
        return invites.use(state, role, secret_digest, ledger_time_ms)

    def execute(self, state: State, member: bytes, body: bytes, ledger_time_ms: int) -> bytes:
        """Run a command; the answer. MemberFault says why it is refused, and nothing changed."""
        command = decode_command(body)
        if member not in self._governors:
            raise MemberFault("not-governor", "only a governor of the network may do this")
        if isinstance(command, IssueInvite):
            return codec.encode(InviteIssued(invites.issue(state, member, command, ledger_time_ms)))
        invites.revoke(state, command.digest)
        return b""
