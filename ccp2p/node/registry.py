"""Who is in the network as this node has executed it, and what that entitles them to. No IO.

Everybody who asks is attested; what is more than public is for seats and observers of the roster.
"""

from typing import Final

from ccp2p.membership.events import JoinRequest, parse_event
from ccp2p.membership.roster import Roster
from ccp2p.model import limits
from ccp2p.model.epoch import first_page, parse_record, record_digest
from ccp2p.model.errors import PeerFault
from ccp2p.node.messages import FollowReply, FollowRequest, Relay, SecretReply, SecretRequest
from ccp2p.node.network_record import NetworkRecord, NodeAddresses, known_addresses
from ccp2p.node.roster_keeper import RosterKeeper
from ccp2p.node.steward import Steward

_RELAY_INTERVAL_MS: Final = 1_000  # between events that one node may hand over
_RELAYERS_KEPT: Final = 1024


class Registry:
    """Answers from the roster of one epoch."""

    def __init__(self, record: NetworkRecord, keeper: RosterKeeper, steward: Steward) -> None:
        self._record = record
        self._keeper = keeper
        self._steward = steward
        before = parse_record(record.records[-2].record).seats if len(record.records) > 1 else ()
        self._former = {seat.node for seat in before}
        self._relayed_ms: dict[bytes, int] = {}

    @property
    def roster(self) -> Roster:
        """The roster after the last executed commit."""
        return self._keeper.roster

    def addresses(self) -> tuple[NodeAddresses, ...]:
        """Where the nodes of the roster listen."""
        return known_addresses(self._record, self.roster)

    def _told_addresses(self) -> tuple[NodeAddresses, ...]:
        """As many as fit into a message, the seats' first."""
        room, told = limits.MAX_TOLD_ADDRESS_CHARS, []
        for one in self.addresses():
            room -= sum(map(len, (*one.peers, *one.clients)))
            if room < 0:
                break
            told.append(one)
        return tuple(told)

    def place_of(self, node: bytes) -> str:
        """Where a node stands: "seat", "observer" or "none"."""
        roster = self.roster
        change = roster.change
        if roster.seated(node) or (change is not None and change.index_of(node) is not None):
            return "seat"
        return "observer" if roster.following(node) else "none"

    def coming(self) -> list[bytes]:
        """Who has no seat yet, and has one in the epoch that the change under way begins."""
        roster = self.roster
        members = roster.change.members if roster.change is not None else ()
        return [one.node for one in members if roster.seated(one.node) is None]

    def may_fetch(self, node: bytes) -> bool:
        """Whether a node gets blocks: also who left with the last epoch, and has yet to end it."""
        return self.place_of(node) != "none" or node in self._former

    def relayed(self, node: bytes, relay: Relay, now_ms: int) -> list[bytes]:
        """The events that may go into our next block; PeerFault when they must not be relayed.

        What a node says in another epoch, or without a place here, is dropped and nobody's fault:
        it has yet to hear of this epoch, or this node has yet to execute its admission.
        """
        if not self._is_due(node, now_ms):
            return []
        is_stranger = self.place_of(node) == "none"
        relayed: list[bytes] = []
        for data in relay.events[: limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK]:
            event = parse_event(data)
            if event.node != node:
                raise PeerFault("relay", "a node hands over its own membership events only")
            has_a_say = not is_stranger or isinstance(event.body, JoinRequest)
            if event.epoch == self.roster.epoch and has_a_say:
                relayed.append(data)
        return relayed

    def _is_due(self, node: bytes, now_ms: int) -> bool:
        if now_ms < self._relayed_ms.get(node, -_RELAY_INTERVAL_MS) + _RELAY_INTERVAL_MS:
            return False
        if len(self._relayed_ms) >= _RELAYERS_KEPT:
            self._relayed_ms.clear()
        self._relayed_ms[node] = now_ms
        return True

    def follow(self, node: bytes, request: FollowRequest) -> FollowReply:
        """What a node must know to follow, and where it stands."""
        records = first_page(self._record.since(request.pinned))
        anchors = self.roster.anchors
        anchor = anchors[-1][1] if anchors else record_digest(self._record.signed.record)
        place = self.place_of(node)
        reasons = self._keeper.kept_out() if place == "observer" else self._keeper.refusals
        return FollowReply(records, anchor, place, reasons.get(node, ""), self._told_addresses())

    def secret(self, node: bytes, request: SecretRequest) -> SecretReply | None:
        """The secret of this epoch, or of a proposal of the change under way; strangers get none.

        Empty where this node does not hold it.
        """
        if self.place_of(node) == "none":
            return None
        return SecretReply(request.epoch_key, self._steward.secret_of(request.epoch_key) or b"")
