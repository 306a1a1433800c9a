"""No connection without good evidence: forged, stolen, relayed and reflected proofs are refused."""

import os
from contextlib import asynccontextmanager

import pytest
import trio

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import AttestationFault, Fault, LocalFault, PeerFault
from ccp2p.network import Connected, FrameReceived, PeerNetwork, proof
from ccp2p.network.addresses import format_address, parse_address
from ccp2p.network.session import ConnectionLost

from .stage import (
    HASTY,
    NETWORK_ID,
    ToyAttestor,
    eventually,
    frame_of,
    network,
    next_of,
    raw,
    start,
)

FORGER = SigningKey(b"f" * 32)


class Accomplice(ToyAttestor):
    """A real platform under an attacker's eyes: it believes any peer."""

    def check(self, node, binding, evidence):
        return "whatever"


def attested_link(stream, seed, exchange, *, is_initiator, node=None):
    from ccp2p.network.link import Identity, link

    return link(
        stream,
        Identity(seed),
        exchange,
        is_initiator=is_initiator,
        node=node,
        timeout_ms=15_000,
        window_bytes=1 << 20,
        max_streams=1,
    )


async def dial_with(address, seed, exchange):
    """Dial as an attacker whose side of the exchange is `exchange`."""
    node = parse_address(address).node
    stream = await raw(address)
    async with attested_link(stream, seed, exchange, is_initiator=True, node=node) as established:
        return established.verdict


@asynccontextmanager
async def hostile_listener(seed, exchange):
    """A listener whose side of the exchange is `exchange`; gives its address."""

    async def serve(stream):
        try:
            async with attested_link(stream, seed, exchange, is_initiator=False):
                await trio.sleep_forever()
        except (Fault, ConnectionLost):
            pass

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        port = listeners[0].socket.getsockname()[1]
        yield format_address("127.0.0.1", port, SigningKey(seed).public)
        nursery.cancel_scope.cancel()


async def assert_still_serves(victim: PeerNetwork, nursery):
    [honest] = await start(nursery, 1)
    await honest.dial(victim.addresses[0])
    assert honest.send(victim.node, b"honest")
    assert (await next_of(victim, FrameReceived)).frame == b"honest"


async def test_a_dialer_with_forged_evidence_learns_why_it_is_refused(nursery):
    [victim] = await start(nursery, 1)
    liar = network(ToyAttestor(os.urandom(32), vendor=FORGER))
    await nursery.start(liar.run)
    with pytest.raises(AttestationFault, match="the peer refused our evidence") as caught:
        await liar.dial(victim.addresses[0])
    assert caught.value.reasons == ("not signed by the vendor",)
    assert victim.peers() == {}
    assert victim.refusals == {"attestation": 1}
    await assert_still_serves(victim, nursery)


async def test_a_listener_with_forged_evidence_is_refused(nursery):
    [victim] = await start(nursery, 1)
    liar = network(ToyAttestor(os.urandom(32), vendor=FORGER))
    await nursery.start(liar.run)
    with pytest.raises(AttestationFault, match="evidence refused") as caught:
        await victim.dial(liar.addresses[0])
    assert caught.value.reasons == ("not signed by the vendor",)
    await eventually(lambda: liar.refusals == {"attestation": 1})
    assert victim.peers() == liar.peers() == {}


async def test_a_node_of_another_network_is_refused(nursery):
    [victim] = await start(nursery, 1)
    stranger = network(network_id=b"m" * 32)
    await nursery.start(stranger.run)
    with pytest.raises(AttestationFault, match="another network"):
        await stranger.dial(victim.addresses[0])
    with pytest.raises(AttestationFault, match="another network"):
        await victim.dial(stranger.addresses[0])


async def test_a_plain_noise_peer_is_refused(nursery):
    [victim] = await start(nursery, 1)
    with pytest.raises(PeerFault) as caught:
        await dial_with(victim.addresses[0], os.urandom(32), None)
    assert caught.value.code == "negotiation"
    await assert_still_serves(victim, nursery)


async def test_our_own_proof_reflected_is_refused(nursery):
    [victim] = await start(nursery, 1)

    async def reflect(session):
        while True:
            await session.write(await session.receive())

    async with hostile_listener(os.urandom(32), reflect) as address:
        with pytest.raises(AttestationFault, match="signature"):
            await victim.dial(address)


async def test_a_proof_reflected_under_our_own_stolen_key_is_refused(nursery):
    attestor = ToyAttestor(os.urandom(32))
    victim = network(attestor)
    await nursery.start(victim.run)

    async def reflect(session):
        while True:
            await session.write(await session.receive())

    async with hostile_listener(attestor.seed, reflect) as address:
        with pytest.raises(PeerFault, match="this node") as caught:
            await victim.dial(address)
    assert caught.value.code == "self"


async def test_a_proof_of_the_other_role_in_the_same_session_is_refused(nursery):
    [victim] = await start(nursery, 1)
    accomplice = Accomplice(os.urandom(32))

    async def prove_as_dialer(session):
        exchange = proof.Exchange(accomplice, NETWORK_ID, lambda node: "")
        await proof._receive(session)
        await proof._send(session, await exchange._prove(session, proof._DIALER))
        await session.receive()

    async with hostile_listener(accomplice.seed, prove_as_dialer) as address:
        with pytest.raises(AttestationFault, match="signature"):
            await victim.dial(address)


async def test_evidence_relayed_from_a_real_node_is_refused_even_with_its_key(nursery):
    """The attacker holds a node's key, but not its platform, and asks the platform over the net."""
    [victim] = await start(nursery, 1)
    accomplice = Accomplice(os.urandom(32))
    platform = network(accomplice)
    await nursery.start(platform.run)

    async def evidence_of_platform():
        harvested = []

        async def harvest(session):
            ours = Accomplice(os.urandom(32))
            exchange = proof.Exchange(ours, NETWORK_ID, lambda node: "")
            message = proof.signed_bytes(NETWORK_ID, proof._DIALER, session.handshake_hash)
            turn = await exchange._prove(session, proof._DIALER)
            signature = key.sign(message)
            signed = proof._Turn(evidence=turn.evidence, signature=signature, route=turn.route)
            await proof._send(session, signed)
            harvested.append((await proof._receive(session)).evidence)
            raise ConnectionLost("enough")

        seed = os.urandom(32)
        key = SigningKey(seed)
        with pytest.raises(Fault):
            await dial_with(platform.addresses[0], seed, harvest)
        return harvested[0]

    async def relay(session):
        await proof._receive(session)
        message = proof.signed_bytes(NETWORK_ID, proof._LISTENER, session.handshake_hash)
        turn = proof._Turn(
            evidence=await evidence_of_platform(), signature=accomplice.sign(message)
        )
        await proof._send(session, turn)
        await session.receive()

    async with hostile_listener(accomplice.seed, relay) as address:
        with pytest.raises(AttestationFault, match="evidence refused"):
            await victim.dial(address)


async def test_a_true_proof_by_hand_is_accepted(nursery):
    """The control of the attacks above: the same steps without the lie do connect."""
    [victim] = await start(nursery, 1)
    accomplice = Accomplice(os.urandom(32))
    exchange = proof.Exchange(accomplice, NETWORK_ID, lambda node: "")
    assert await dial_with(victim.addresses[0], accomplice.seed, exchange.run) == "whatever"


async def test_a_proof_that_announces_too_much_is_refused_unread(nursery):
    [victim] = await start(nursery, 1)

    async def boast(session):
        await session.write((2**31).to_bytes(4, "big"))
        await session.receive()

    with pytest.raises(Fault):
        await dial_with(victim.addresses[0], os.urandom(32), boast)
    await eventually(lambda: victim.refusals == {"oversized": 1})
    await assert_still_serves(victim, nursery)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x94\xa0\x90\xc4\x00"])
async def test_a_malformed_proof_is_refused(nursery, body):
    [victim] = await start(nursery, 1)

    async def babble(session):
        await session.write(len(body).to_bytes(4, "big") + body)
        await session.receive()

    with pytest.raises(Fault):
        await dial_with(victim.addresses[0], os.urandom(32), babble)
    await eventually(lambda: victim.refusals == {"malformed": 1})


async def test_a_peer_that_never_proves_anything_is_cut_in_time(nursery):
    [victim] = await start(nursery, 1, timing=type(HASTY)(handshake_timeout_ms=300))

    async def idle(session):
        await session.receive()

    with trio.fail_after(30), pytest.raises(Fault):
        await dial_with(victim.addresses[0], os.urandom(32), idle)
    assert victim.refusals == {"unreachable": 1}
    assert victim.handshakes == 0


async def test_reasons_of_a_peer_are_cut_and_made_printable(nursery):
    [victim] = await start(nursery, 1)

    async def insult(session):
        await proof._receive(session)
        reasons = ("\x1b[31mred\n" + "x" * 500,) * 40
        await proof._send(session, proof._Turn(code="attestation", reasons=reasons))
        await session.receive()

    async with hostile_listener(os.urandom(32), insult) as address:
        with pytest.raises(AttestationFault) as caught:
            await victim.dial(address)
    assert len(caught.value.reasons) == 16
    assert all(len(reason) == 200 and reason.isprintable() for reason in caught.value.reasons)


async def test_a_device_without_evidence_is_our_own_fault(nursery):
    class Broken(ToyAttestor):
        def evidence(self, binding):
            raise OSError("no such device")

    [peer] = await start(nursery, 1)
    broken = network(Broken(os.urandom(32)))
    await nursery.start(broken.run)
    with pytest.raises(LocalFault, match="no evidence"):
        await broken.dial(peer.addresses[0])


async def test_a_verifier_that_trips_over_evidence_refuses_it(nursery):
    class Clumsy(ToyAttestor):
        def check(self, node, binding, evidence):
            return evidence["not a mapping"]

    clumsy = network(Clumsy(os.urandom(32)))
    await nursery.start(clumsy.run)
    [peer] = await start(nursery, 1)
    with pytest.raises(AttestationFault, match="could not be judged"):
        await clumsy.dial(peer.addresses[0])
    with pytest.raises(AttestationFault, match="could not be judged"):
        await peer.dial(clumsy.addresses[0])


async def test_a_peer_that_the_attestor_does_not_list_is_refused_by_name(nursery):
    class Listed(ToyAttestor):
        def check(self, node, binding, evidence):
            raise PeerFault("unlisted", "this node is not of the committee")

    strict = network(Listed(os.urandom(32)))
    await nursery.start(strict.run)
    [peer] = await start(nursery, 1)
    with pytest.raises(PeerFault, match="unlisted") as caught:
        await peer.dial(strict.addresses[0])
    assert caught.value.code == "unlisted"


async def test_an_address_that_names_another_key_is_refused(nursery):
    one, two = await start(nursery, 2)
    place = two.addresses[0].split("/p2p/")[0]
    with pytest.raises(PeerFault) as caught:
        await one.dial(place + "/p2p/" + one.addresses[0].split("/p2p/")[1])
    assert caught.value.code == "identity"
    assert await one.dial(place) == two.node
    assert (await next_of(one, Connected)).node == two.node
    assert two.send(one.node, b"hello")
    assert await frame_of(one) == b"hello"
