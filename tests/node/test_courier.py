"""Members may come to any node: one without a vote hands on what they want ordered."""

from itertools import pairwise
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.client.network import open_network
from ccp2p.client.session import RETRY_AFTER_S
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.envelope import Envelope
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Parameters
from ccp2p.node.core import NodeCore
from ccp2p.node.courier import Courier
from ccp2p.node.messages import HandedOn, Relay, decode_message
from ccp2p.node.quota import Allowance
from ccp2p.node.seat import Seat
from ccp2p.storage.memory_store import MemoryStore
from tests.node.stage import TIMEOUT_MS
from tests.node.test_desk import registry, some_log
from tests.node.test_executor import KEYS as PLACED
from tests.node.test_lifecycle import ann_in_lobby, texts
from tests.node.test_seat import COIN, COMMITTEE, KEYS
from tests.node.test_spreading import key, triangle

QUEUE_BYTES = 1 << 20
NEAR, STRANGER = PLACED[1].public, SigningKey(b"stranger" * 4).public


def envelope(number: int, epoch: int = 0, size: int = 300) -> bytes:
    return codec.encode(Envelope(epoch, number.to_bytes(16, "big"), bytes(size), b""))


class Driven:
    """A courier over a real seat and roster; what it sends goes to a list."""

    def __init__(
        self,
        me: int | None = 0,
        *,
        is_up: bool = True,
        a_second: int = 0,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        core = NodeCore(
            network=bytes(32),
            committee=COMMITTEE,
            me=me,
            parameters=Parameters(coin_length=256, min_round_delay_ms=0, max_round_delay_ms=0),
            coin=COIN,
            sign=KEYS[0].sign,
            recovered=None,
            just_founded=is_up,
        )
        self.seat = Seat(core, MemoryStore(), bytes(16))
        self.seat.advance([], 1_000_000)
        self.sent: list[tuple[int, Relay | HandedOn]] = []
        self.up = set(range(4))
        self.woken = 0
        self.courier = Courier(
            seat=self.seat,
            registry=registry(some_log()),
            allowance=Allowance(a_second, trio.current_time()),
            queue_bytes=queue_bytes,
            send=self.send,
            wake=self.wake,
        )

    def send(self, node: bytes, frame: bytes) -> bool:
        place = [one.public for one in KEYS].index(node)
        if place not in self.up:
            return False
        message = decode_message(frame)
        assert isinstance(message, Relay | HandedOn)
        self.sent.append((place, message))
        return True

    def wake(self) -> None:
        self.woken += 1

    @property
    def handed_on(self) -> list[tuple[int, int]]:
        """The place and the number of envelopes of each frame that was handed on."""
        return [
            (place, len(one.envelopes)) for place, one in self.sent if isinstance(one, HandedOn)
        ]


async def test_a_seat_keeps_what_members_bring_for_its_own_blocks():
    one = Driven()
    assert one.courier.submit([envelope(1), envelope(2)]) == 2
    assert (one.seat.queued, one.woken, one.sent) == (2, 1, [])


@pytest.mark.parametrize("me", [None, 0])
async def test_who_has_no_vote_hands_on_to_a_seat(me: int | None):
    one = Driven(me, is_up=False)
    assert one.courier.submit([envelope(1)]) == 1
    assert one.courier.submit([envelope(2), envelope(3)]) == 2
    assert one.seat.queued == 0
    ((place, first), (same, second)) = one.sent
    assert place == same != me
    assert first == HandedOn((envelope(1),))
    assert second == HandedOn((envelope(2), envelope(3)))


async def test_what_is_sent_again_goes_by_each_other_seat_in_turn(autojump_clock):
    one = Driven(None)
    one.up = {0, 1, 3}
    for _ in range(4):
        assert one.courier.submit([envelope(1)], is_repeated=True) == 1
        await trio.sleep(RETRY_AFTER_S)
    places = [place for place, _ in one.handed_on]
    assert set(places) == one.up
    assert all(before != after for before, after in pairwise(places))


async def test_many_who_send_again_turn_from_a_deaf_seat_once_together():
    one = Driven(None)
    assert one.courier.submit([envelope(1)]) == 1
    for number in range(1, 5):
        assert one.courier.submit([envelope(number)], is_repeated=True) == 1
    deaf, *others = [place for place, _ in one.handed_on]
    assert len(set(others)) == 1
    assert deaf not in others


async def test_nothing_is_taken_that_can_go_nowhere():
    alone, starting = Driven(None), Driven(0, is_up=False)
    alone.up = starting.up = set()
    assert alone.courier.submit([envelope(1)]) == 0
    assert starting.courier.submit([envelope(1)]) == 1, "it will have a block itself"
    assert (alone.seat.queued, starting.seat.queued) == (0, 1)


async def test_no_more_is_taken_than_a_seat_takes_of_one_node():
    one = Driven(None)
    many = [envelope(number, size=0) for number in range(limits.HANDED_ON_PER_S + 9)]
    assert one.courier.submit(many) == limits.HANDED_ON_PER_S
    assert one.courier.submit(many) == 0


async def test_large_envelopes_go_in_several_frames():
    one = Driven(None)
    many = [envelope(number, size=60_000) for number in range(9)]
    assert one.courier.submit(many) == 9
    assert [count for _, count in one.handed_on] == [4, 4, 1]
    assert [data for _, frame in one.sent for data in frame.envelopes] == many


@pytest.mark.parametrize("me", [None, 0])
async def test_an_operators_bound_holds_on_either_way(me: int | None, autojump_clock):
    one = Driven(me, a_second=3)
    assert one.courier.submit([envelope(number) for number in range(5)]) == 3
    assert one.courier.submit([envelope(5)]) == 0
    await trio.sleep(1)
    assert one.courier.submit([envelope(5)]) == 1


async def test_a_seat_takes_what_is_handed_on():
    one = Driven()
    one.courier.hear(NEAR, HandedOn((envelope(1), envelope(2))))
    assert (one.seat.queued, one.woken) == (2, 1)


async def test_what_strangers_hand_on_or_is_late_or_meets_no_seat_is_dropped():
    one, observer = Driven(), Driven(None)
    one.courier.hear(STRANGER, HandedOn((envelope(1),)))
    one.courier.hear(NEAR, HandedOn((envelope(1, epoch=7),)))
    observer.courier.hear(NEAR, HandedOn((envelope(1),)))
    assert (one.seat.queued, observer.seat.queued, observer.sent) == (0, 0, [])


@pytest.mark.parametrize(
    "bad", [b"", b"garbage", envelope(1)[:-1], bytes(limits.MAX_ENVELOPE_BYTES + 1)]
)
async def test_who_hands_on_garbage_is_at_fault(bad: bytes):
    one = Driven()
    with pytest.raises(PeerFault):
        one.courier.hear(NEAR, HandedOn((envelope(1), bad)))
    assert one.seat.queued == 0


async def test_one_node_hands_on_so_much_a_second(autojump_clock):
    one = Driven()
    many = HandedOn(tuple(envelope(number, size=0) for number in range(limits.HANDED_ON_PER_S + 9)))
    one.courier.hear(NEAR, many)
    one.courier.hear(NEAR, HandedOn((envelope(1),)))
    assert one.seat.queued == limits.HANDED_ON_PER_S
    one.courier.hear(PLACED[2].public, HandedOn((envelope(1),)))
    assert one.seat.queued == limits.HANDED_ON_PER_S + 1
    await trio.sleep(0.5)
    one.courier.hear(NEAR, many)
    assert one.seat.queued == 1.5 * limits.HANDED_ON_PER_S + 1


async def test_half_of_a_queue_is_for_a_seats_own_members(autojump_clock):
    by_count, by_size = Driven(), Driven(queue_bytes=20_000)
    small = HandedOn(tuple(envelope(number, size=0) for number in range(limits.HANDED_ON_PER_S)))
    for _ in range(20):
        by_count.courier.hear(NEAR, small)
        by_size.courier.hear(NEAR, HandedOn((envelope(1, size=6_000),)))
        await trio.sleep(1)
    assert by_count.seat.queued == limits.ENVELOPE_QUEUE // 2
    assert by_size.seat.queued == 2, "the second filled it to more than half"
    assert by_count.courier.submit([envelope(1)]) == by_size.courier.submit([envelope(1)]) == 1


async def test_membership_events_go_by_each_seat_in_turn():
    one, voter = Driven(None), Driven()
    for _ in range(4):
        one.courier.submit_membership([b"event"])
    assert sorted(place for place, _ in one.sent) == [0, 1, 2, 3]
    voter.courier.submit_membership([b"event"])
    assert (voter.sent, voter.woken) == ([], 1)


async def test_a_member_of_a_node_without_a_seat_is_heard(tmp_path: Path) -> None:
    async with triangle(tmp_path) as stage:
        _, near, _ = stage.hosts
        own = replace(stage.ticket(), addresses=near.node.listener.announced)
        async with open_network(own, allow_simulated=True) as client:
            assert client.verified.node == key(near)
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "from afar", TIMEOUT_MS)
            assert await texts(ann) == ["from afar"]
