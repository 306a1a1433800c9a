"""A yardstick: one leader a round, which everybody awaits for at most a timeout.

An idealised model of the DAG protocols with one named leader a round (rounds of all-to-all blocks,
a vote is a parent, a certificate Q votes, a commit Q certificates two rounds above the leader, a
skip Q blocks without a vote): no processing time, no disk, no jitter, on the same links as a run of
the real code. Times in microseconds.
"""

from collections.abc import Collection

from ccp2p.simulator.links import Latencies

WARM_ROUNDS, MEASURED_ROUNDS, TAIL_ROUNDS = 12, 24, 16


class LeaderRule:
    """The rounds of a network whose `dead` nodes never speak; `timeout_us` is for a leader."""

    def __init__(
        self, latencies: Latencies, quorum: int, dead: Collection[int], timeout_us: int
    ) -> None:
        self._latencies = latencies
        self._quorum = quorum
        self._size = len(latencies)
        self._live = [seat for seat in range(self._size) if seat not in dead]
        self._made: list[dict[int, int]] = [dict.fromkeys(self._live, 0)]
        for _ in range(WARM_ROUNDS + MEASURED_ROUNDS + TAIL_ROUNDS):
            below = self._made[-1]
            leader = (len(self._made) - 1) % self._size
            self._made.append({seat: self._next(below, leader, seat, timeout_us) for seat in below})
        self._last = len(self._made) - 3
        self._sides = [self._take_sides(round_) for round_ in range(self._last)]
        self._ordered = {seat: self._outputs(seat) for seat in self._live}

    def p50_us(self) -> int:
        """From an event's arrival, at any time of a round, to its total order at its own node."""
        samples = []
        for round_ in range(WARM_ROUNDS, WARM_ROUNDS + MEASURED_ROUNDS):
            for author in self._live:
                wait = (self._made[round_][author] - self._made[round_ - 1][author]) // 2
                ordered = self._order_time(round_, author)
                if ordered is not None:
                    samples.append(ordered - self._made[round_][author] + wait)
        return sorted(samples)[len(samples) // 2]

    def _arrival(self, round_: int, author: int, seat: int) -> int:
        return self._made[round_][author] + self._latencies[author][seat]

    def _next(self, below: dict[int, int], leader: int, seat: int, timeout_us: int) -> int:
        """When a node makes its block after round `below`."""
        arrivals = {author: at + self._latencies[author][seat] for author, at in below.items()}
        deadline = below[seat] + timeout_us
        return max(
            sorted(arrivals.values())[self._quorum - 1],
            min(arrivals.get(leader, deadline), deadline),
        )

    def _has_parent(self, round_: int, seat: int, parent: int) -> bool:
        """Whether a node's block of `round_` names `parent`'s block of the round before."""
        return self._arrival(round_ - 1, parent, seat) <= self._made[round_][seat]

    def _outputs(self, seat: int) -> list[tuple[int, int]]:
        """Per committed leader's round, when this node puts it out, in order."""
        decided = [self._direct(round_, seat) for round_ in range(self._last)]
        for round_ in range(self._last - 1, -1, -1):
            if decided[round_] is None:
                anchors = (one for one in decided[round_ + 3 :] if one is not None and one[1])
                anchor = next(anchors, None)
                decided[round_] = None if anchor is None else (anchor[0], False)
        outputs: list[tuple[int, int]] = []
        now = 0
        for round_, one in enumerate(decided):
            if one is None:
                break
            now = max(now, one[0])
            if one[1]:
                outputs.append((round_, now))
        return outputs

    def _direct(self, round_: int, seat: int) -> tuple[int, bool] | None:
        """When, and whether, the leader of `round_` is committed or skipped directly."""
        voters, certifiers = self._sides[round_]
        if len(voters) < self._quorum:
            others = [one for one in self._live if one not in voters]
            return self._quorum_time(round_ + 1, others, seat, False)
        return self._quorum_time(round_ + 2, certifiers, seat, True)

    def _take_sides(self, round_: int) -> tuple[list[int], list[int]]:
        """Who votes for the leader of `round_`, and who certifies it a round later."""
        leader = round_ % self._size
        voters = [
            one
            for one in self._live
            if leader in self._live and self._has_parent(round_ + 1, one, leader)
        ]
        certifiers = [
            one
            for one in self._live
            if sum(self._has_parent(round_ + 2, one, voter) for voter in voters) >= self._quorum
        ]
        return voters, certifiers

    def _quorum_time(
        self, round_: int, authors: list[int], seat: int, is_commit: bool
    ) -> tuple[int, bool] | None:
        if len(authors) < self._quorum:
            return None
        times = sorted(self._arrival(round_, author, seat) for author in authors)
        return times[self._quorum - 1], is_commit

    def _order_time(self, round_: int, author: int) -> int | None:
        """When `author` orders its own block of `round_`: with the first leader that saw it."""
        holders = {author}
        reached = round_
        for leader_round, at in self._ordered[author]:
            if leader_round < round_:
                continue
            while reached < leader_round:
                reached += 1
                holders = {
                    seat
                    for seat in self._live
                    if any(self._has_parent(reached, seat, holder) for holder in holders)
                    or self._arrival(round_, author, seat) <= self._made[reached][seat]
                }
            if leader_round % self._size in holders:
                return at
        return None
