"""What must hold in every world, looked at as it happens; the first breach ends the run.

Only honest nodes are judged, and every check compares what several of them did, or what one did
before and after a crash: nothing here repeats the rules that it checks.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.execution.apps import kv_protocol as kv
from ccp2p.membership.records import Link
from ccp2p.membership.roster import Roster
from ccp2p.model import codec, limits
from ccp2p.model.block import VerifiedBlock
from ccp2p.model.epoch import EpochRecord, parse_record
from ccp2p.model.errors import Fault
from ccp2p.model.outcome import Outcome
from ccp2p.node.executor import CommitRecord, Executed
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.simulator.founding import START_MS

if TYPE_CHECKING:
    from ccp2p.simulator.host import Host
    from ccp2p.simulator.load import Load, Member, Pending
    from ccp2p.simulator.world import World

CLOCK_TOLERANCE_MS = 1_000  # honest clocks differ by less
_COMMIT_BYTES = limits.MAX_FRAME_BYTES

Slot = tuple[int, int, int]
"""Epoch, round and author."""


class Violation(Exception):
    """A promise was broken. `check` names it; the message says how."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


class Checks:
    """The judge of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._commits: dict[int, list[bytes]] = defaultdict(list)
        self._records: dict[int, list[bytes]] = defaultdict(list)
        self._ordered: dict[Slot, None] = {}
        self._sent: dict[Slot, bytes] = {}
        self._certified: dict[Slot, bytes] = {}
        self._closed: dict[int, EpochRecord] = {}
        self._closers: dict[int, dict[int, None]] = defaultdict(dict)
        self._seen: Roster | None = None
        self.leaders: list[bytes] = []  # digests, in order of commits

    @property
    def longest(self) -> int:
        """How many commits any honest node decided, over all epochs."""
        return sum(map(len, self._commits.values()))

    def committed(self, host: "Host", committed: CommittedBlocks) -> None:
        """A node decided a commit: the same as every other's, now and before its crashes."""
        if not host.is_honest:
            return
        commit = committed.commit
        digest = commit.digest
        commits = self._commits[commit.epoch]
        if commit.index > len(commits) + 1:
            raise Violation("prefix", f"node {host.index} jumps to commit {commit.index}")
        if commit.index == len(commits) + 1:
            commits.append(digest)
            self.leaders.append(commit.leader.digest)
            self._once(committed)
            self._world.trace.note(self._world.now_us, host.index, "commit", digest[:8])
        elif commits[commit.index - 1] != digest:
            leader = f"({commit.leader.round}, {commit.leader.author})"
            raise Violation(
                "agreement", f"node {host.index} has another commit {commit.index}, led by {leader}"
            )
        latest_ms = START_MS + self._world.now_us // 1000 + CLOCK_TOLERANCE_MS
        if commit.ledger_time_ms > latest_ms:
            raise Violation("ledger-time", f"commit {commit.index} is dated in the future")

    def _once(self, committed: CommittedBlocks) -> None:
        for reference in committed.commit.blocks:
            slot = (committed.commit.epoch, reference.round, reference.author)
            if slot in self._ordered:
                raise Violation("slot-twice", f"slot {slot} is ordered twice")
            self._ordered[slot] = None

    def executed(self, host: "Host", executed: Executed) -> None:
        """A node executed commits: the same roots as all others, and every member's order kept."""
        if not host.is_honest:
            return
        records = self._records[host.epoch]
        for index, record in executed.records:
            if index > len(records) + 1:
                raise Violation("prefix", f"node {host.index} executed commit {index} too early")
            if index == len(records) + 1:
                records.append(record)
            elif records[index - 1] != record:
                root = codec.decode(record, CommitRecord, _COMMIT_BYTES).state_root.hex()[:16]
                raise Violation("state-root", f"node {host.index} has {root} after commit {index}")
        if executed.buckets:
            self.members(host)
        self._admitted(host)

    def _admitted(self, host: "Host") -> None:
        """Nobody has a seat, follows, or is about to, whose evidence must not let it in."""
        intruders = self._world.intruders
        roster = host.executor.keeper.roster
        if not intruders or roster is self._seen:
            return
        self._seen = roster
        coming = roster.change.members if roster.change else ()
        for member in (*roster.members, *roster.observers, *coming):
            if member.node in intruders:
                raise Violation("admission", f"node {intruders[member.node]} was let in")

    def members(self, host: "Host") -> None:
        """Each member's value is its last executed number: every number ran once, in order."""
        machine = host.executor.machine
        for member in self._world.load.members:
            public = member.session.member
            last = machine.last_of(public)
            if last is None:
                continue
            answer = machine.query(public, codec.encode(kv.Query(kv.Get(public))))
            value = codec.decode(answer, kv.Value, 1024).value
            found = int.from_bytes(value, "big") if value else 0
            if found != last:
                raise Violation(
                    "exactly-once", f"node {host.index}: number {last} ran last and wrote {found}"
                )
            if last > member.last:
                raise Violation("invented-event", f"number {last} ran, {member.last} were sent")

    def outcome(self, host: "Host", member: "Member", pending: "Pending", outcome: Outcome) -> None:
        """A member was answered: its event ran, after the one before it and before the next."""
        place = (outcome.commit, outcome.position)
        number = pending.sequence
        if outcome.status != "ok" or outcome.event != pending.identifier:
            raise Violation(
                "outcome", f"node {host.index} answers number {number} with {outcome.status!r}"
            )
        if pending.is_repeated:
            return  # it may have run in an earlier epoch, whose places are not of this one
        host.acknowledged = max(host.acknowledged, (host.epoch, outcome.commit))
        before, after = member.places.get(number - 1), member.places.get(number + 1)
        if (before is not None and before >= place) or (after is not None and after <= place):
            raise Violation("session-order", f"number {number} ran at {place}, out of order")

    def durable(self, host: "Host") -> None:
        """A node starts: whatever it told a member is on its disk, unless that is an older one."""
        stands = (host.core.committee.epoch, host.executed)
        if host.is_honest and stands < host.acknowledged:
            raise Violation(
                "durability", f"node {host.index} lost commit {host.acknowledged[1]}, which it told"
            )

    def opened(self, outcome: Outcome) -> None:
        """A session was answered."""
        if outcome.status != "ok":
            raise Violation("outcome", f"a session is answered with {outcome.status!r}")

    def sent(self, host: "Host", block: VerifiedBlock) -> None:
        """A block left its author: the only one of its slot, whatever happened to the disk."""
        reference = block.reference
        slot = (block.header.epoch, reference.round, reference.author)
        known = self._sent.setdefault(slot, reference.digest)
        if known != reference.digest and not host.is_excused:
            raise Violation("double-signing", f"node {host.index} signed two blocks for {slot}")

    def record(self, host: "Host", record: EpochRecord) -> None:
        """A node has executed CLOSE: it signs the record that all others sign."""
        if not host.is_honest:
            return
        known = self._closed.setdefault(record.epoch, record)
        if known != record:
            raise Violation("record", f"node {host.index} has another record {record.epoch}")
        if host.disk.store.commit(record.epoch - 1, record.close_commit) is None:
            raise Violation("record", f"node {host.index} signs record {record.epoch} before CLOSE")
        self._closers[record.epoch][host.index] = None

    def begun(self, host: "Host", link: Link, secrets: EpochSecrets) -> None:
        """A node begins an epoch: with the one record there is, on its disk, after a quorum.

        And with the secrets that the record commits to.
        """
        epoch = link.record.epoch
        world = self._world
        if not host.is_honest or epoch == 0:
            return
        if link.record != self._closed.get(epoch):
            raise Violation("record", f"node {host.index} begins epoch {epoch} by another record")
        data = host.disk.store.meta(NetworkRecord.NAME)
        kept = codec.decode(data, NetworkRecord, limits.MAX_FRAME_BYTES) if data else None
        if kept is None or parse_record(kept.signed.record) != link.record:
            raise Violation("record", f"node {host.index} begins epoch {epoch} without its record")
        if (secrets.epoch_key.public, secrets.coin.anchor) != (
            link.record.epoch_key,
            link.record.coin_anchor,
        ):
            raise Violation("secret", f"node {host.index} begins epoch {epoch} by other secrets")
        before = world.views[epoch - 1].committee
        machines = [world.machines[seat.node] for seat in before.seats]
        closers = sum(
            one in self._closers[epoch] or not world.hosts[one].is_honest for one in machines
        )
        if closers < before.quorum:
            raise Violation("record", f"epoch {epoch} begins after {closers} nodes saw CLOSE")

    def blamed(self, host: "Host", seat: int, fault: Fault) -> None:
        """A node blames another: never an honest one."""
        world = self._world
        world.trace.note(world.now_us, host.index, "fault", fault.code.encode())
        if host.is_honest and world.hosts[seat].is_honest:
            raise Violation("warning", f"node {host.index} blames honest node {seat}: {fault}")

    def evidence(self, host: "Host", machine: int) -> None:
        """A node holds proof of equivocation: never by an honest one."""
        world = self._world
        world.trace.note(world.now_us, host.index, "evidence", b"%d" % machine)
        author = world.hosts[machine]
        if author.is_honest and not author.is_excused:
            raise Violation("double-signing", f"there is evidence against node {machine}")

    def bounds(self, host: "Host") -> None:
        """Queues and memory are within their limits."""
        consensus = host.core.consensus
        size = host.core.committee.size
        found = (
            ("suspended", consensus.suspended, limits.MAX_SUSPENDED_BLOCKS),
            ("pending", consensus.pending_payload[0], limits.ENVELOPE_QUEUE + limits.VOTE_QUEUE),
            ("missing", consensus.missing, limits.MAX_SUSPENDED_BLOCKS * size),
        )
        for name, value, limit in found:
            if value > limit:
                raise Violation("bounds", f"node {host.index}: {value} {name}, limit {limit}")

    def stopped(self, host: "Host") -> None:
        """A node stopped with a fault of its own: only a full disk is a reason."""
        fault = host.stopped
        if fault is not None and host.is_honest and fault.code != "disk-full":
            raise Violation("stopped", f"node {host.index} stopped: {fault.code}: {fault}")

    def certified(self, slot: Slot, digest: bytes) -> None:
        """A block of `slot` has a certificate: the only one of its slot that ever has."""
        if self._certified.setdefault(slot, digest) != digest:
            raise Violation("certificate", f"two blocks of slot {slot} have certificates")

    def reviewed(self, epoch: int, index: int, digest: bytes) -> None:
        """An observer that saw all blocks in another order has this commit."""
        commits = self._commits[epoch]
        if index > len(commits):
            commits.append(digest)
        elif commits[index - 1] != digest:
            raise Violation("delivery-order", f"commit {index} depends on the order of delivery")

    def finish(self, load: "Load") -> str:
        """After the quiet time at the end: empty, or what did not happen."""
        if load.unanswered:
            return f"{load.unanswered} events without an outcome"
        for host in self._world.hosts:
            if not host.is_honest or host.is_retired:
                continue
            if not host.is_in_epoch or host.core.starting:
                return f"node {host.index} does not run"
            self.members(host)
            behind = self._behind(host)
            if behind:
                return behind
        return self._world.unmet()

    def _behind(self, host: "Host") -> str:
        machine = host.executor.machine
        for member in self._world.load.members:
            if (machine.last_of(member.session.member) or 0) != member.last:
                return f"node {host.index} is behind"
        return ""
