"""How ordered membership events change the roster: admission, FREEZE, REKEY and CLOSE.

Pure: every node applies the same events of the same commits to the same roster. What needs a
verifier, an invite or a signature check is asked through `Means`; the answers must depend on the
arguments alone. An event that may not count raises PeerFault, whose code and words go to whoever
it speaks for; the roster is then as before. Design sections 7 and 8.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from ccp2p.membership.events import (
    Accusation,
    Acknowledgement,
    CloseIntent,
    JoinRequest,
    LeaveRequest,
    MembershipEvent,
    Prekey,
    Rekey,
    consent_bytes,
)
from ccp2p.membership.founding import vendors_fit
from ccp2p.membership.roster import Change, Member, Proposal, Roster, faulty_of, fits, quorum_of
from ccp2p.model import block as blocks
from ccp2p.model import codec, hashing, limits
from ccp2p.model.block import BlockHeader
from ccp2p.model.errors import PeerFault

T = TypeVar("T")


class Moment(NamedTuple):
    """Where in the log: the commit's index, its leader's round, its ledger time."""

    commit: int
    round: int
    time_ms: int


class Judged(NamedTuple):
    """What accepted evidence says of a node. An empty `platform_id` is no hardware id."""

    platform_id: bytes
    vendor: str
    tee: str


@dataclass(frozen=True, slots=True)
class Means:
    """What the rules need of their surroundings.

    `record` is the digest of this epoch's record. `judge(node, sealing, anchor, evidence, at_s)`
    gives the accepting verdict on a joiner, `admit(invite, time_ms)` lets a node ticket's secret
    count once more (both PeerFault), `verify(key, signature, message)` checks Ed25519.
    """

    network: bytes
    record: bytes
    vendor_cap: str
    judge: Callable[[bytes, bytes, bytes, bytes, int], Judged]
    admit: Callable[[bytes, int], None]
    verify: Callable[[bytes, bytes, bytes], bool]


class Closed(NamedTuple):
    """The epoch ended with this commit: the frozen committee and the proposal that it acked."""

    change: Change
    proposal: Proposal


def apply(roster: Roster, event: MembershipEvent, at: Moment, means: Means) -> Roster:
    """The roster after one event whose signature holds; PeerFault when it may not count."""
    if event.epoch != roster.epoch:
        raise PeerFault("wrong-epoch", f"the event is for epoch {event.epoch}: send it again")
    body = event.body
    if isinstance(body, JoinRequest):
        return _join(roster, event.node, body, at, means)
    if isinstance(body, LeaveRequest):
        return _leave(roster, event.node)
    if isinstance(body, CloseIntent):
        return _intend(roster, event.node)
    if isinstance(body, Accusation):
        return _accuse(roster, body, means)
    return _change(roster, event.node, body, at)


def advance(roster: Roster, at: Moment, vendor_cap: str) -> tuple[Roster, Closed | None]:
    """What the end of a commit brings: FREEZE, CLOSE, or a change without those who kept silent.

    At CLOSE the returned roster is the next epoch's.
    """
    if roster.change is None:
        if len(roster.intents) < quorum_of(len(roster.members)):
            return roster, None
        return replace(
            roster, intents=(), left_out=(), change=_freeze(roster, at, vendor_cap)
        ), None
    closed = _closed(roster.change)
    if closed is not None:
        return _successor(roster, closed.change), closed
    return _expire(roster, roster.change, at), None


def checkpoint(roster: Roster, at: Moment, chain: bytes, rounds: tuple[int, ...]) -> Roster:
    """Remember a checkpoint commit as an anchor, and how far each seat's ordered blocks reach."""
    anchors = (*roster.anchors, (at.commit, chain))[-limits.ANCHORS_KEPT :]
    return replace(roster, anchors=anchors, last_rounds=rounds)


def wants_close(roster: Roster, vendor_cap: str) -> bool:
    """Whether ending the epoch now would change who votes."""
    if roster.change is not None:
        return False
    return next_members(roster, vendor_cap) != roster.members


def awaits_prekeys(change: Change, round_: int) -> bool:
    """Whether prekeys still count, and not all are here, at this leader round."""
    return not all(change.prekeys) and round_ <= change.round + limits.PREKEY_ROUNDS


def may_propose(change: Change, at: Moment) -> bool:
    """Whether a rekey proposal may be ordered now: one at once, another a minute."""
    if awaits_prekeys(change, at.round) or len(change.proposals) >= limits.MAX_PROPOSALS:
        return False
    if not change.proposals:
        return True
    return at.time_ms >= change.proposals[-1].time_ms + limits.PROPOSAL_INTERVAL_MS


def next_members(roster: Roster, vendor_cap: str) -> tuple[Member, ...]:
    """The committee that a FREEZE now would fix, in seat order.

    Who leaves or was expelled goes; observers with a platform of their own come in the order of
    their admission, as far as the vendor cap and the committee's size allow. A successor takes the
    place of the seat that it replaces.
    """
    gone = {*roster.leaving, *roster.expelled}
    candidates = [
        one
        for one in roster.observers
        if one.platform_id and one.node not in gone and one.node not in roster.left_out
    ]
    successors = {one.replaces: one for one in candidates if one.replaces}
    staying = []
    for member in roster.members:
        if member.node in successors:
            staying.append(successors[member.node])
        elif member.node not in gone:
            staying.append(member)
    room = limits.MAX_COMMITTEE - len(staying)
    joining = [one for one in candidates if not one.replaces][:room]
    while joining and not vendors_fit([m.seat for m in (*staying, *joining)], vendor_cap):
        joining.remove(_surplus(staying, joining))
    chosen = (*staying, *joining)
    return chosen or roster.members


def _surplus(staying: list[Member], joining: list[Member]) -> Member:
    """The last joiner of the vendor that has the most seats among those with joiners."""
    held = [member.vendor for member in (*staying, *joining)]
    vendors = sorted({member.vendor for member in joining}, key=lambda v: (held.count(v), v))
    return next(member for member in reversed(joining) if member.vendor == vendors[-1])


def _join(roster: Roster, node: bytes, body: JoinRequest, at: Moment, means: Means) -> Roster:
    if roster.seated(node) is not None:
        raise PeerFault("has-seat", "this node has a seat already")
    if node in roster.expelled:
        raise PeerFault("expelled", "this node was expelled for signing two blocks of one round")
    if body.anchor != means.record and body.anchor not in {digest for _, digest in roster.anchors}:
        raise PeerFault("stale", "the evidence is bound to no recent checkpoint: make it anew")
    judged = means.judge(node, body.sealing, body.anchor, body.evidence, at.time_ms // 1000)
    earlier = roster.following(node)
    if body.replaces:
        _check_replaced(roster, node, body, judged, means)
    else:
        _check_platform(roster, node, judged)
    if earlier is None:
        if not fits(roster):
            raise PeerFault("full", "the network has as many observers as it may")
        if not body.replaces:
            means.admit(body.invite, at.time_ms)
    member = Member(
        node,
        body.sealing,
        judged.platform_id,
        judged.vendor,
        judged.tee,
        body.addresses,
        body.client_addresses,
        earlier.since_epoch if earlier else roster.epoch,
        body.replaces,
    )
    others = tuple(one for one in roster.observers if one.node != node)
    return replace(roster, observers=(*others, member))


def _check_platform(roster: Roster, node: bytes, judged: Judged) -> None:
    """One platform, one vote: among the seats and those who wait for one."""
    if not judged.platform_id:
        return  # it may follow; without a hardware id it gets no seat
    for other in (*roster.members, *roster.observers):
        if other.platform_id == judged.platform_id and other.node != node:
            raise PeerFault(
                "platform",
                "a node on this platform is in the network already, and a platform has one vote",
            )


def _check_replaced(
    roster: Roster, node: bytes, body: JoinRequest, judged: Judged, means: Means
) -> None:
    """A successor needs the same platform and the old key's word (design section 8)."""
    old = roster.seated(body.replaces)
    if old is None:
        raise PeerFault("replaces", "the node to be replaced has no seat")
    if not judged.platform_id or judged.platform_id != old.platform_id:
        raise PeerFault("replaces", "a seat passes on only within its platform")
    if not means.verify(old.node, body.consent, consent_bytes(means.network, node)):
        raise PeerFault("replaces", "the consent is not signed by the key that holds the seat")
    rivals = [one for one in roster.observers if one.replaces == old.node and one.node != node]
    if rivals:
        raise PeerFault("replaces", "another node is about to take over this seat")


def _leave(roster: Roster, node: bytes) -> Roster:
    if roster.following(node) is not None:
        kept = tuple(one for one in roster.observers if one.node != node)
        return replace(roster, observers=kept)
    if roster.seated(node) is None or node in roster.leaving:
        raise PeerFault("no-seat", "who leaves must be in the network")
    leaving = (*roster.leaving, node)
    if all(member.node in leaving for member in roster.members):
        raise PeerFault("last", "the last node cannot leave its network")
    return replace(roster, leaving=leaving)


def _intend(roster: Roster, node: bytes) -> Roster:
    if roster.seated(node) is None:
        raise PeerFault("no-seat", "only a seat may ask for the end of its epoch")
    if roster.change is not None or node in roster.intents:
        return roster
    return replace(roster, intents=(*roster.intents, node))


def _accuse(roster: Roster, body: Accusation, means: Means) -> Roster:
    """Two blocks of one slot, both signed by its author, expel the author."""
    committee = roster.committee
    headers = [
        codec.decode_canonical(data, BlockHeader, limits.MAX_HEADER_BYTES)
        for data, _ in (body.first, body.second)
    ]
    first, second = headers
    here = (means.network, roster.epoch)
    if any((header.network, header.epoch) != here for header in headers):
        raise PeerFault("accusation", "the blocks are of another epoch")
    if (first.round, first.author) != (second.round, second.author) or first == second:
        raise PeerFault("accusation", "these are not two blocks of one slot")
    if not 0 <= first.author < committee.size:
        raise PeerFault("accusation", "no such seat")
    node = committee.seats[first.author].node
    for data, signature in (body.first, body.second):
        digest = hashing.digest(hashing.BLOCK, data)
        if not means.verify(node, signature, blocks.signed_bytes(digest)):
            raise PeerFault("accusation", "the accused did not sign both blocks")
    if node in roster.expelled or len(committee.seats) == 1:
        return roster
    return replace(roster, expelled=(*roster.expelled, node))


def _change(
    roster: Roster, node: bytes, body: Prekey | Rekey | Acknowledgement, at: Moment
) -> Roster:
    change = roster.change
    place = change.index_of(node) if change else None
    if change is None or place is None:
        raise PeerFault("no-change", "no change of the committee asks for this")
    if isinstance(body, Prekey):
        changed = _add_prekey(change, place, body, at)
    elif isinstance(body, Rekey):
        changed = _add_proposal(change, node, body, at)
    else:
        changed = _add_ack(change, place, body)
    return replace(roster, change=changed)


def _add_prekey(change: Change, place: int, body: Prekey, at: Moment) -> Change:
    if change.prekeys[place]:
        raise PeerFault("prekey", "this member gave a prekey already")
    if at.round > change.round + limits.PREKEY_ROUNDS or change.proposals:
        raise PeerFault("prekey", "this prekey comes too late")
    return replace(change, prekeys=_set(change.prekeys, place, body.key))


def _add_proposal(change: Change, node: bytes, body: Rekey, at: Moment) -> Change:
    if not may_propose(change, at):
        raise PeerFault("rekey", "a proposal stands, or prekeys are still awaited")
    if [bool(sealed) for sealed in body.sealed] != [bool(key) for key in change.prekeys]:
        raise PeerFault("rekey", "the secrets are not sealed to exactly the prekeys")
    proposal = Proposal(node, body.coin_anchor, body.epoch_key, body.sealed, at.time_ms)
    return replace(change, proposals=(*change.proposals, proposal))


def _add_ack(change: Change, place: int, body: Acknowledgement) -> Change:
    if not 0 <= body.number < len(change.proposals):
        raise PeerFault("ack", "no such proposal")
    acks = change.acks[place] | 1 << body.number
    return replace(change, acks=_set(change.acks, place, acks))


def _freeze(roster: Roster, at: Moment, vendor_cap: str) -> Change:
    members = next_members(roster, vendor_cap)
    return Change(at.round, at.time_ms, members, (b"",) * len(members), (), (0,) * len(members))


def _closed(change: Change) -> Closed | None:
    """The first proposal that Q of the next committee acknowledged."""
    for number, proposal in enumerate(change.proposals):
        if sum(ack >> number & 1 for ack in change.acks) >= quorum_of(len(change.members)):
            return Closed(change, proposal)
    return None


def _expire(roster: Roster, change: Change, at: Moment) -> Roster:
    """Go on without joiners that acknowledged nothing for the time of a proposal.

    They are dropped while f stays as frozen; otherwise the change is void, and the next is made
    without them. Seats of this epoch are never dropped: their silence must not lower f.
    """
    if not change.proposals:
        return roster
    since_ms = max(change.time_ms, change.proposals[0].time_ms)
    if at.time_ms < since_ms + limits.PROPOSAL_INTERVAL_MS:
        return roster
    places = range(len(change.members))
    silent = [
        i for i in places if not change.acks[i] and roster.seated(change.members[i].node) is None
    ]
    if not silent:
        return roster
    left_out = tuple(change.members[i].node for i in silent)
    kept = [i for i in places if i not in silent]
    if not kept or faulty_of(len(kept)) != faulty_of(len(places)):
        return replace(roster, change=None, intents=(), left_out=left_out)
    proposals = tuple(
        replace(one, sealed=tuple(one.sealed[i] for i in kept)) for one in change.proposals
    )
    smaller = Change(
        at.round,
        at.time_ms,
        tuple(change.members[i] for i in kept),
        tuple(change.prekeys[i] for i in kept),
        proposals,
        tuple(change.acks[i] for i in kept),
    )
    return replace(roster, change=smaller, left_out=left_out)


def _successor(roster: Roster, change: Change) -> Roster:
    """The roster with which the next epoch begins."""
    before = {member.node: member.since_epoch for member in roster.members}
    epoch = roster.epoch + 1
    members = tuple(
        replace(member, since_epoch=before.get(member.node, epoch), replaces=b"")
        for member in change.members
    )
    taken = {member.node for member in members}
    gone = {*roster.leaving, *roster.expelled}
    observers = tuple(
        one for one in roster.observers if one.node not in taken and one.node not in gone
    )
    return Roster(
        epoch,
        members,
        observers,
        expelled=tuple(node for node in roster.expelled if node not in taken),
        left_out=roster.left_out,
        last_rounds=(0,) * len(members),
    )


def _set(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])
