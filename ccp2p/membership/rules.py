"""How ordered membership events change the roster: admission, FREEZE, REKEY and CLOSE.

Pure: every node applies the same events of the same commits to the same roster. What needs a
verifier, an invite or a signature check is asked through `Means`; the answers must depend on the
arguments alone. An event that may not count raises PeerFault, whose code and words go to whoever
it speaks for; the roster is then as before. Design sections 7 and 8.

Any seat may order an old event of the epoch again, so each rule changes nothing the second time.
No single member or joiner can keep a change from ending: a member makes one proposal a change, so
that garbage leaves room for others; joiners that stand in the way are left out; and a change that
gets nowhere is void, after which others may be tried.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from ccp2p.membership import beacon
from ccp2p.membership.admission import join, renew
from ccp2p.membership.events import (
    Accusation,
    Acknowledgement,
    Candidacy,
    CloseIntent,
    Contribution,
    Holding,
    JoinRequest,
    LeaveRequest,
    MembershipEvent,
    Opening,
    Prekey,
    Rekey,
    Renewal,
)
from ccp2p.membership.founding import vendors_fit
from ccp2p.membership.means import Means, Moment
from ccp2p.membership.roster import (
    Amended,
    Change,
    Drawing,
    Member,
    Proposal,
    Roster,
    faulty_of,
    quorum_of,
)
from ccp2p.membership.sampling import Sampling, registering
from ccp2p.membership.succession import can_follow, must_draw, next_members
from ccp2p.model import block as blocks
from ccp2p.model import codec, hashing, limits
from ccp2p.model.block import BlockHeader
from ccp2p.model.errors import PeerFault

T = TypeVar("T")


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
        return join(roster, event.node, body, at, means)
    if isinstance(body, Renewal):
        return renew(roster, event.node, body, at, means)
    if isinstance(body, LeaveRequest):
        return _leave(roster, event.node)
    if isinstance(body, CloseIntent):
        return _intend(roster, event.node, body)
    if isinstance(body, Accusation):
        return _accuse(roster, body, means)
    if isinstance(body, Candidacy):
        return _stand(roster, event.node, means)
    if isinstance(body, Contribution):
        return beacon.contribute(roster, event.node, body)
    if isinstance(body, Holding):
        return beacon.hold(roster, event.node, body)
    if isinstance(body, Opening):
        return beacon.reveal(roster, event.node, body, means.record)
    return _change(roster, event.node, body, at, means)


def advance(
    roster: Roster, at: Moment, vendor_cap: str, sampling: Sampling | None = None
) -> tuple[Roster, Closed | None]:
    """What the end of a commit brings: FREEZE, CLOSE, or the end of a change that gets nowhere.

    At CLOSE the returned roster is the next epoch's. A mesh with more nodes than seats (`sampling`)
    first ends the registration and makes its beacon.
    """
    change = roster.change
    if change is None:
        if len(roster.intents) < quorum_of(len(roster.members)) or _awaits_renewal(roster, at):
            return roster, None
        if must_draw(roster, sampling) and not roster.beacon:
            drawing = roster.drawing or Drawing(registering(roster))
            return replace(roster, drawing=drawing), None
        return _freeze(roster, at, vendor_cap, sampling), None
    closed = _closed(roster, change)
    if closed is not None:
        return _successor(roster, closed.change, ()), closed
    silent = _in_the_way(roster, change, at)
    if silent:
        return _go_on_without(roster, change, silent, at, vendor_cap)
    if at.time_ms >= _begun_ms(change) + limits.CHANGE_PATIENCE_MS:
        return _void(roster, change, _behind(roster, change), at), None
    return roster, None


def adopt(roster: Roster, amended: Amended | None) -> Roster:
    """Take note of what the governors adopted, once an epoch.

    A change that was frozen without it is void, so that nothing adopted is lost by a race.
    """
    if amended is None or roster.adopted is not None:
        return roster
    attempt = roster.attempt + (roster.change is not None)
    return replace(roster, adopted=amended, change=None, attempt=attempt)


def checkpoint(roster: Roster, at: Moment, chain: bytes, rounds: tuple[int, ...]) -> Roster:
    """Remember a checkpoint commit as an anchor, and how far each seat's ordered blocks reach."""
    anchors = (*roster.anchors, (at.commit, chain))[-limits.ANCHORS_KEPT :]
    return replace(roster, anchors=anchors, last_rounds=rounds)


def wants_close(roster: Roster, vendor_cap: str, sampling: Sampling | None = None) -> bool:
    """Whether ending the epoch now would change who votes, or what governors agreed on."""
    if roster.change is not None:
        return False
    is_amended = roster.amended is not None
    return is_amended or next_members(roster, vendor_cap, sampling) != roster.members


def is_due(roster: Roster, vendor_cap: str, sampling: Sampling | None, elapsed_ms: int) -> bool:
    """Whether a seat should ask for the end of the epoch, after so much ledger time of it.

    Where a committee is drawn, candidates get a while to register before anything else, and a third
    of the seats is due to change when the interval of rotation is over.
    """
    if sampling is None or not must_draw(roster, sampling):
        return wants_close(roster, vendor_cap, sampling)
    if elapsed_ms >= sampling.interval_ms and registering(roster):
        return True
    has_begun = roster.drawing is not None or elapsed_ms >= limits.REGISTRATION_MS
    return has_begun and wants_close(roster, vendor_cap, sampling)


def awaits_prekeys(change: Change, round_: int) -> bool:
    """Whether proposals still wait for prekeys at this leader round, as not all are here."""
    return not all(change.prekeys) and round_ <= change.round + limits.PREKEY_ROUNDS


def may_propose(change: Change, node: bytes, at: Moment) -> bool:
    """Whether a proposal of `node` may be ordered now: one a member, one at once, one a minute."""
    if awaits_prekeys(change, at.round) or len(change.proposals) >= limits.MAX_PROPOSALS:
        return False
    if change.index_of(node) is None or any(one.node == node for one in change.proposals):
        return False
    if not change.proposals:
        return True
    return at.time_ms >= change.proposals[-1].time_ms + limits.PROPOSAL_INTERVAL_MS


def _leave(roster: Roster, node: bytes) -> Roster:
    """Who leaves stays until the epoch ends, so that an old JoinRequest does not bring it back."""
    seated = roster.seated(node) is not None
    if not seated and roster.following(node) is None:
        raise PeerFault("no-seat", "who leaves must be in the network")
    if node in roster.leaving:
        return roster
    leaving = (*roster.leaving, node)
    gone = {*leaving, *roster.expelled}
    if seated and all(member.node in gone for member in roster.members):
        raise PeerFault("last", "the last node cannot leave its network")
    return replace(roster, leaving=leaving)


def _stand(roster: Roster, node: bytes, means: Means) -> Roster:
    """Who is here registers for the draw, until that begins; again in each epoch."""
    own = roster.following(node)
    if means.sampling is None or own is None or not own.platform_id:
        raise PeerFault("no-candidate", "a mesh draws its observers with a hardware id only")
    if roster.drawing is not None:
        raise PeerFault("no-candidate", "the draw has begun: register in the next epoch")
    if node in roster.candidates:
        return roster
    followers = {one.node for one in roster.observers}
    here = tuple(one for one in roster.candidates if one in followers)
    return replace(roster, candidates=(*here, node))


def _intend(roster: Roster, node: bytes, body: CloseIntent) -> Roster:
    if roster.seated(node) is None:
        raise PeerFault("no-seat", "only a seat may ask for the end of its epoch")
    _check_attempt(roster, body.attempt)
    if roster.change is not None or node in roster.intents:
        return roster
    return replace(roster, intents=(*roster.intents, node))


def _check_attempt(roster: Roster, attempt: int) -> None:
    if attempt != roster.attempt:
        raise PeerFault("attempt", f"this is for change {attempt}, and {roster.attempt} is due")


def _accuse(roster: Roster, body: Accusation, means: Means) -> Roster:
    """Two blocks of one slot, both signed by its author, expel the author."""
    committee = roster.committee
    first, second = (
        codec.decode_canonical(data, BlockHeader, limits.MAX_HEADER_BYTES)
        for data, _ in (body.first, body.second)
    )
    here = (means.network, roster.epoch)
    if any((header.network, header.epoch) != here for header in (first, second)):
        raise PeerFault("accusation", "the blocks are of another epoch")
    if (first.round, first.author) != (second.round, second.author) or first == second:
        raise PeerFault("accusation", "these are not two blocks of one slot")
    if not 0 <= first.author < committee.size:
        raise PeerFault("accusation", "no such seat")
    node = committee.seats[first.author].node
    if node in roster.expelled or committee.size == 1:
        return roster
    for data, signature in (body.first, body.second):
        digest = hashing.digest(hashing.BLOCK, data)
        if not means.verify(node, signature, blocks.signed_bytes(digest)):
            raise PeerFault("accusation", "the accused did not sign both blocks")
    return replace(roster, expelled=(*roster.expelled, node)[-limits.MAX_EXPELLED :])


def _change(
    roster: Roster, node: bytes, body: Prekey | Rekey | Acknowledgement, at: Moment, means: Means
) -> Roster:
    change = roster.change
    place = change.index_of(node) if change else None
    if change is None or place is None:
        raise PeerFault("no-change", "no change of the committee asks for this")
    _check_attempt(roster, body.attempt)
    if isinstance(body, Prekey):
        changed = _add_prekey(change, place, body)
    elif isinstance(body, Rekey):
        changed = _add_proposal(change, node, body, at, means)
    else:
        changed = _add_ack(change, place, body)
    return replace(roster, change=changed)


def _add_prekey(change: Change, place: int, body: Prekey) -> Change:
    """A late one counts, too: it shows its node that the epoch ended after that node started."""
    if change.prekeys[place]:
        raise PeerFault("prekey", "this member gave a prekey already")
    return replace(change, prekeys=_set(change.prekeys, place, body.key))


def _add_proposal(change: Change, node: bytes, body: Rekey, at: Moment, means: Means) -> Change:
    if not may_propose(change, node, at):
        raise PeerFault("rekey", "a proposal stands, or prekeys are still awaited")
    if [bool(sealed) for sealed in body.sealed] != [bool(key) for key in change.prekeys]:
        raise PeerFault("rekey", "the secrets are not sealed to exactly the prekeys")
    if body.coin_anchor == means.coin_anchor or body.epoch_key == means.epoch_key:
        raise PeerFault("rekey", "the secrets of this epoch cannot be those of the next")
    proposal = Proposal(
        node, body.coin_anchor, body.epoch_key, body.sealed, at.time_ms, body.shares
    )
    return replace(change, proposals=(*change.proposals, proposal))


def _add_ack(change: Change, place: int, body: Acknowledgement) -> Change:
    if not 0 <= body.number < len(change.proposals):
        raise PeerFault("ack", "no such proposal")
    if change.has_acked(place, body.number):
        return change
    return replace(change, acks=_set(change.acks, place, (*change.acks[place], body.number)))


def _awaits_renewal(roster: Roster, at: Moment) -> bool:
    """Whether an adopted policy waits for seats that stay to show that they satisfy it."""
    amended = roster.amended
    if amended is None or not amended.policy:
        return False
    if at.time_ms >= amended.time_ms + limits.RENEWAL_PATIENCE_MS:
        return False
    gone = roster.going
    return any(one.node not in gone and roster.is_stale(one) for one in roster.members)


def _freeze(roster: Roster, at: Moment, vendor_cap: str, sampling: Sampling | None) -> Roster:
    """Fix the next committee. An amendment that too few could follow lapses instead."""
    members = next_members(roster, vendor_cap, sampling)
    if roster.adopted is not None and not can_follow(roster, members):
        roster = replace(roster, adopted=replace(roster.adopted, has_lapsed=True))
        members = next_members(roster, vendor_cap, sampling)
    count = len(members)
    amendment = roster.amended.digest if roster.amended else b""
    change = Change(at.round, at.time_ms, members, (b"",) * count, (), ((),) * count, amendment)
    return replace(roster, intents=(), change=change)


def _holders(change: Change, number: int) -> list[int]:
    """The places of the members that acknowledged a proposal."""
    return [place for place in range(len(change.members)) if change.has_acked(place, number)]


def _closed(roster: Roster, change: Change) -> Closed | None:
    """The first proposal that Q of the next committee acknowledged, and every joiner.

    A joiner with a seat that is not there would be one of the f that may fail, and could not start
    to vote once another failed.
    """
    for number, proposal in enumerate(change.proposals):
        is_held = len(_holders(change, number)) >= quorum_of(len(change.members))
        if is_held and not _silent(roster, change, number):
            return Closed(change, proposal)
    return None


def _joiners(roster: Roster, change: Change) -> list[int]:
    """The places of frozen members without a seat in this epoch."""
    return [i for i, one in enumerate(change.members) if roster.seated(one.node) is None]


def _silent(roster: Roster, change: Change, number: int) -> list[int]:
    """The places of joiners that did not acknowledge a proposal."""
    return [one for one in _joiners(roster, change) if not change.has_acked(one, number)]


def _in_the_way(roster: Roster, change: Change, at: Moment) -> list[int]:
    """Joiners without whom a proposal that all had a minute to acknowledge would close the epoch.

    Seats of this epoch are never in the way: their silence must not lower f.
    """
    for number, proposal in enumerate(change.proposals):
        if at.time_ms < proposal.time_ms + limits.PROPOSAL_INTERVAL_MS:
            break
        silent = _silent(roster, change, number)
        if len(_holders(change, number)) >= quorum_of(len(change.members) - len(silent)):
            return silent
    return []


def _go_on_without(
    roster: Roster, change: Change, silent: list[int], at: Moment, vendor_cap: str
) -> tuple[Roster, Closed | None]:
    """CLOSE with those who answered, where f stays as frozen; otherwise the change is void.

    It is void too when a vendor would then have too many seats; when nobody's vote would change;
    and when an heir is silent: its predecessor, no longer among the frozen, would lose the seat.
    """
    if roster.amended is not None:
        vendor_cap = roster.amended.vendor_cap
    kept = [place for place in range(len(change.members)) if place not in silent]
    members = tuple(change.members[place] for place in kept)
    is_sound = (
        faulty_of(len(kept)) == faulty_of(len(change.members))
        and vendors_fit(Counter(one.vendor for one in members), vendor_cap)
        and [one.node for one in members] != [one.node for one in roster.members]
        and not any(change.members[place].replaces for place in silent)
    )
    smaller = Change(
        change.round,
        change.time_ms,
        members,
        tuple(change.prekeys[place] for place in kept),
        tuple(
            replace(one, sealed=tuple(one.sealed[place] for place in kept))
            for one in change.proposals
        ),
        tuple(change.acks[place] for place in kept),
        change.amendment,
    )
    closed = _closed(roster, smaller) if is_sound else None
    if closed is None:
        return _void(roster, change, silent, at), None
    return _successor(roster, closed.change, _platforms(change, silent)), closed


def _begun_ms(change: Change) -> int:
    """The ledger time of the newest proposal, or of FREEZE."""
    return change.proposals[-1].time_ms if change.proposals else change.time_ms


def _behind(roster: Roster, change: Change) -> list[int]:
    """Joiners that do not hold the proposal that most seats hold."""
    joiners = _joiners(roster, change)
    if not change.proposals:
        return [place for place in joiners if not change.prekeys[place]]
    held = [
        [place for place in _holders(change, number) if place not in joiners]
        for number in range(len(change.proposals))
    ]
    best = max(range(len(held)), key=lambda number: len(held[number]))
    return _silent(roster, change, best)


def _void(roster: Roster, change: Change, silent: list[int], at: Moment) -> Roster:
    """The epoch goes on as if nothing had been frozen; the silent are left out of what follows."""
    cases = tuple((platform, at.commit) for platform in _platforms(change, silent))
    return replace(
        roster,
        change=None,
        attempt=roster.attempt + 1,
        left_out=(*roster.left_out, *cases)[-limits.MAX_LEFT_OUT :],
    )


def _platforms(change: Change, places: list[int]) -> list[bytes]:
    return [change.members[place].platform_id for place in places]


def _successor(roster: Roster, change: Change, left_out: Sequence[bytes]) -> Roster:
    """The roster with which the next epoch begins.

    Who asked to leave, or was expelled, after FREEZE still has a seat, and loses it next time.
    Observers that do not satisfy the policy follow no longer; seats that the draw took do.
    """
    policy = roster.coming_policy
    before = {member.node: member.since_epoch for member in roster.members}
    epoch = roster.epoch + 1
    members = tuple(
        replace(
            member,
            since_epoch=before.get(member.node, epoch),
            replaces=b"",
            consented=False,
            anchor=-1,
            policies=_only(policy, member.policies),
            renewed=-1,
        )
        for member in change.members
    )
    taken = {member.node for member in members}
    gone = taken | roster.going
    observers = tuple(
        replace(
            one,
            replaces=one.replaces if one.replaces in taken else b"",
            anchor=-1,
            policies=_only(policy, one.policies),
            renewed=-1,
        )
        for one in (*roster.observers, *_retired(roster, members))
        if one.node not in gone and one.replaces not in roster.expelled and not roster.is_stale(one)
    )
    return Roster(
        epoch,
        members,
        observers,
        leaving=tuple(node for node in roster.leaving if node in taken),
        expelled=roster.expelled,
        left_out=tuple((platform, -1) for platform in left_out),
        last_rounds=(0,) * len(members),
        policy=policy,
    )


def _retired(roster: Roster, members: Sequence[Member]) -> tuple[Member, ...]:
    """Seats that the draw took: they follow from now on, unless they are silent or replaced."""
    if not roster.beacon:
        return ()
    platforms = {one.platform_id for one in (*members, *roster.observers)}
    return tuple(
        replace(one, since_epoch=roster.epoch + 1)
        for one in roster.members
        if one.platform_id not in platforms and not roster.is_silent(one.node)
    )


def _only(policy: bytes, policies: Sequence[bytes]) -> tuple[bytes, ...]:
    return (policy,) if policy in policies else ()


def _set(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])
