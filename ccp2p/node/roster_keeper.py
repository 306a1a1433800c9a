"""The roster while commits are executed: membership events in, the next roster or a CLOSE out.

Every replica does the same with the same commits. What an event was refused for is kept here, by
the node that it speaks for, so that a joiner can be told.
"""

from collections import OrderedDict
from typing import Final

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.crypto import signatures
from ccp2p.membership import rules
from ccp2p.membership.events import MembershipEvent, parse_event, signed_bytes
from ccp2p.membership.means import Means, Moment
from ccp2p.membership.records import Adopted, Link, Roots, successor
from ccp2p.membership.recovery import recovered_roster
from ccp2p.membership.roster import Member, Roster
from ccp2p.membership.rules import Closed
from ccp2p.membership.succession import kept_out
from ccp2p.model.codec import Wire
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord
from ccp2p.model.errors import LocalFault, PeerFault

CLOSING: Final = "closing"
"""Where the store keeps what CLOSE left, until the next epoch's record is complete."""

_REFUSALS_KEPT: Final = 256  # joiners whose last refusal can be told


class Closing(Wire, frozen=True):
    """What the end of an epoch left: the next one's record, and the roster that begins with it.

    `signed` is None after CLOSE: then Q signatures are gathered. A recovery comes complete.
    `amendment` and `approvals` are those of the record's amendment, if it has one.
    """

    record: EpochRecord
    roster: bytes
    signed: SignedEpochRecord | None = None
    amendment: bytes = b""
    approvals: tuple[tuple[int, bytes], ...] = ()


def first_roster(record: EpochRecord) -> Roster:
    """The roster with which a network begins: the founders of record 0."""
    members = _founders(record, record.seats)
    rounds = (0,) * len(members)
    return Roster(record.epoch, members, last_rounds=rounds, policy=record.policy_digest)


def begun_roster(record: EpochRecord, stored: bytes | None) -> Roster:
    """The roster after the last commit of the state that `record`'s epoch goes on with.

    `stored` is what the state holds. CLOSE writes the next epoch's there; a recovery has no commit
    to do so, and the same follows from the record until a commit writes it.
    """
    roster = Roster.decode(stored) if stored else None
    lost = record.recovery
    if lost is None:
        return roster or first_roster(record)
    if roster is None:
        founders = _founders(record, (*record.seats, *lost.fallen))
        roster = Roster(record.epoch - 1, founders, policy=record.policy_digest)
    return roster if roster.epoch == record.epoch else recovered_roster(roster, record)


def _founders(record: EpochRecord, seats: tuple[Seat, ...]) -> tuple[Member, ...]:
    policies = (record.policy_digest,)
    return tuple(
        Member(
            seat.node, seat.sealing, seat.platform_id, seat.vendor, "", (), (), 0, policies=policies
        )
        for seat in seats
    )


class RosterKeeper:
    """`roster` is that after the last commit; `closed` is set by the commit that ends the epoch.

    `interval` is the number of commits between checkpoints.
    """

    def __init__(self, link: Link, roster: Roster, means: Means, interval: int) -> None:
        self.roster = roster
        self.means = means
        self.at = Moment(0, 0, link.record.ledger_time_ms)
        self.closed: Closed | None = None
        self.refusals: OrderedDict[bytes, str] = OrderedDict()
        self._kept_out: tuple[Roster | None, dict[bytes, str]] = (None, {})
        self._link = link
        self._committee = link.record.committee()
        self._interval = interval

    def take(self, committed: CommittedBlocks) -> tuple[bytes | None, list[tuple[int, PeerFault]]]:
        """Apply a commit's membership events.

        The encoded roster if it changed, and the seats that are to blame for what they carried.
        """
        before = self.roster
        commit = committed.commit
        self.at = Moment(commit.index, commit.leader.round, commit.ledger_time_ms)
        if before.adopted is None:
            self.roster = rules.adopt(before, self.means.adopted())
        events, faults = self._events(committed)
        for event in events:
            try:
                self.roster = rules.apply(self.roster, event, self.at, self.means)
                self.refusals.pop(event.node, None)
            except PeerFault as fault:
                self._refuse(event.node, f"{fault.code}: {fault}")
        if commit.index % self._interval == 0:
            self.roster = self._checkpoint(committed)
        cap, sampling = self.means.vendor_cap, self.means.sampling
        self.roster, self.closed = rules.advance(self.roster, self.at, cap, sampling)
        return (self.roster.encode() if self.roster != before else None), faults

    def kept_out(self) -> dict[bytes, str]:
        """Observers that wait in vain, and why, worked out once a roster; see `succession`."""
        roster, means = self.roster, self.means
        if self._kept_out[0] is not roster:
            self._kept_out = roster, kept_out(roster, means.vendor_cap, means.sampling)
        return self._kept_out[1]

    def closing(self, commit: Commit, roots: Roots, adopted: Adopted | None) -> Closing:
        """What follows from the CLOSE in `commit`. `adopted` is what this epoch's governors did."""
        if self.closed is None:
            raise LocalFault("record", "this epoch is not closed")
        if adopted is None or not self.closed.change.amendment:
            record = successor(self._link, self.closed, commit, roots)
            return Closing(record, self.roster.encode())
        record = successor(self._link, self.closed, commit, roots, adopted.amendment)
        amendment, approvals = adopted
        return Closing(record, self.roster.encode(), amendment=amendment, approvals=approvals)

    def _events(
        self, committed: CommittedBlocks
    ) -> tuple[list[MembershipEvent], list[tuple[int, PeerFault]]]:
        found: list[tuple[int, MembershipEvent]] = []
        faults: list[tuple[int, PeerFault]] = []
        for block in committed.blocks:
            for data in block.payload.membership:
                try:
                    found.append((block.header.author, parse_event(data)))
                except PeerFault as fault:
                    faults.append((block.header.author, fault))
        if not found:
            return [], faults
        network = self.means.network
        verdicts = signatures.verify_batch(
            [(e.node, e.signature, signed_bytes(network, e.body_bytes)) for _, e in found]
        )
        for (author, _), good in zip(found, verdicts, strict=True):
            if not good:
                wrong = PeerFault("membership", "a membership event's signature is wrong")
                faults.append((author, wrong))
        return [e for (_, e), good in zip(found, verdicts, strict=True) if good], faults

    def _checkpoint(self, committed: CommittedBlocks) -> Roster:
        """An anchor for joiners, and how far each seat's blocks of this very commit reach."""
        rounds = list(self.roster.last_rounds or (0,) * self._committee.size)
        for reference in committed.commit.blocks:
            rounds[reference.author] = max(rounds[reference.author], reference.round)
        return rules.checkpoint(self.roster, self.at, committed.commit.digest, tuple(rounds))

    def _refuse(self, node: bytes, reason: str) -> None:
        self.refusals[node] = reason
        self.refusals.move_to_end(node)
        if len(self.refusals) > _REFUSALS_KEPT:
            self.refusals.popitem(last=False)
