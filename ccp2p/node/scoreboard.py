"""What this node can tell of its peers: what they proved, moved and did wrong. No IO.

Who does wrong without end is cut and barred for a while: each wrong costs us work. Honest nodes are
never at fault, so the bound only has to be finite.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ccp2p.model import limits
from ccp2p.model.member_protocol import PeerShown
from ccp2p.network import PeerStatus

_SAID_FIRST: Final = 16  # faults of a peer that are logged one by one; then each doubling


@dataclass(slots=True)
class _Score:
    verdict: Any = None
    faults: Counter[str] = field(default_factory=Counter)
    window_ms: int = 0
    in_window: int = 0


class Scoreboard:
    """Of the last `limits.SCORED_PEERS` nodes. `cut(node)` ends and bars a connection."""

    def __init__(self, cut: Callable[[bytes], None]) -> None:
        self._cut = cut
        self._scores: dict[bytes, _Score] = {}

    def connected(self, node: bytes, verdict: Any) -> None:
        """A peer's evidence was accepted."""
        self._score(node).verdict = verdict

    def blame(self, node: bytes, code: str, now_ms: int) -> bool:
        """A peer did wrong; whether that is worth a line in the log."""
        score = self._score(node)
        known = code if code in score.faults or len(score.faults) < limits.FAULT_CODES else "other"
        score.faults[known] += 1
        if now_ms - score.window_ms > limits.FAULT_WINDOW_MS:
            score.window_ms, score.in_window = now_ms, 0
        score.in_window += 1
        if score.in_window >= limits.FAULTS_BORNE:
            score.window_ms, score.in_window = now_ms, 0
            self._cut(node)
        total = score.faults.total()
        return total <= _SAID_FIRST or total & (total - 1) == 0

    def rows(self, statuses: Mapping[bytes, PeerStatus], now_s: float) -> tuple[PeerShown, ...]:
        """One row a peer; `now_s` is of the clock that dates the statuses."""
        return tuple(
            self._row(node, status, now_s)
            for node, status in sorted(statuses.items())[: limits.PEERS_SHOWN]
        )

    def _row(self, node: bytes, status: PeerStatus, now_s: float) -> PeerShown:
        score = self._scores.get(node, _Score())
        verdict = score.verdict
        return PeerShown(
            node=node,
            address=status.address,
            connected=status.connected,
            dialed=status.dialed,
            since_ms=int((now_s - status.since) * 1000) if status.connected else 0,
            silent_ms=int((now_s - status.last_heard) * 1000) if status.connected else 0,
            tee=verdict.tee if verdict else "",
            vendor=verdict.vendor if verdict else "",
            bytes_in=status.bytes_in,
            bytes_out=status.bytes_out,
            dropped_frames=status.dropped_frames,
            queued_bytes=status.queued_bytes,
            faults=tuple(sorted(score.faults.items())),
            failure=status.failure,
        )

    def _score(self, node: bytes) -> _Score:
        """The node's score, now the newest; the oldest makes room."""
        score = self._scores.pop(node, None) or _Score()
        self._scores[node] = score
        if len(self._scores) > limits.SCORED_PEERS:
            del self._scores[next(iter(self._scores))]
        return score
