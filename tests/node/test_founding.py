"""Founding among dishonest nodes: no record comes of it, and whoever refuses says why."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import trio

from ccp2p.crypto import hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.membership import founding as rules
from ccp2p.membership.founding import FounderRequest
from ccp2p.model import codec
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_signed_bytes
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.member_protocol import Welcome
from ccp2p.model.ticket import Ticket
from ccp2p.network import FrameReceived, PeerNetwork
from ccp2p.node import setup as setups
from ccp2p.node.founding import Founder
from ccp2p.node.messages import (
    FoundingComplete,
    FoundingJoin,
    FoundingProposal,
    FoundingRefusal,
    FoundingSignature,
    PeerMessage,
    decode_message,
    encode_message,
)
from ccp2p.node.node import unix_ms
from ccp2p.node.setup import Founding
from ccp2p.sealing.secrets import EpochSecrets, seal_to_seat
from ccp2p.sealing.shares import boxes
from tests.node.stage import (
    PARAMETERS,
    PATIENCE_S,
    Host,
    Stage,
    eventually,
    stage,
    welcome_of,
)


@dataclass
class FirstNode:
    """The first node of a network of three, in hostile hands; the others are real nodes."""

    stage: Stage
    founder: Founder
    peers: PeerNetwork
    secret: bytes = field(default_factory=lambda: os.urandom(32))
    requests: dict[bytes, FounderRequest] = field(default_factory=dict)
    hosts: list[Host] = field(default_factory=list)

    async def hear(self, *kinds: type) -> tuple[bytes, PeerMessage]:
        """The next message of some kinds, and its sender."""
        with trio.fail_after(PATIENCE_S):
            while True:
                event = await self.peers.events.receive()
                if isinstance(event, FrameReceived):
                    message = decode_message(event.frame)
                    if isinstance(message, kinds):
                        return event.node, message

    async def gather(self) -> None:
        """Let two honest founders join."""
        self.requests[self.founder.identity.node] = self.founder.request(b"")
        self.hosts = [await self.join(number) for number in (1, 2)]

    async def join(self, number: int) -> Host:
        """Start an honest founder, and take its request."""
        genesis, identity = self.founder.genesis, self.founder.identity
        ticket = Ticket(self.founder.network, genesis.name, "node", True, b"", (), b"invite")
        welcome = Welcome(
            codec.encode(genesis), (), identity.node, b"", b"", self.peers.addresses, ()
        )
        setup = setups.join(self.stage.wanted(number), ticket, welcome)
        host = await self.stage.launch(setup)
        node, message = await self.hear(FoundingJoin)
        assert isinstance(message, FoundingJoin)
        self.requests[node] = message.request
        return host

    def record(self) -> EpochRecord:
        """The record 0 that an honest first node would propose."""
        secrets = EpochSecrets(self.secret, PARAMETERS.coin_length)
        seats = [self.founder.seat(request) for request in self.requests.values()]
        return rules.record_zero(
            self.founder.genesis,
            self.founder.network,
            seats,
            secrets.coin.anchor,
            secrets.epoch_key.public,
            [],
        )

    def propose(self, host: Host, record: EpochRecord, sealed: bytes = b"") -> None:
        """Send a proposal to one founder; its secret is well sealed unless given."""
        setup = host.node.setup
        sealed = sealed or seal_to_seat(
            self.secret, setup.identity.sealing.public, self.founder.network, 0
        )
        proposal = FoundingProposal(codec.encode(record), tuple(self.requests.values()), sealed)
        assert self.peers.send(setup.identity.node, encode_message(proposal))

    async def refusal_of(self, host: Host) -> str:
        """What a founder says when it refuses; it says the same to its own operator, and ends."""
        node, message = await self.hear(FoundingRefusal, FoundingSignature)
        assert node == host.node.setup.identity.node
        assert isinstance(message, FoundingRefusal), "it signed"
        await host.ended.wait()
        assert str(host.fault) == message.reason
        return message.reason


@asynccontextmanager
async def hostile_first(directory: Path, **options: object) -> AsyncIterator[FirstNode]:
    async with stage(directory) as built:
        founding = Founding(
            **{"name": "stage", "app": "rooms", "founders": 3, "parameters": PARAMETERS} | options
        )
        setup = setups.found(built.wanted(0), founding, unix_ms())
        peers = PeerNetwork(
            key_seed=setup.identity.signing_seed,
            attestor=setup.attestor(unix_ms),
            network_id=setup.network,
        )
        await built.nursery.start(peers.run)
        founder = Founder(
            genesis=setup.genesis,
            network=setup.network,
            identity=setup.identity,
            attestor=setup.attestor(unix_ms),
            addresses=peers.addresses,
            client_addresses=(),
            send_frame=peers.send,
            report=lambda _: None,
        )
        first = FirstNode(built, founder, peers)
        await first.gather()
        yield first


def replacing(**changes: object) -> Callable[[EpochRecord], EpochRecord]:
    return lambda record: msgspec.structs.replace(record, **changes)


async def test_a_first_node_that_proposes_wrong_recovery_shares_gets_no_signature(tmp_path: Path):
    governors = tuple(SigningKey(bytes([number]) * 32).public for number in (1, 2, 3))
    group = msgspec.structs.replace(PARAMETERS, at_rest="group")
    options = {"parameters": group, "governors": governors, "governor_threshold": 2}
    async with hostile_first(tmp_path, **options) as first:
        record = first.record()
        first.propose(first.hosts[0], record)
        assert "lacks recovery shares" in await first.refusal_of(first.hosts[0])
        one_of_three = boxes(first.secret, governors, 1)
        first.propose(first.hosts[1], replacing(shares=one_of_three)(record))
        assert "not those of the secret" in await first.refusal_of(first.hosts[1])


DISHONEST = {
    "coin": (replacing(coin_anchor=b"c" * 32), "coin anchor"),
    "epoch-key": (replacing(epoch_key=hpke.PrivateKey(b"e" * 32).public), "epoch key"),
    "policy": (replacing(policy_digest=b"p" * 32), "does not follow from the genesis"),
    "governors": (replacing(governors=(b"g" * 32,)), "does not follow from the genesis"),
    "fewer-seats": (lambda r: replacing(seats=r.seats[:2])(r), "2 founders"),
    "swapped-seats": (
        lambda r: replacing(seats=(r.seats[0], r.seats[2], r.seats[1]))(r),
        "not what their evidence earns",
    ),
    "bought-platform": (
        lambda r: replacing(
            seats=(*r.seats[:2], msgspec.structs.replace(r.seats[2], platform_id=b"p" * 32))
        )(r),
        "not what their evidence earns",
    ),
}


@pytest.mark.parametrize(("lie", "said"), DISHONEST.values(), ids=DISHONEST)
async def test_a_first_node_that_proposes_a_lie_gets_no_signature(
    tmp_path: Path, lie: Callable[[EpochRecord], EpochRecord], said: str
):
    async with hostile_first(tmp_path) as first:
        first.propose(first.hosts[0], lie(first.record()))
        assert said in await first.refusal_of(first.hosts[0])
        assert first.hosts[0].node.setup.record is None


async def test_garbage_sealed_to_one_founder_leaves_the_other_without_a_record(tmp_path: Path):
    async with hostile_first(tmp_path) as first:
        deceived, other = first.hosts
        record = first.record()
        first.propose(deceived, record, os.urandom(80))
        assert "does not open" in await first.refusal_of(deceived)
        first.propose(other, record)
        node, message = await first.hear(FoundingSignature)
        assert isinstance(message, FoundingSignature)
        signatures = {
            0: first.founder.identity.signing.sign(record_signed_bytes(codec.encode(record))),
            record.committee().index_of(node): message.signature,
        }
        incomplete = SignedEpochRecord(codec.encode(record), tuple(sorted(signatures.items())))
        first.peers.send(node, encode_message(FoundingComplete(incomplete)))
        await other.ended.wait()
        assert "not signed by all founders" in str(other.fault)
        assert not (other.node.setup.home.directory / "networks").exists()


async def test_a_founder_that_signed_one_record_signs_no_other(tmp_path: Path):
    async with hostile_first(tmp_path) as first:
        host = first.hosts[0]
        first.propose(host, first.record())
        await first.hear(FoundingSignature)
        first.secret = os.urandom(32)
        first.propose(host, first.record())
        with trio.move_on_after(0.5):
            await first.hear(FoundingSignature)
            pytest.fail("it signed a second record")
        await host.stop()
        again = await first.join(1)
        first.propose(again, first.record())
        await again.ended.wait()
        assert "already signed another founding" in str(again.fault)


async def test_an_honest_hand_completes_the_same_founding(tmp_path: Path):
    """What the dishonest ones are measured against: nothing else keeps a record from coming."""
    async with hostile_first(tmp_path) as first:
        record = first.record()
        data = codec.encode(record)
        signatures = {0: first.founder.identity.signing.sign(record_signed_bytes(data))}
        for host in first.hosts:
            first.propose(host, record)
            node, message = await first.hear(FoundingSignature)
            assert isinstance(message, FoundingSignature)
            signatures[record.committee().index_of(node)] = message.signature
        signed = SignedEpochRecord(data, tuple(sorted(signatures.items())))
        for host in first.hosts:
            complete = encode_message(FoundingComplete(signed))
            first.peers.send(host.node.setup.identity.node, complete)
            await host.ready.wait()
            assert host.node.setup.record is not None


@asynccontextmanager
async def honest_first(directory: Path) -> AsyncIterator[tuple[Stage, Ticket]]:
    """A real first node that waits for one more founder, and its node ticket."""
    async with stage(directory) as built:
        founding = Founding("stage", "rooms", 2, PARAMETERS)
        built.hosts.append(await built.launch(setups.found(built.wanted(0), founding, unix_ms())))
        ticket = built.hosts[0].node.tickets()[1]
        assert ticket is not None
        yield built, ticket


async def join(built: Stage, number: int, ticket: Ticket) -> Host:
    welcome = await welcome_of(ticket)
    return await built.launch(setups.join(built.wanted(number), ticket, welcome))


async def test_a_wrong_invite_is_refused_and_the_right_one_still_joins(tmp_path: Path):
    async with honest_first(tmp_path) as (built, ticket):
        wrong = await join(built, 1, msgspec.structs.replace(ticket, secret=b"wrong"))
        await wrong.ended.wait()
        assert "invite is not this network's" in str(wrong.fault)
        assert any("invite" in line for line in built.hosts[0].progress)
        built.hosts.append(await join(built, 2, ticket))
        await built.all_vote()


async def test_two_founders_on_one_platform_are_refused(tmp_path: Path):
    async with honest_first(tmp_path) as (built, ticket):
        twin = built.wanted(1)
        twin.directory.mkdir(parents=True)
        shutil.copytree(tmp_path / "node-0" / "platform", twin.directory / "platform")
        welcome = await welcome_of(ticket)
        same_vendor = setups.Wanted(twin.directory, twin.listen, "sim-a", twin.map_bytes)
        host = await built.launch(setups.join(same_vendor, ticket, welcome))
        await host.ended.wait()
        assert "one platform, which has one vote" in str(host.fault)
        built.hosts.append(await join(built, 2, ticket))
        await built.all_vote()


async def test_a_ticket_for_members_or_of_another_network_founds_nothing(tmp_path: Path):
    async with honest_first(tmp_path) as (built, ticket):
        welcome = await welcome_of(ticket)
        for changes, said in (
            ({"role": "member"}, "member's ticket"),
            ({"network": b"x" * 32}, "not of the ticket's network"),
        ):
            with pytest.raises(MemberFault, match=said):
                setups.join(built.wanted(1), msgspec.structs.replace(ticket, **changes), welcome)


async def test_a_folder_that_signed_another_founding_of_a_network_takes_part_in_none(
    tmp_path: Path,
):
    async with honest_first(tmp_path) as (built, ticket):
        welcome = await welcome_of(ticket)
        setup = setups.join(built.wanted(1), ticket, welcome)
        setup.home.mark_signed(setup.network, b"d" * 32)
        host = await built.launch(setup)
        await host.ended.wait()
        assert isinstance(host.fault, LocalFault)
        assert "already signed another founding" in str(host.fault)
        await eventually(lambda: "2 of 2 founders are here" in built.hosts[0].progress)
        assert not built.hosts[0].ready.is_set()


async def test_a_folder_joins_no_network_that_it_holds(tmp_path: Path):
    async with stage(tmp_path) as built:
        await built.found(2)
        ticket = built.hosts[0].node.tickets()[1]
        assert ticket is not None
        welcome = await welcome_of(ticket)
        with pytest.raises(LocalFault, match="holds that network already"):
            setups.join(built.wanted(1), ticket, welcome)
