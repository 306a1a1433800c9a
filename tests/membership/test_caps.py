"""Which of those who wait may join under a vendor cap: the rule, tried one by one."""

from hypothesis import given
from hypothesis import strategies as st

from ccp2p.membership.founding import check_vendors
from ccp2p.membership.roster import Member
from ccp2p.membership.succession import _with_joiners
from ccp2p.model.errors import PeerFault

VENDORS = st.lists(st.sampled_from("abcd"), max_size=14)


def members(vendors: list[str], first: int) -> list[Member]:
    keys = [bytes([first + place]) * 32 for place in range(len(vendors))]
    return [
        Member(key, key, key, vendor, "", (), (), 0)
        for key, vendor in zip(keys, vendors, strict=True)
    ]


def fits(chosen: list[Member], cap: str) -> bool:
    try:
        check_vendors([one.seat for one in chosen], cap, len(chosen))
    except PeerFault:
        return False
    return True


def by_the_rule(staying: list[Member], waiting: list[Member], cap: str, most: int) -> list[Member]:
    joining = list(waiting)
    room = max(0, most - len(staying))
    while joining and not (len(joining) <= room and fits(staying + joining, cap)):
        held = [one.vendor for one in staying + joining]
        vendor = max({one.vendor for one in joining}, key=lambda v: (held.count(v), v))
        joining.remove([one for one in joining if one.vendor == vendor][-1])
    return staying + joining


@given(VENDORS, VENDORS, st.sampled_from(["f", "no-fork"]), st.integers(0, 20))
def test_those_join_whom_dropping_one_after_the_other_leaves(
    staying: list[str], waiting: list[str], cap: str, most: int
) -> None:
    seats, others = members(staying, 0), members(waiting, 100)
    assert list(_with_joiners(seats, others, cap, most)) == by_the_rule(seats, others, cap, most)


def test_many_who_wait_are_judged_without_comparing_each_with_all() -> None:
    seats, few = members(list("aabbccd"), 0), members(["a"] * 100, 100)
    keys = (number.to_bytes(32, "big") for number in range(50_000))
    many = [Member(key, b"", b"", "a", "", (), (), 0) for key in keys]
    assert len(_with_joiners(seats, many, "f")) == len(_with_joiners(seats, few, "f"))
