"""Nodes find each other, stay connected, and move frames whatever the other side does."""

import ipaddress
import os
import random
from itertools import pairwise

import pytest
import trio

from ccp2p.model import limits
from ccp2p.model.errors import LocalFault, PeerFault, Unreachable
from ccp2p.network import Connected, Disconnected, FrameReceived, PeerNetwork
from ccp2p.network.addresses import format_address, parse_address, peer_id_of_node

from .stage import (
    CLOSED,
    NETWORK_ID,
    ToyAttestor,
    connected_pair,
    eventually,
    frame_of,
    network,
    next_of,
    reason_of,
    relay,
    start,
)


async def test_frames_of_all_sizes_arrive_in_order_both_ways(nursery):
    one, two = await connected_pair(nursery)
    frames = [bytes([size % 251]) * size for size in (1, 100, 65_536, 70_000, 1_000_000, 4_194_304)]
    for frame in frames:
        assert one.send(two.node, frame)
        assert two.send(one.node, frame)
    assert [await frame_of(two) for _ in frames] == frames
    assert [await frame_of(one) for _ in frames] == frames


async def test_many_small_frames_arrive_in_order(nursery):
    one, two = await connected_pair(nursery)
    numbers = [number.to_bytes(4, "big") for number in range(1000)]
    assert all(one.send(two.node, frame) for frame in numbers)
    received = []
    while len(received) < len(numbers):
        received += [event.frame for event in await two.events.receive_many()]
    assert received == numbers


async def test_the_verdict_comes_with_the_connection(nursery):
    one, two = await start(nursery, 2)
    assert await one.dial(two.addresses[0]) == two.node
    event = await next_of(one, Connected)
    assert event == Connected(two.node, f"verdict on {two.node.hex()[:8]}")
    assert (await next_of(two, Connected)).node == one.node


async def test_dialing_a_connected_node_again_keeps_the_connection(nursery):
    one, two = await connected_pair(nursery)
    assert await one.dial(two.addresses[0]) == two.node
    assert await two.dial(one.addresses[0]) == one.node
    assert one.peers()[two.node].dialed
    assert not two.peers()[one.node].dialed
    assert one.send(two.node, b"still there")
    assert await frame_of(two) == b"still there"


async def test_nodes_that_dial_each_other_at_once_end_with_one_connection(nursery):
    for _ in range(10):
        async with trio.open_nursery() as round_nursery:
            one, two = await start(round_nursery, 2)
            async with trio.open_nursery() as dials:
                dials.start_soon(one.dial, two.addresses[0])
                dials.start_soon(two.dial, one.addresses[0])
                dials.start_soon(one.dial, two.addresses[0])
            await trio.sleep(0.05)
            assert one.peers()[two.node].dialed != two.peers()[one.node].dialed
            assert one.send(two.node, b"to two")
            assert two.send(one.node, b"to one")
            assert await frame_of(two) == b"to two"
            assert await frame_of(one) == b"to one"
            round_nursery.cancel_scope.cancel()


async def test_four_nodes_that_keep_each_other_form_a_full_mesh(nursery):
    nodes = await start(nursery, 4, randomness=random.Random(1))
    for each in nodes:
        for other in nodes:
            if each is not other:
                each.keep(other.node, other.addresses[0])
    await eventually(
        lambda: all(
            sum(status.connected for status in each.peers().values()) == 3 for each in nodes
        )
    )
    await trio.sleep(0.5)
    for each in nodes:
        for other in nodes:
            if each is not other:
                assert each.send(other.node, each.node)
    for each in nodes:
        heard = {await frame_of(each) for _ in range(3)}
        assert heard == {other.node for other in nodes} - {each.node}


async def test_a_kept_peer_that_restarts_is_reached_again(nursery):
    attestor = ToyAttestor(b"r" * 32)
    [one] = await start(nursery, 1)
    first = network(attestor)
    async with trio.open_nursery() as lifetime:
        await lifetime.start(first.run)
        address = first.addresses[0]
        one.keep(attestor.node, address)
        await next_of(one, Connected)
        lifetime.cancel_scope.cancel()
    assert await reason_of(one) in CLOSED
    await eventually(lambda: one.peers()[attestor.node].failure != "")
    assert "cannot reach" in one.peers()[attestor.node].failure
    second = network(attestor, listen=address.split("/p2p/")[0])
    await nursery.start(second.run)
    await next_of(one, Connected)
    assert one.send(attestor.node, b"welcome back")
    assert await frame_of(second) == b"welcome back"


async def test_a_forgotten_peer_is_not_dialed_again(nursery):
    one, two = await start(nursery, 2)
    one.keep(two.node, two.addresses[0])
    await next_of(one, Connected)
    one.forget(two.node)
    one.disconnect(two.node, "expelled")
    assert await reason_of(one) == "expelled"
    assert await reason_of(two) in CLOSED
    await trio.sleep(0.6)
    assert one.peers() == {}


async def test_a_kept_peer_is_tried_at_each_of_its_addresses_and_followed_to_a_new_one(nursery):
    attestor = ToyAttestor(b"m" * 32)
    [one] = await start(nursery, 1)
    first = network(attestor)
    dead = f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id_of_node(attestor.node)}"
    async with trio.open_nursery() as lifetime:
        await lifetime.start(first.run)
        one.keep(attestor.node, dead, first.addresses[0])
        await next_of(one, Connected)
        assert one.kept()[attestor.node] == (first.addresses[0], dead)
        lifetime.cancel_scope.cancel()
    await next_of(one, Disconnected)
    second = network(attestor)
    await nursery.start(second.run)
    one.keep(attestor.node, first.addresses[0], second.addresses[0])
    await next_of(one, Connected)
    assert one.send(attestor.node, b"there you are")
    assert await frame_of(second) == b"there you are"


async def test_who_listens_everywhere_names_addresses_of_this_machine(nursery):
    one = network(listen="/ip6/::/tcp/0")
    await nursery.start(one.run)
    hosts = [ipaddress.ip_address(parse_address(text).host) for text in one.addresses]
    assert 1 <= len(hosts) <= limits.OWN_ADDRESSES
    assert not any(host.is_unspecified or host.is_link_local for host in hosts)
    [two] = await start(nursery, 1)
    port = parse_address(one.addresses[0]).port
    assert await two.dial(format_address("127.0.0.1", port, one.node)) == one.node


async def test_a_barred_peer_is_cut_and_let_in_by_neither_side(nursery):
    one, two = await connected_pair(nursery)
    one.bar(two.node)
    assert await reason_of(one) == "faults"
    assert await reason_of(two) in CLOSED
    for dialer, other in ((two, one), (one, two)):
        with pytest.raises(PeerFault, match="barred"):
            await dialer.dial(other.addresses[0])
    [three] = await start(nursery, 1)
    assert await three.dial(one.addresses[0]) == one.node


async def test_keeping_a_node_under_the_address_of_another_is_refused(nursery):
    one, two = await start(nursery, 2)
    with pytest.raises(LocalFault, match="another node"):
        one.keep(b"x" * 32, two.addresses[0])


async def test_an_address_where_nobody_listens_is_unreachable(nursery):
    [one] = await start(nursery, 1)
    with pytest.raises(Unreachable, match="cannot reach"):
        await one.dial("/ip4/127.0.0.1/tcp/1")


@pytest.mark.parametrize("failing", [ValueError("no name"), UnicodeError("label too long")])
async def test_a_name_that_the_resolver_cannot_take_is_unreachable(
    nursery, monkeypatch, failing: Exception
):
    async def resolve(*_: object) -> None:
        raise failing

    monkeypatch.setattr(trio, "open_tcp_stream", resolve)
    one = (await start(nursery, 1))[0]
    with pytest.raises(Unreachable, match="no name of a host"):
        await one.dial(f"/dns4/a/tcp/1/p2p/{peer_id_of_node(ToyAttestor(b'k' * 32).node)}")


async def test_an_error_that_nobody_expected_of_a_peers_address_ends_nothing(nursery, monkeypatch):
    one, two = await start(nursery, 2)
    peer = ToyAttestor(b"k" * 32).node
    tried = trio.Event()

    async def resolve(*_: object) -> None:
        tried.set()
        raise RuntimeError("what the address says")

    with monkeypatch.context() as broken:
        broken.setattr(trio, "open_tcp_stream", resolve)
        one.keep(peer, f"/ip4/192.0.2.1/tcp/1/p2p/{peer_id_of_node(peer)}")
        await tried.wait()
        await trio.sleep(0.1)
    assert await one.dial(two.addresses[0]) == two.node


async def test_send_says_no_without_a_connection_and_when_the_queue_is_full(nursery):
    one, two = await connected_pair(nursery)
    assert not one.send(b"nobody" * 6, b"frame")
    assert not one.send(two.node, bytes(limits.MAX_FRAME_BYTES + 1))
    accepted = 0
    while one.send(two.node, b"x"):
        accepted += 1
    assert accepted == 1 + limits.PEER_QUEUE_FRAMES, "one is on its way"
    assert one.peers()[two.node].queued_frames == limits.PEER_QUEUE_FRAMES
    await eventually(lambda: one.send(two.node, b"y"))


async def test_an_idle_connection_stays(nursery):
    one, two = await connected_pair(nursery)
    await trio.sleep(1.5)
    assert one.peers()[two.node].connected
    assert one.peers()[two.node].frames_in == 0
    assert one.peers()[two.node].bytes_in > 0


async def test_a_flooding_peer_loses_frames_and_costs_others_none(nursery):
    victim, flooder, honest = await start(nursery, 3)
    for each in (flooder, honest):
        await each.dial(victim.addresses[0])
    flood = limits.PEER_INBOX_FRAMES + 500
    sent = 0
    while sent < flood:
        sent += flooder.send(victim.node, b"flood")
        await trio.sleep(0)
    await eventually(lambda: victim.peers()[flooder.node].dropped_frames > 0)
    assert honest.send(victim.node, b"honest")
    await eventually(lambda: victim.peers()[honest.node].frames_in == 1)
    events = await victim.events.receive_many()
    frames = [event.frame for event in events if isinstance(event, FrameReceived)]
    assert frames.count(b"honest") == 1
    assert frames.count(b"flood") == limits.PEER_INBOX_FRAMES
    assert victim.peers()[flooder.node].connected


async def test_a_frame_in_500_byte_segments_arrives(nursery):
    one, two = await start(nursery, 2)
    async with relay(two.addresses[0], piece_bytes=500) as address:
        await one.dial(address)
        frame = bytes(range(256)) * 1200
        assert one.send(two.node, frame)
        assert await frame_of(two) == frame
        assert two.send(one.node, frame)
        assert await frame_of(one) == frame


async def test_stopping_ends_the_connections_and_says_so(nursery):
    [one] = await start(nursery, 1)
    two = network()
    async with trio.open_nursery() as lifetime:
        await lifetime.start(two.run)
        await one.dial(two.addresses[0])
        await next_of(two, Connected)
        lifetime.cancel_scope.cancel()
    assert await reason_of(two) == "stopped"
    assert await reason_of(one) in CLOSED
    with pytest.raises(LocalFault, match="not running"):
        await two.dial(one.addresses[0])


async def test_a_key_that_is_not_the_attestors_is_refused_at_start():
    attestor = ToyAttestor(os.urandom(32))
    one = PeerNetwork(key_seed=b"z" * 32, attestor=attestor, network_id=NETWORK_ID)
    with pytest.raises(LocalFault, match="key seed"):
        await one.run()


async def test_a_dead_peer_is_dialled_ever_less_often_and_not_in_step_with_others(nursery):
    dials: dict[str, list[float]] = {"one": [], "two": []}

    async def refusing(name: str) -> str:
        async def refuse(stream: trio.SocketStream) -> None:
            dials[name].append(trio.current_time())
            await stream.aclose()

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, refuse, listeners)
        port = listeners[0].socket.getsockname()[1]
        return format_address("127.0.0.1", port, b"d" * 32)

    for number, name in enumerate(dials):
        [each] = await start(nursery, 1, randomness=random.Random(number))
        each.keep(b"d" * 32, await refusing(name))
    await eventually(lambda: all(len(times) >= 5 for times in dials.values()))
    gaps = {name: [b - a for a, b in pairwise(times)] for name, times in dials.items()}
    for found in gaps.values():
        assert sum(found[2:4]) > sum(found[:2]), "each wait is about twice the last"
    assert any(abs(a - b) > 0.02 for a, b in zip(gaps["one"], gaps["two"], strict=False))
