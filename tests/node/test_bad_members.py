"""Bad input of members to a running network: a clear answer, and life goes on."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from ccp2p.client import rooms
from ccp2p.client import session as client_session
from ccp2p.client.network import NetworkClient
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.envelope import Envelope, Event, event_id, event_signed_bytes
from ccp2p.model.errors import Denied, Fault, PeerFault
from ccp2p.model.member_protocol import (
    Query,
    Refused,
    Reply,
    Submit,
    decode_node_message,
    encode_message,
)
from ccp2p.network import FrameStream, connect
from ccp2p.sealing import session as sessions
from tests.node.stage import TIMEOUT_MS, Stage, eventually, network


class Forger(SigningKey):
    """Whoever claims a member's name without its key."""

    def sign(self, message: bytes) -> bytes:
        return super().sign(b"something else")


@asynccontextmanager
async def lobby(directory: Path) -> AsyncIterator[tuple[Stage, NetworkClient, MemberSession]]:
    """Four nodes, and ann in her room."""
    async with network(directory) as stage, stage.client() as client:
        ann = client.session(SigningKey(b"a" * 32))
        await ann.open(TIMEOUT_MS)
        await ann.submit(rooms.create("lobby", False, "ann"), TIMEOUT_MS)
        yield stage, client, ann


async def texts_after_another(stage: Stage, ann: MemberSession) -> list[str]:
    """Ann says "still here", all nodes execute it; what her room holds then."""
    before = min(host.commit for host in stage.hosts)
    await rooms.ask_post(ann, "lobby", "still here", TIMEOUT_MS)
    await eventually(lambda: min(host.commit for host in stage.hosts) > before)
    assert [host.fault for host in stage.hosts] == [None] * len(stage.hosts)
    return [message.text async for message in rooms.messages(ann, "lobby")]


async def refused(stream: FrameStream, envelope: bytes) -> tuple[str, str]:
    """Submit a raw envelope; the code and the words that come back."""
    await stream.send(encode_message(Submit((envelope,))))
    with trio.fail_after(30):
        message = decode_node_message(await stream.receive(), PeerFault)
    assert isinstance(message, Refused)
    return message.refusals[0].code, message.refusals[0].message


def event_of(member: SigningKey, network_id: bytes, sequence: int, body: bytes) -> Event:
    identifier = event_id(network_id, member.public, sequence, body)
    return Event(member.public, sequence, body, member.sign(event_signed_bytes(identifier)))


def sealed(session: MemberSession, event: Event) -> Envelope:
    """Any event, sealed in a member's session."""
    return sessions.seal_event(session._context, session._keys, event)


async def test_envelopes_of_any_bad_shape_are_refused_by_name(tmp_path: Path):
    async with lobby(tmp_path) as (stage, _, ann):
        event = event_of(ann.member, stage.ticket().network, ann.last + 1, b"body")
        good = sealed(ann, event)
        bad = {
            "oversized": {"sealed": bytes(limits.MAX_ENVELOPE_BYTES)},
            "wrong-epoch": {"epoch": 1},
            "no-session": {"tag": b"t" * 16},
            "sealed": {"sealed": good.sealed[:-1]},
        }
        async with connect(stage.hosts[1].address, timeout_ms=15_000) as stream:
            for code, changes in bad.items():
                answer = await refused(
                    stream, codec.encode(msgspec.structs.replace(good, **changes))
                )
                assert answer[0] == code
                assert answer[1]
            for data in (codec.encode(good)[:-1], os.urandom(300), b""):
                assert (await refused(stream, data))[0] == "malformed"
        assert await texts_after_another(stage, ann) == ["still here"]


async def test_a_replayed_envelope_executes_nothing_again(tmp_path: Path, monkeypatch):
    recorded: list[bytes] = []
    seal = sessions.seal_event

    def record(*arguments: object) -> Envelope:
        envelope = seal(*arguments)
        recorded.append(codec.encode(envelope))
        return envelope

    monkeypatch.setattr(sessions, "seal_event", record)
    async with lobby(tmp_path) as (stage, _, ann):
        assert await rooms.ask_post(ann, "lobby", "once", TIMEOUT_MS) == 0
        assert len(recorded) == 3
        for host in stage.hosts:
            async with connect(host.address, timeout_ms=15_000) as stream:
                await stream.send(encode_message(Submit(tuple(recorded) * 3)))
                await eventually(
                    lambda host=host: not host.node._api.waits_for(ann._keys.tag_of(2))
                )
        assert await texts_after_another(stage, ann) == ["once", "still here"]


async def test_another_members_event_inside_ones_own_session_is_refused(tmp_path: Path):
    async with lobby(tmp_path) as (stage, client, ann):
        eve = client.session(SigningKey(b"e" * 32))
        await eve.open(TIMEOUT_MS)
        stolen = event_of(ann.member, stage.ticket().network, 1, rooms.post("lobby", "stolen"))
        async with connect(stage.hosts[0].address, timeout_ms=15_000) as stream:
            assert (await refused(stream, codec.encode(sealed(eve, stolen))))[0] == "tag"
        assert await texts_after_another(stage, ann) == ["still here"]


async def test_a_wrong_signature_is_denied_and_its_number_stays_free(tmp_path: Path):
    async with lobby(tmp_path) as (stage, client, ann):
        honest, last = ann.member, ann.last
        ann.member = Forger(b"a" * 32)
        outcome = await ann.submit(rooms.post("lobby", "forged"), TIMEOUT_MS)
        assert (outcome.status, outcome.body) == ("denied", b"bad-signature")
        with pytest.raises(Denied, match="signature"):
            await client.session(Forger(b"e" * 32)).open(TIMEOUT_MS)
        ann.member, ann.last = honest, last
        assert await texts_after_another(stage, ann) == ["still here"]


@pytest.mark.parametrize("secret", [b"", b"wrong invite 123"])
async def test_a_stranger_with_a_forged_invite_is_denied(tmp_path: Path, secret: bytes):
    async with lobby(tmp_path) as (stage, client, ann):
        client.ticket = msgspec.structs.replace(client.ticket, secret=secret)
        with pytest.raises(Denied, match="invite"):
            await client.session(SigningKey(b"e" * 32)).open(TIMEOUT_MS)
        assert await texts_after_another(stage, ann) == ["still here"]


async def test_a_query_of_no_session_or_under_a_wrong_seal_is_refused_by_name(tmp_path: Path):
    async with lobby(tmp_path) as (stage, _, ann):
        context, keys, name = ann._context, ann._keys, ann.identifier
        other = sessions.SessionKeys.derive(b"o" * 32)
        queries = [
            Query(1, b"s" * 16, sessions.seal_query(context, keys, b"s" * 16, 1, b"")),
            Query(2, name, sessions.seal_query(context, other, name, 2, b"")),
            Query(3, name, sessions.seal_query(context, keys, name, 4, b"")),
            Query(4, name, b""),
        ]
        refusals = []
        async with connect(stage.hosts[0].address, timeout_ms=15_000) as stream:
            for query in queries:
                await stream.send(encode_message(query))
                reply = decode_node_message(await stream.receive(), PeerFault)
                assert isinstance(reply, Reply)
                refusals.append(reply.refusal)
        assert refusals == ["no-session", "sealed", "sealed", "sealed"]
        with pytest.raises(Denied, match="malformed"):
            await ann.query(b"no question at all")
        assert await texts_after_another(stage, ann) == ["still here"]


async def test_garbage_under_a_stolen_tag_does_not_make_its_owner_give_up(
    tmp_path: Path, monkeypatch
):
    """Hosts see tags, and a lossy node may order a thief's envelope before the owner's."""
    monkeypatch.setattr(client_session, "RETRY_AFTER_S", 0.5)
    async with lobby(tmp_path) as (stage, _, ann):
        node = stage.hosts[0].node
        monkeypatch.setattr(node, "submit", lambda taken, *, is_repeated: len(taken))
        garbage = Envelope(0, ann._keys.tag_of(ann.last + 1), b"", os.urandom(300))
        positions: list[int] = []
        async with trio.open_nursery() as nursery:

            async def post() -> None:
                positions.append(await rooms.ask_post(ann, "lobby", "mine", TIMEOUT_MS))

            nursery.start_soon(post)
            await eventually(lambda: node._api.waits_for(garbage.tag))
            monkeypatch.undo()
            monkeypatch.setattr(client_session, "RETRY_AFTER_S", 0.5)
            async with connect(stage.hosts[0].address, timeout_ms=15_000) as thief:
                assert (await refused(thief, codec.encode(garbage)))[0] == "sealed"
        assert positions == [0]
        assert await texts_after_another(stage, ann) == ["mine", "still here"]


async def test_frames_of_garbage_end_only_their_own_connection(tmp_path: Path):
    async with lobby(tmp_path) as (stage, _, ann):
        for frame in (b"\xc1", os.urandom(5000), bytes(limits.MAX_CLIENT_FRAME_BYTES)):
            async with connect(stage.hosts[0].address, timeout_ms=15_000) as stream:
                await stream.send(frame)
                with pytest.raises(Fault), trio.fail_after(30):
                    await stream.receive()
        assert await texts_after_another(stage, ann) == ["still here"]
