"""A member's session while nodes come and go: every outcome arrives, once."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.client import session as client_session
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import limits
from ccp2p.model.errors import Fault, NotCommitted, Unreachable
from ccp2p.model.outcome import Outcome
from ccp2p.node.node import Node
from tests.node.stage import TIMEOUT_MS, Stage, eventually, network

COUNT = 100


async def ann_in_lobby(client: NetworkClient) -> MemberSession:
    ann = client.session(SigningKey(b"a" * 32))
    await ann.open(TIMEOUT_MS)
    await ann.submit(rooms.create("lobby", False, "ann"), TIMEOUT_MS)
    return ann


def post_all(ann: MemberSession) -> list[tuple[int, Outcome | Fault]]:
    """Pipeline messages; what becomes of each is added to the list as it arrives."""
    results: list[tuple[int, Outcome | Fault]] = []
    for number in range(COUNT):
        ann.post(
            rooms.post("lobby", str(number)),
            lambda result, number=number: results.append((number, result)),
        )
    return results


async def assert_each_once(ann: MemberSession, results: list[tuple[int, Outcome | Fault]]) -> None:
    """One outcome each, all executed; the room has each message once, in order."""
    await eventually(lambda: len(results) >= COUNT)
    assert Counter(number for number, _ in results) == dict.fromkeys(range(COUNT), 1)
    assert {getattr(result, "status", result) for _, result in results} == {"ok"}
    texts = [message.text async for message in rooms.messages(ann, "lobby")]
    assert texts == [str(number) for number in range(COUNT)]


async def test_a_node_that_dies_midway_costs_no_outcome_and_doubles_none(tmp_path: Path):
    async with network(tmp_path) as stage, stage.client(every_node=True) as client:
        ann = await ann_in_lobby(client)
        serving = next(
            host
            for host in stage.hosts
            if host.node.setup.identity.node == ann._connection.node.node
        )
        results = post_all(ann)
        await eventually(lambda: len(results) > 5)
        await serving.stop()
        assert len(results) < COUNT
        await assert_each_once(ann, results)


async def test_busy_is_tried_again_until_there_is_room(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(client_session, "RETRY_AFTER_S", 0.5)
    async with network(tmp_path, 1) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        node = stage.hosts[0].node
        submit, calls = node.submit, []

        def reluctant(envelopes: list[bytes], *, is_repeated: bool) -> int:
            calls.append(len(envelopes))
            taken = envelopes[:10] if len(calls) < 4 else envelopes
            return submit(taken, is_repeated=is_repeated)

        monkeypatch.setattr(node, "submit", reluctant)
        await assert_each_once(ann, post_all(ann))
        assert len(calls) >= 4


def serving(stage: Stage, ann: MemberSession) -> Node:
    """The node that a session talks to."""
    assert ann._connection is not None
    key = ann._connection.node.node
    return next(host.node for host in stage.hosts if host.node.setup.identity.node == key)


async def test_what_a_full_node_refuses_goes_to_the_next_at_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(client_session, "RETRY_AFTER_S", 10 * TIMEOUT_MS / 1000)
    monkeypatch.setattr(client_session, "MOST_RETRY_S", 10 * TIMEOUT_MS / 1000)
    async with network(tmp_path) as stage, stage.client(every_node=True) as client:
        ann = await ann_in_lobby(client)
        offered: list[int] = []
        first = serving(stage, ann)
        second = next(host.node for host in stage.hosts if host.node is not first)
        for node in (first, second):
            monkeypatch.setattr(node, "submit", full(offered))
        await assert_each_once(ann, post_all(ann))
        assert limits.SEQUENCE_WINDOW <= sum(offered) <= 2 * limits.SEQUENCE_WINDOW


async def test_where_all_are_full_an_event_waits(tmp_path: Path, monkeypatch):
    async with network(tmp_path) as stage, stage.client(every_node=True) as client:
        ann = await ann_in_lobby(client)
        offered: list[int] = []
        for host in stage.hosts:
            monkeypatch.setattr(host.node, "submit", full(offered))
        with pytest.raises(NotCommitted):
            await rooms.ask_post(ann, "lobby", "is there room?", 1_000)
        assert sum(offered) == 3


async def test_who_keeps_silent_is_left_for_another(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(client_session, "RETRY_AFTER_S", 0.2)
    async with network(tmp_path) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        silent, swallowed = serving(stage, ann), []

        def swallow(envelopes: list[bytes], *, is_repeated: bool) -> int:
            swallowed.extend(envelopes)
            return len(envelopes)

        monkeypatch.setattr(silent, "submit", swallow)
        monkeypatch.setattr(silent._replica, "_deliver", lambda outcomes, dropped: None)
        await assert_each_once(ann, post_all(ann))
        assert len(swallowed) >= COUNT
        assert serving(stage, ann) is not silent
        assert not any(connection._waiting for connection in client.live())


async def test_what_is_late_from_before_a_renewal_ends_nothing(tmp_path: Path, monkeypatch):
    async with network(tmp_path, 1) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        node, connection = serving(stage, ann), ann._connection
        assert connection is not None
        swallowed: list[bytes] = []

        def swallow(envelopes: list[bytes], *, is_repeated: bool) -> int:
            swallowed.extend(envelopes)
            return len(envelopes)

        with monkeypatch.context() as silent:
            silent.setattr(node, "submit", swallow)
            results = post_all(ann)
            before = list(ann._in_flight)
            await eventually(lambda: len(swallowed) == len(before))
        await ann._renew(connection.node)
        for tag in before:
            connection._answer(tag, b"an outcome under keys that are gone")
        await assert_each_once(ann, results)


def full(offered: list[int]) -> Callable[..., int]:
    """A node's `submit` that has no room, and counts what it refuses."""

    def submit(envelopes: list[bytes], *, is_repeated: bool) -> int:
        offered.append(len(envelopes))
        return 0

    return submit


async def test_what_cannot_commit_is_reported_and_not_waited_for_forever(tmp_path: Path):
    async with network(tmp_path, 2) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        await stage.hosts[1].stop()
        with pytest.raises(NotCommitted, match="the network may still do it"):
            await rooms.ask_post(ann, "lobby", "is anybody there?", 700)
        assert not ann._in_flight


async def test_with_every_node_gone_a_read_says_so(tmp_path: Path):
    async with network(tmp_path, 1) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        await stage.hosts[0].stop()
        await eventually(lambda: not client.live())
        with pytest.raises(Unreachable):
            await ann.query(b"")


async def test_a_client_finds_the_other_nodes_from_any_one(tmp_path: Path):
    async with network(tmp_path, 4) as stage:
        only_last = (stage.hosts[3].address,)
        async with open_network(
            replace(stage.ticket(), addresses=tuple(only_last)),
            allow_simulated=True,
            every_node=True,
        ) as client:
            assert len(client.live()) == 4
            assert {c.node.seat for c in client.connections} == {0, 1, 2, 3}


async def test_dead_addresses_are_passed_over(tmp_path: Path):
    async with network(tmp_path, 4) as stage:
        addresses = tuple(host.address for host in stage.hosts)
        await stage.hosts[0].stop()
        async with open_network(
            replace(stage.ticket(), addresses=addresses), allow_simulated=True
        ) as client:
            assert client.verified.node == stage.hosts[1].node.setup.identity.node


async def test_two_devices_of_one_member_see_each_others_numbers(tmp_path: Path):
    async with network(tmp_path, 1) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        await rooms.ask_post(ann, "lobby", "from the desk", TIMEOUT_MS)
        phone = client.session(ann.member)
        await phone.open(TIMEOUT_MS)
        assert phone.last == ann.last
        assert await rooms.ask_post(phone, "lobby", "from the road", TIMEOUT_MS) == 1
        with pytest.raises(Fault, match="in use on another machine"):
            await rooms.ask_post(ann, "lobby", "from the desk again", TIMEOUT_MS)
