"""Who enters a network among liars: it comes in by whoever is honest, or says why it cannot."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
from msgspec.structs import replace

from ccp2p.membership.events import JoinRequest
from ccp2p.model.errors import LocalFault
from ccp2p.node.catch_up import Entered
from ccp2p.node.joining import Entrance, enter
from ccp2p.node.messages import FollowReply, PeerMessage, SecretRequest
from tests.node.lies import IMAGE_LIES, RECORD_LIES, SECRET_LIES, lie_of
from tests.node.recorded import Lie, Recorded, image, link_of

LIES = {
    f"{what}: {name}": lie
    for what, lies in (("state", IMAGE_LIES), ("secret", SECRET_LIES), ("records", RECORD_LIES))
    for name, lie in lies.items()
}


def nothing_to_ask_for(_anchor: bytes) -> JoinRequest:
    pytest.fail("it has a seat")


def asking(anchor: bytes) -> JoinRequest:
    return JoinRequest(bytes(32), anchor, b"evidence", b"", (), ())


async def entered(
    recorded: Recorded,
    lie: Lie,
    peers: Sequence[bytes],
    request: Callable[[bytes], JoinRequest] = nothing_to_ask_for,
    report: Callable[[str], None] = lambda _: None,
) -> Entered:
    """What comes of entering by these peers, all of whom tell this lie."""
    setup = recorded.setup
    entrance = Entrance(
        genesis=setup.genesis,
        genesis_bytes=setup.genesis_bytes,
        network=setup.network,
        identity=setup.identity,
        known=(),
        pinned=b"",
        request=request,
        connect=lambda node, addresses: None,
        settle=lambda _: trio.sleep(0),
        connected=lambda: list(peers),
        witnesses=among(peers),
        blame=lambda node, fault: None,
        report=report,
    )
    return await enter(entrance, recorded.letters(lie))


def among(seats: Sequence[bytes]) -> Callable[[bytes], Awaitable[list[bytes]]]:
    """The others of these, whom a newcomer asks as well."""

    async def witnesses(peer: bytes) -> list[bytes]:
        return [seat for seat in seats if seat != peer]

    return witnesses


async def assert_true(recorded: Recorded, found: Entered) -> None:
    """What was entered is the network's present."""
    assert found.image == await image(recorded)
    assert found.record.records == recorded.follow.records
    assert found.record.secret == found.secrets.secret == recorded.secret.secret


@pytest.mark.parametrize("name", LIES)
async def test_after_a_liar_the_next_peer_is_asked(
    recorded: Recorded, name: str, autojump_clock: object
):
    lie = lie_of(recorded, *LIES[name])

    def told(peer: bytes, asked: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        return lie(peer, asked, answer) if peer == recorded.seats[0] else answer

    await assert_true(recorded, await entered(recorded, told, recorded.seats[:2]))


async def test_who_is_surrounded_but_for_one_is_not_led_into_the_past(
    recorded: Recorded, autojump_clock: object
):
    """All but the last show the chain as it was an epoch ago, and one says nothing at all."""
    *liars, honest = recorded.seats[:3]
    secrets_of: list[bytes] = []

    def told(peer: bytes, asked: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        if isinstance(asked, SecretRequest):
            secrets_of.append(asked.epoch_key)
        if peer == honest or not isinstance(answer, FollowReply):
            return answer
        return replace(answer, records=answer.records[:1]) if peer == liars[0] else None

    found = await entered(recorded, told, recorded.seats[:3])
    assert found.record.records == recorded.follow.records
    assert set(secrets_of) == {link_of(recorded).record.epoch_key}, "never of the past epoch"


async def test_among_liars_only_it_ends_with_the_reason(recorded: Recorded, autojump_clock: object):
    everybody = lie_of(recorded, *IMAGE_LIES["a bit of a part"])
    with pytest.raises(LocalFault, match=r"does not match the state root|is malformed"):
        await entered(recorded, everybody, recorded.seats)


def refused(answer: FollowReply) -> FollowReply:
    return replace(answer, place="none", reason="made up: " + "!" * 9_999)


def refusing(seats: Sequence[bytes]) -> Lie:
    """These say that the network refused who asks."""

    def told(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage:
        return refused(answer) if peer in seats and isinstance(answer, FollowReply) else answer

    return told


@pytest.mark.parametrize("liars", range(4))
async def test_more_seats_than_may_lie_must_say_that_the_network_refused(
    recorded: Recorded, liars: int, autojump_clock: object
):
    """One of four may lie: two are believed."""
    lie = refusing(recorded.seats[:liars])
    if liars < 2:
        await assert_true(recorded, await entered(recorded, lie, recorded.seats[:3], asking))
        return
    with pytest.raises(LocalFault, match="the network refused this node: made up") as found:
        await entered(recorded, lie, recorded.seats[:3], asking)
    assert found.value.code == "refused"
    assert len(str(found.value)) < 1_000


async def test_why_there_is_no_seat_is_said_within_bounds(
    recorded: Recorded, autojump_clock: object
):
    asked, said = Counter[bytes](), list[str]()

    def told(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage:
        if not isinstance(answer, FollowReply):
            return answer
        asked[peer] += 1
        reason = "vendor-cap: " + "!" * 9_999
        return replace(answer, place="none") if asked[peer] < 3 else replace(answer, reason=reason)

    await assert_true(
        recorded, await entered(recorded, told, recorded.seats[:1], asking, said.append)
    )
    (words,) = [text for text in said if text.startswith("admitted")]
    assert words.startswith("admitted as an observer; no seat for now: vendor-cap: !!")
    assert len(words) < 1_000


async def test_who_shows_a_smaller_committee_of_the_past_is_not_believed_alone(
    recorded: Recorded, autojump_clock: object
):
    """Of the three founders none may lie. First it shows the present, to be asked again."""
    liar, asked = recorded.seats[0], Counter[bytes]()

    def told(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage:
        if peer != liar or not isinstance(answer, FollowReply):
            return answer
        asked[peer] += 1
        return refused(answer if asked[peer] == 1 else replace(answer, records=answer.records[:1]))

    await assert_true(recorded, await entered(recorded, told, recorded.seats[:3], asking))
    assert asked[liar] > 2


async def test_the_word_of_one_seat_where_no_other_is_there_is_told_as_such(
    recorded: Recorded, autojump_clock: object
):
    lie = refusing(recorded.seats[:1])
    with pytest.raises(LocalFault, match="too few seats say") as found:
        await entered(recorded, lie, recorded.seats[:1], asking)
    assert found.value.code == "catch-up"
