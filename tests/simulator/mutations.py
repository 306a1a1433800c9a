"""Faults put into the real rules, one at a time; the simulator must find each of them.

A mutation patches real functions and names the scenario that finds it, the number of nodes, the
first seed that found it when the table in docs/testing.md was made (`bench/mutations.py` measures
it), and how many seeds it may take.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ccp2p.consensus import coin, core, dag, decide, fetcher, linearizer
from ccp2p.consensus.coin import carried_round
from ccp2p.consensus.index import History
from ccp2p.consensus.messages import Draft
from ccp2p.consensus.vertex import Vertex
from ccp2p.execution import run
from ccp2p.membership import admission, succession
from ccp2p.membership.records import Link
from ccp2p.model.block import VerifiedBlock
from ccp2p.model.epoch import SignedEpochRecord, parse_record, record_digest
from ccp2p.model.errors import PeerFault
from ccp2p.node import (
    attestor,
    boundary,
    catch_up,
    epoch,
    executor,
    floor,
    handover,
    intake,
    recovery,
    steward,
)
from ccp2p.node.intake import Delivery, Intake
from ccp2p.sealing import table
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.simulator import changes
from ccp2p.simulator import host as hosts
from tests.consensus import mutations as ordering

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutation:
    """What to patch, and where the simulator finds it: at `seed`, or else below `within`."""

    make: Callable[[], list[Patch]]
    scenario: str
    seed: int
    within: int
    nodes: int = 4


def apply(mutation: Mutation, patcher: pytest.MonkeyPatch) -> None:
    """Put the wrong rule in place of the right one."""
    for owner, attribute, replacement in mutation.make():
        patcher.setattr(owner, attribute, replacement)


def coin_unchecked() -> list[Patch]:
    """Whatever coin a block carries is believed."""

    def accepts(self: coin.CoinBook, block_round: int, value: bytes) -> bool:
        coin_round = carried_round(block_round, self._delay, self._coin.length)
        if coin_round and value:
            self._learn(coin_round, value)
        return True

    return [(coin.CoinBook, "accepts", accepts)]


def newest_time() -> list[Patch]:
    """Ledger time is the newest timestamp among the parents, not their median."""

    def median_time(leader: Vertex) -> int:
        return max((p.timestamp_ms for p in leader.parents), default=0)

    return [(linearizer, "median_time", median_time)]


def timestamps_must_rise() -> list[Patch]:
    """A block dated no later than a parent is refused: every fast clock drags all others along."""
    honest = dag.Dag._enter

    def enter(
        self: dag.Dag, block: VerifiedBlock, sender: int | None, slot: Any, draft: Draft
    ) -> None:
        parents = (self._index.get(parent.digest) for parent in block.header.parents)
        if any(one and one.timestamp_ms >= block.header.timestamp_ms for one in parents):
            fault = PeerFault("time", "a block is dated before its parents")
            draft.faults.append((block.reference.author, fault))
        else:
            honest(self, block, sender, slot, draft)

    return [(dag.Dag, "_enter", enter)]


def both_of_a_slot() -> list[Patch]:
    """An equivocator's second block is ordered as well."""

    def take(self: linearizer.Linearizer, vertex: Vertex) -> VerifiedBlock | None:
        return vertex.block

    return [(linearizer.Linearizer, "_take", take)]


def forgotten_slots() -> list[Patch]:
    """After a restart nobody remembers which slots have given a block."""
    honest = linearizer.Linearizer.resume

    def resume(self: linearizer.Linearizer, commits: Sequence[Any]) -> None:
        honest(self, commits)
        self._taken.clear()

    return [(linearizer.Linearizer, "resume", resume)]


def collect_by_clock() -> list[Patch]:
    """What a commit leaves out as too old follows from the local clock of rounds."""
    honest = linearizer.Linearizer.commit

    def commit(self: linearizer.Linearizer, leader: Vertex) -> Any:
        rounds = [vertex.round for chain in self._index._chains for vertex in chain[-1:]]
        floor_round = max(rounds, default=0) - 6
        depth = self._gc_depth
        if self.last is not None:
            self._gc_depth = max(1, min(depth, self.last.leader.round - floor_round))
        try:
            return honest(self, leader)
        finally:
            self._gc_depth = depth

    return [(linearizer.Linearizer, "commit", commit)]


def leader_again() -> list[Patch]:
    """A restarted node goes on with the last leader's slot instead of the next."""
    honest = decide.Decider.__init__

    def create(self: decide.Decider, *arguments: Any) -> None:
        honest(self, *arguments)
        if self._after is not None:
            self._after = None

    return [(decide.Decider, "__init__", create)]


def no_floor() -> list[Patch]:
    """A restarted node goes on from its own disk at once."""

    def search(self: floor.FloorSearch, admitted: Any) -> floor.Floor:
        return floor.Floor(self._disk_round + 1, "disks")

    return [(floor.FloorSearch, "decide", search)]


def floor_without_disk() -> list[Patch]:
    """The restart floor is the round after what peers hold of the asker."""

    def search(self: floor.FloorSearch, admitted: Any) -> floor.Floor | None:
        answers = self._answers.values()
        if len(answers) < self._size // 2:
            return None
        held = [answer.yours.round for answer in answers if answer.yours is not None]
        return floor.Floor(max(held, default=0) + 1, "peers")

    return [(floor.FloorSearch, "decide", search)]


def unsaved_own_block() -> list[Patch]:
    """Blocks leave before they are on disk."""

    def written(self: hosts.Host, batch: Any, steps: Any) -> None:
        self._perform(steps)
        self.reach("before-write")
        self.disk.write(batch)
        self.reach("after-write")
        self.seat.saved(batch)
        self._is_writing = False

    return [(hosts.Host, "_written", written)]


def answer_before_persist() -> list[Patch]:
    """Members are told before the state is on disk."""
    honest = hosts.Host._executed

    def executed(self: hosts.Host, found: Any) -> None:
        self.answer(found)
        found.outcomes.clear()
        found.dropped.clear()
        honest(self, found)

    return [(hosts.Host, "_executed", executed)]


def gaps_accepted() -> list[Patch]:
    """A member's number may leave a gap."""
    honest = run.Run.take

    def take(self: run.Run, events: Any) -> None:
        for event in events:
            numbers = self._sequences.of(event.member)
            if not event.refusal and event.sequence > numbers.last + 1:
                numbers.last = event.sequence - 1
            honest(self, [event])

    return [(run.Run, "take", take)]


def repeats_run_again() -> list[Patch]:
    """A repeated event runs once more."""

    def repeat(self: run.Run, numbers: Any, event: Any) -> None:
        last = numbers.last
        self._execute(numbers, event.member, event)
        numbers.last = last

    return [(run.Run, "_repeat", repeat)]


def unsigned_events() -> list[Patch]:
    """Members' signatures are not checked."""
    return [(table, "_check_signatures", lambda candidates: None)]


def unsigned_blocks() -> list[Patch]:
    """Authors' signatures are not checked."""

    def verify(self: intake.BlockIntake, deliveries: Sequence[Delivery]) -> list[Intake]:
        intakes = []
        for delivery in deliveries:
            found, faults = self._parse(delivery)
            blocks = tuple(map(VerifiedBlock.trust, found))
            intakes.append(Intake(delivery.sender, blocks, delivery.solicited, tuple(faults)))
        return intakes

    return [(intake.BlockIntake, "verify", verify)]


def no_retry() -> list[Patch]:
    """What a peer did not send is not asked of another."""

    def wake_ms(self: fetcher.Fetcher, now_ms: int) -> int | None:
        return now_ms if self._fresh else None

    def collect(self: fetcher.Fetcher, now_ms: int, *arguments: Any) -> None:
        for request in self._asked.values():
            request.due_ms = 1 << 60
        honest(self, now_ms, *arguments)

    honest = fetcher.Fetcher.collect
    return [(fetcher.Fetcher, "wake_ms", wake_ms), (fetcher.Fetcher, "collect", collect)]


def no_resend() -> list[Patch]:
    """A block that was lost is not sent again."""
    return [(core.Consensus, "_resend", lambda self, now_ms, draft: None)]


def late_skip_counts_any() -> list[Patch]:
    """The indirect rule takes any block of the slot that the anchor's history holds."""

    def certified_in(history: History, slot: decide.Slot, waves: Any) -> Vertex | None:
        for vertex in history.at(slot.round):
            if vertex.author == slot.author:
                return vertex
        return None

    return [(decide, "certified_in", certified_in)]


def recovered_short() -> list[Patch]:
    """A restart forgets its newest commit's state but keeps its log."""
    honest = recovery.recovered_log

    def recovered_log(store: Any, committee: Any, gc_depth: int) -> Any:
        found = honest(store, committee, gc_depth)
        if found is None or not found.commits:
            return found
        return type(found)(found.blocks, found.commits[:-1])

    return [(epoch, "recovered_log", recovered_log)]


def events_after_close() -> list[Patch]:
    """What was ordered after CLOSE is executed with it, as far as a node has got."""
    honest = executor.Executor.execute

    def execute(self: executor.Executor, commits: Sequence[Any]) -> Any:
        executed = honest(self, commits)
        done = len(executed.records)
        for committed in commits[done:] if self.keeper.closed is not None else ():
            opened = self.table.open_commit(
                committed.commit.index,
                executor._envelopes(committed),
                self.machine.last_of,
                lambda *_: None,
            )
            applied = self.machine.apply(committed.commit, opened.events, (), (), None)
            executed.buckets.update(applied.buckets)
        return executed

    return [(executor.Executor, "execute", execute)]


def small_record_quorum() -> list[Patch]:
    """The next epoch begins with one signature less than a quorum of the old one."""

    def add(self: handover.Handover, seat: int, signature: bytes) -> None:
        self._signatures[seat] = signature
        if len(self._signatures) >= self._committee.quorum - 1:
            found = tuple(sorted(self._signatures.items()))
            self.signed = SignedEpochRecord(self._bytes, found)

    def check(signed: Any, previous: Any, verify_batch: Any) -> Any:
        return Link(parse_record(signed.record), record_digest(signed.record))

    return [
        (handover.Handover, "_add", add),
        (handover, "check_successor", check),
        (boundary, "check_successor", check),
    ]


def evidence_unbound() -> list[Patch]:
    """Evidence is judged, but not what it is about."""
    honest = attestor.verify_bundle

    def verify_bundle(*arguments: Any, report_data: bytes, **options: Any) -> Any:
        return honest(*arguments, **options)

    return [(attestor, "verify_bundle", verify_bundle)]


def evidence_of_any_age() -> list[Patch]:
    """What evidence is bound to may be as old as it likes."""
    honest = admission._anchor_commit

    def anchor_commit(roster: Any, anchor: bytes, means: Any) -> int:
        try:
            return honest(roster, anchor, means)
        except PeerFault:
            return roster.anchors[-1][0] if roster.anchors else 0

    return [(admission, "_anchor_commit", anchor_commit)]


def two_of_a_platform() -> list[Patch]:
    """A platform may have another seat."""
    return [(admission, "_check_platform", lambda roster, member: None)]


def seat_without_consent() -> list[Patch]:
    """A seat passes on within its platform without its key's word."""
    return [(admission, "_check_replaced", lambda roster, heir, consent, means: None)]


def parts_unchecked() -> list[Patch]:
    """Parts of a state are taken as they come."""
    return [(catch_up.parts, "check_part", lambda number, held, expected: None)]


def states_unvouched() -> list[Patch]:
    """The roots of a state need nobody's vote."""

    async def certify(self: catch_up.CatchUp, checkpoint: Any, link: Link) -> None:
        pass

    return [(catch_up.CatchUp, "_certify", certify)]


def any_secret() -> list[Patch]:
    """Who comes in takes any secret for the epoch's."""

    def check(self: catch_up.CatchUp, secret: bytes, link: Link) -> EpochSecrets:
        return EpochSecrets(secret, self._genesis.parameters.coin_length)

    return [(catch_up.CatchUp, "_check_secret", check)]


def caps_ignored() -> list[Patch]:
    """A vendor gets as many seats as it asks for."""
    return [(succession, "vendors_fit", lambda held, cap: True)]


def rekey_unchecked() -> list[Patch]:
    """A secret that opens is held and acknowledged, whatever the proposal commits to."""

    def hold(self: steward.Steward, proposal: Any, secret: bytes, roster: Any) -> None:
        self._secrets[proposal.epoch_key] = secret
        self._ready[proposal.epoch_key] = EpochSecrets(secret, self._coin_length)

    return [(steward.Steward, "_hold", hold)]


def anchor_unchecked() -> list[Patch]:
    """A secret is held and acknowledged when the epoch key follows from it, whatever the coin."""

    def hold(self: steward.Steward, proposal: Any, secret: bytes, roster: Any) -> None:
        if EpochSecrets.public_key(secret) == proposal.epoch_key:
            self._secrets[proposal.epoch_key] = secret
            self._ready[proposal.epoch_key] = EpochSecrets(secret, self._coin_length)

    return [(steward.Steward, "_hold", hold)]


def record_not_written() -> list[Patch]:
    """The next epoch begins before its record is on disk."""
    return [(changes.Changes, "_keep_record", lambda self, record: None)]


ALL: dict[str, Mutation] = {
    "skip_any_block": Mutation(ordering.skip_any_block, "equivocate", 1, 20),
    "skip_early": Mutation(ordering.skip_early, "equivocate", 7, 60),
    "own_block_last": Mutation(ordering.own_block_last, "equivocate", 10, 60),
    "commit_on_votes": Mutation(ordering.commit_on_votes, "equivocate", 0, 10),
    "small_quorum": Mutation(ordering.small_quorum, "equivocate", 9, 60),
    "small_certificate": Mutation(ordering.small_certificate, "equivocate", 0, 10),
    "indirect_late_only": Mutation(ordering.indirect_late_only, "equivocate", 90, 120),
    "near_anchor": Mutation(ordering.near_anchor, "equivocate", 20, 60),
    "late_skip_counts_any": Mutation(late_skip_counts_any, "equivocate", 11, 60),
    "coin_unchecked": Mutation(coin_unchecked, "invalid", 3, 20),
    "timestamps_must_rise": Mutation(timestamps_must_rise, "calm", 0, 10),
    "newest_time": Mutation(newest_time, "equivocate", 1, 10),
    "both_of_a_slot": Mutation(both_of_a_slot, "equivocate", 0, 10),
    "collect_by_clock": Mutation(collect_by_clock, "slow", 3, 20),
    "forgotten_slots": Mutation(forgotten_slots, "mixed", 4, 40, 7),
    "leader_again": Mutation(leader_again, "restart", 0, 10),
    "recovered_short": Mutation(recovered_short, "restart", 5, 40),
    "no_floor": Mutation(no_floor, "rollback", 0, 10),
    "floor_without_disk": Mutation(floor_without_disk, "rollback", 11, 60),
    "unsaved_own_block": Mutation(unsaved_own_block, "restart", 51, 100),
    "answer_before_persist": Mutation(answer_before_persist, "restart", 43, 100),
    "gaps_accepted": Mutation(gaps_accepted, "scheduler", 0, 10),
    "repeats_run_again": Mutation(repeats_run_again, "mixed", 0, 10),
    "unsigned_events": Mutation(unsigned_events, "mixed", 0, 10),
    "unsigned_blocks": Mutation(unsigned_blocks, "invalid", 0, 10),
    "no_retry": Mutation(no_retry, "mixed", 1, 20),
    "events_after_close": Mutation(events_after_close, "churn", 4, 20),
    "small_record_quorum": Mutation(small_record_quorum, "churn", 0, 20),
    "record_not_written": Mutation(record_not_written, "churn", 0, 20),
    "evidence_unbound": Mutation(evidence_unbound, "churn", 1, 20),
    "evidence_of_any_age": Mutation(evidence_of_any_age, "churn", 1, 20),
    "two_of_a_platform": Mutation(two_of_a_platform, "churn", 1, 20),
    "seat_without_consent": Mutation(seat_without_consent, "churn", 2, 20),
    "parts_unchecked": Mutation(parts_unchecked, "catch-up", 18, 60),
    "states_unvouched": Mutation(states_unvouched, "catch-up", 8, 40),
    "any_secret": Mutation(any_secret, "catch-up", 0, 20),
    "caps_ignored": Mutation(caps_ignored, "vendors", 0, 20, 5),
    "rekey_unchecked": Mutation(rekey_unchecked, "churn", 3, 60, 5),
    "anchor_unchecked": Mutation(anchor_unchecked, "churn", 3, 60, 5),
    "no_resend": Mutation(no_resend, "partition", 0, 10),
}
