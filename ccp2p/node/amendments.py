"""What the governors of one epoch adopted, for the membership rules and for the verifier."""

from ccp2p.attestation.policy import Policy, check_amended
from ccp2p.execution.machine import StateMachine
from ccp2p.membership.roster import Amended
from ccp2p.model.amendment import parse_amendment
from ccp2p.model.errors import LocalFault, MemberFault


class Amendments:
    """Those of `epoch`, in which `policy` is in force. Read before the commit at hand executes."""

    def __init__(self, machine: StateMachine, epoch: int, policy: Policy) -> None:
        self._machine = machine
        self._epoch = epoch
        self._policy = policy
        self._amended: Amended | None = None
        self._coming: Policy | None = None

    def adopted(self) -> Amended | None:
        """The amendment that was adopted; it stays until the epoch ends."""
        if self._amended is None:
            self._read()
        return self._amended

    def policies(self) -> tuple[Policy, ...]:
        """The policy in force, and the one that an adopted amendment brings."""
        self.adopted()
        return (self._policy,) if self._coming is None else (self._policy, self._coming)

    def _read(self) -> None:
        found = self._machine.adopted(self._epoch)
        if found is None:
            return
        amendment = parse_amendment(found.amendment, LocalFault)
        try:
            if amendment.policy:
                self._coming = check_amended(self._policy, amendment.policy)
        except MemberFault as fault:
            raise LocalFault(
                "newer-version",
                f"the network adopted a policy that this program cannot read: upgrade it ({fault})",
            ) from None
        self._amended = Amended(
            found.digest,
            found.time_ms,
            amendment.evict,
            self._coming.digest if self._coming else b"",
            (self._coming or self._policy).caps.vendor,
            governors=amendment.governors,
            governor_threshold=amendment.governor_threshold,
        )
