"""How a node is admitted: as an observer first, which waits for a seat; and shows itself again.

A request may be ordered again, or long after it was made: it counts only when its evidence is bound
to a recent checkpoint, newer than what its node and its platform asked for before.
"""

from msgspec.structs import replace

from ccp2p.membership.events import JoinRequest, Renewal, consent_bytes
from ccp2p.membership.means import Means, Moment
from ccp2p.membership.roster import Member, Roster
from ccp2p.model import limits
from ccp2p.model.errors import PeerFault


def join(roster: Roster, node: bytes, body: JoinRequest, at: Moment, means: Means) -> Roster:
    """The roster after a JoinRequest: cheap checks, then judging, and the invite at the very last.

    An invite counts each time, so nothing may be refused after it.
    """
    _check_barred(roster, node)
    anchor = _anchor_commit(roster, body.anchor, means)
    earlier = roster.following(node)
    if earlier is not None and anchor <= earlier.anchor:
        if _is_same_request(earlier, body):
            return roster
        raise PeerFault("stale", "a newer request of this node counts: bind it to a new checkpoint")
    judged = means.judge(node, body.sealing, body.anchor, body.evidence, at.time_ms // 1000)
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
        bool(body.consent),
        anchor,
        judged.policies,
    )
    _check_platform(roster, member)
    if body.replaces:
        _check_replaced(roster, member, body.consent, means)
    changed = _with_observer(roster, member)
    if earlier is None and not (body.replaces and body.consent):
        means.admit(body.invite, at.time_ms)
    return changed


def renew(roster: Roster, node: bytes, body: Renewal, at: Moment, means: Means) -> Roster:
    """The roster after a member's fresh evidence, which shows what policies it satisfies now.

    Bound to the same checkpoint as what is known, it only adds: an older one may be ordered again.
    """
    member = roster.seated(node) or roster.following(node)
    if member is None:
        raise PeerFault("no-seat", "only who is in the network renews evidence")
    anchor, newest = _anchor_commit(roster, body.anchor, means), max(member.anchor, member.renewed)
    if anchor < newest or (anchor == newest and not roster.is_stale(member)):
        return roster
    judged = means.judge(node, member.sealing, body.anchor, body.evidence, at.time_ms // 1000)
    if (judged.platform_id, judged.vendor) != (member.platform_id, member.vendor):
        raise PeerFault("platform", "the evidence is of another platform than the node's place")
    known = member.policies if anchor == newest else ()
    policies = tuple(dict.fromkeys((*known, *judged.policies)))
    fresh = replace(member, tee=judged.tee, policies=policies, renewed=anchor)
    return replace(
        roster,
        members=tuple(fresh if one is member else one for one in roster.members),
        observers=tuple(fresh if one is member else one for one in roster.observers),
    )


def _check_barred(roster: Roster, node: bytes) -> None:
    if roster.seated(node) is not None:
        raise PeerFault("has-seat", "this node has a seat already")
    if node in roster.expelled:
        raise PeerFault("expelled", "this node was expelled for signing two blocks of one round")
    if node in roster.leaving:
        raise PeerFault("left", "this node left: it may join again in the next epoch")


def _anchor_commit(roster: Roster, anchor: bytes, means: Means) -> int:
    """The commit that evidence is bound to. The record ages as the checkpoints after it do."""
    recent = ((0, means.record), *roster.anchors)[-limits.ANCHORS_KEPT :]
    for commit, digest in recent:
        if digest == anchor:
            return commit
    raise PeerFault("stale", "the evidence is bound to no recent checkpoint: make it anew")


def _is_same_request(earlier: Member, body: JoinRequest) -> bool:
    return (earlier.sealing, earlier.replaces, earlier.addresses, earlier.client_addresses) == (
        body.sealing,
        body.replaces,
        body.addresses,
        body.client_addresses,
    )


def _check_platform(roster: Roster, member: Member) -> None:
    """One platform, one vote: among the seats of this epoch and of the next."""
    coming = roster.change.members if roster.change else ()
    for other in (*roster.members, *coming):
        if other.node in (member.node, member.replaces) or not member.platform_id:
            continue  # without a hardware id it may follow, and gets no seat
        if other.platform_id == member.platform_id:
            raise PeerFault(
                "platform",
                "a node on this platform has a seat or is about to get it, and a platform has one "
                "vote",
            )


def _check_replaced(roster: Roster, heir: Member, consent: bytes, means: Means) -> None:
    """An heir needs the same platform, and the old key's word or silence, or the governors'."""
    old = roster.seated(heir.replaces)
    if old is None:
        raise PeerFault("replaces", "the node to be replaced has no seat")
    if old.node in roster.expelled:
        raise PeerFault("replaces", "the node to be replaced was expelled")
    if (heir.platform_id, heir.vendor) != (old.platform_id, old.vendor) or not heir.platform_id:
        raise PeerFault("replaces", "a seat passes on only within its platform")
    if not consent:
        if not roster.is_silent(old.node) and old.node not in roster.evicted:
            raise PeerFault("replaces", "the node to be replaced is alive and did not consent")
    elif not means.verify(
        old.node, consent, consent_bytes(means.network, old.since_epoch, heir.node)
    ):
        raise PeerFault("replaces", "the consent is not signed by the key that holds the seat")


def _with_observer(roster: Roster, member: Member) -> Roster:
    """The roster with this observer, which takes the place of an earlier one of its platform.

    Who lost its key starts again on the same chip: an observer has no vote to be kept. A request
    older than the other's does not count. In a full network those without a hardware id make room.
    """
    if roster.following(member.node) is not None:
        observers = [member if one.node == member.node else one for one in roster.observers]
    else:
        observers = [*roster.observers, member]
    rival = next((one for one in observers if _is_rival(one, member)), None)
    if rival is not None and rival.anchor >= member.anchor:
        raise PeerFault("stale", "a newer request from this platform counts: make it anew")
    if rival is None and len(observers) > limits.MAX_OBSERVERS:
        rival = next((one for one in roster.observers if not one.platform_id), None)
        if rival is None or not member.platform_id:
            raise PeerFault("full", "the network has as many observers as it may")
    if rival is None:
        return replace(roster, observers=tuple(observers))
    return replace(
        roster,
        observers=tuple(one for one in observers if one is not rival),
        leaving=tuple(node for node in roster.leaving if node != rival.node),
    )


def _is_rival(one: Member, member: Member) -> bool:
    return (
        bool(member.platform_id)
        and one.platform_id == member.platform_id
        and one.node != member.node
    )
