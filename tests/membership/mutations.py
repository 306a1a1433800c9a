"""Wrong rules of membership, each known to be dangerous; random histories must catch them."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from ccp2p.membership import admission, records, rules, succession
from ccp2p.membership.events import CloseIntent, Prekey
from ccp2p.membership.roster import Change, Roster, faulty_of, quorum_of
from ccp2p.membership.rules import Closed, Moment
from ccp2p.model import limits
from ccp2p.model.committee import Committee

Mutation = tuple[object, str, Any]  # what to patch: owner, attribute, replacement


def apply(mutation: Callable[[], list[Mutation]], patcher: pytest.MonkeyPatch) -> None:
    """Put a wrong rule in place of the right one."""
    for owner, attribute, replacement in mutation():
        patcher.setattr(owner, attribute, replacement)


def quorum_of_the_old() -> list[Mutation]:
    """CLOSE counts a quorum of this epoch's committee instead of the next one's."""
    honest = rules.advance
    size = [0]

    def advance(roster: Roster, at: Moment, vendor_cap: str) -> tuple[Roster, Closed | None]:
        size[0] = len(roster.members)
        return honest(roster, at, vendor_cap)

    def closed(roster: Roster, change: Change) -> Closed | None:
        for number, proposal in enumerate(change.proposals):
            is_held = len(rules._holders(change, number)) >= quorum_of(size[0])
            if is_held and not rules._silent(roster, change, number):
                return Closed(change, proposal)
        return None

    return [(rules, "advance", advance), (rules, "_closed", closed)]


def acks_added_up() -> list[Mutation]:
    """Acknowledgements of different proposals count together."""

    def closed(roster: Roster, change: Change) -> Closed | None:
        acked = [place for place, acks in enumerate(change.acks) if acks]
        is_held = len(acked) >= quorum_of(len(change.members))
        if not is_held or not set(rules._joiners(roster, change)) <= set(acked):
            return None
        return Closed(change, change.proposals[0])

    return [(rules, "_closed", closed)]


def joiners_unheard() -> list[Mutation]:
    """A quorum's acknowledgements are enough, whoever of the joiners is there."""

    def closed(_roster: Roster, change: Change) -> Closed | None:
        for number, proposal in enumerate(change.proposals):
            if len(rules._holders(change, number)) >= quorum_of(len(change.members)):
                return Closed(change, proposal)
        return None

    return [(rules, "_closed", closed)]


def old_acks() -> list[Mutation]:
    """What was said for a void change counts for the next."""
    return [(rules, "_check_attempt", lambda _roster, _attempt: None)]


def anybodys_intents() -> list[Mutation]:
    """Nodes without a seat end the epoch too."""

    def intend(roster: Roster, node: bytes, _body: CloseIntent) -> Roster:
        if roster.change is not None or node in roster.intents:
            return roster
        return replace(roster, intents=(*roster.intents, node))

    return [(rules, "_intend", intend)]


def late_prekeys() -> list[Mutation]:
    """Prekeys count at any time."""

    def add_prekey(change: Change, place: int, body: Prekey, _at: Moment) -> Change:
        return replace(change, prekeys=rules._set(change.prekeys, place, body.key))

    return [(rules, "_add_prekey", add_prekey)]


def second_proposals() -> list[Mutation]:
    """A member proposes as often as it likes."""
    honest = rules.may_propose

    def may_propose(change: Change, _node: bytes, at: Moment) -> bool:
        made = {one.node for one in change.proposals}
        others = [one.node for one in change.members if one.node not in made]
        return bool(others) and honest(change, others[0], at)

    return [(rules, "may_propose", may_propose)]


def no_cap() -> list[Mutation]:
    """Additions ignore the vendor cap."""
    return [(succession, "vendors_fit", lambda _held, _cap: True)]


def no_cap_when_dropping() -> list[Mutation]:
    """Joiners are dropped though a vendor has too many of the seats that are left."""
    return [(rules, "vendors_fit", lambda _held, _cap: True)]


def evicting_freely() -> list[Mutation]:
    """Eviction for silence lowers f."""
    return [(succession, "faulty_of", lambda _size: 0)]


def dropping_freely() -> list[Mutation]:
    """Joiners that do not answer are dropped though f falls."""
    return [(rules, "faulty_of", lambda _size: 0)]


def forgetful() -> list[Mutation]:
    """Who was expelled after FREEZE is forgotten at CLOSE."""
    honest = rules._successor

    def successor(roster: Roster, change: Change, left_out: list[bytes]) -> Roster:
        after = honest(roster, change, left_out)
        seats = {one.node for one in after.members}
        expelled = tuple(node for node in after.expelled if node not in seats)
        return replace(after, expelled=expelled)

    return [(rules, "_successor", successor)]


def heirs_at_will() -> list[Mutation]:
    """A node takes over a seat without the old key's word."""
    return [(admission, "_check_replaced", lambda _roster, _heir, _consent, _means: None)]


def platforms_unchecked() -> list[Mutation]:
    """A chip gets as many seats as it has nodes."""

    def waiting(roster: Roster) -> list[Any]:
        return [one for one in roster.observers if one.platform_id and not one.replaces]

    return [(succession, "_waiting", waiting), (admission, "_check_platform", lambda *_: None)]


def short_records() -> list[Mutation]:
    """A record counts with one signature less than a quorum."""
    return [(records, "check_successor", _check_short)]


def _check_short(signed: Any, previous: Any, verify_batch: Any) -> Any:
    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(Committee, "quorum", property(lambda c: c.size - faulty_of(c.size) - 1))
        return _HONEST_CHECK(signed, previous, verify_batch)


_HONEST_CHECK = records.check_successor


def impatient_policies() -> list[Mutation]:
    """A policy comes in before seats could show that they satisfy it."""
    return [(rules, "_awaits_renewal", lambda _roster, _at: False)]


def policies_of_few() -> list[Mutation]:
    """A policy comes in that less than a quorum satisfies."""
    return [(rules, "can_follow", lambda _roster, _members: True)]


def staying_evicted() -> list[Mutation]:
    """Whom governors evict keeps its seat."""
    return [(Roster, "going", property(lambda roster: {*roster.leaving, *roster.expelled}))]


def stale_joiners() -> list[Mutation]:
    """Nodes get a seat whose evidence the next policy does not accept, and nobody goes for it."""
    return [(Roster, "is_stale", lambda _roster, _member: False)]


ALL = {
    mutation.__name__: mutation
    for mutation in (
        quorum_of_the_old,
        acks_added_up,
        joiners_unheard,
        old_acks,
        anybodys_intents,
        late_prekeys,
        second_proposals,
        no_cap,
        no_cap_when_dropping,
        evicting_freely,
        dropping_freely,
        forgetful,
        heirs_at_will,
        platforms_unchecked,
        short_records,
        impatient_policies,
        policies_of_few,
        staying_evicted,
        stale_joiners,
    )
}


def never_void() -> list[Mutation]:
    """A change that gets nowhere stays for ever."""
    return [
        (rules, "_in_the_way", lambda _roster, _change, _at: []),
        (limits, "CHANGE_PATIENCE_MS", 1 << 60),
    ]


def nobody_left_out() -> list[Mutation]:
    """Whoever cost a change is in the next one again."""
    return [(succession, "is_left_out", lambda _roster, _waiting: False)]


STUCK = {mutation.__name__: mutation for mutation in (never_void, nobody_left_out)}
