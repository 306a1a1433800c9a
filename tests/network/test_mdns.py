"""The local network is full of strangers: they are heard, and cost little, whatever they say."""

import os
import socket
from collections.abc import Callable

import pytest
import trio

from ccp2p.network.addresses import format_address
from ccp2p.network.announcement import SERVICE, Announcement, encode_announcement
from ccp2p.network.mdns import run_mdns

from .stage import eventually

LOOPBACK = ("127.0.0.1",)
GROUP = ("224.0.0.251", 5353)


def announcement(network: bytes, node: bytes | None = None) -> Announcement:
    """Of a node that listens nowhere."""
    node = node or os.urandom(32)
    client, peer = (format_address("127.0.0.1", port, node) for port in (4001, 4002))
    return Announcement(network, "home", "rooms", True, (client,), (peer,))


@pytest.fixture
def look(nursery) -> Callable[[bytes], list[Announcement]]:
    """Begin to look around; what was heard of one network so far."""

    def begin(network: bytes) -> list[Announcement]:
        heard: list[Announcement] = []

        def hear(other: Announcement) -> None:
            if other.network == network and other not in heard:
                heard.append(other)

        async def run() -> None:
            await run_mdns(hear, interfaces=LOOPBACK)

        nursery.start_soon(run)
        return heard

    return begin


def announce(nursery, announced: Announcement, hear=lambda _: None) -> None:
    async def run() -> None:
        await run_mdns(hear, announced, interfaces=LOOPBACK)

    nursery.start_soon(run)


def stranger() -> socket.socket:
    """Somebody on the network who sends what they like, from the port that answers come from."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    out.bind(("", GROUP[1]))
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    return out


def packets(name: str, text: bytes, server: str = "nobody.local.") -> list[bytes]:
    """A service of ours as a stranger answers it: pointer, place, text and address."""
    from zeroconf import DNSAddress, DNSOutgoing, DNSPointer, DNSService, DNSText
    from zeroconf.const import (
        _CLASS_IN,
        _FLAGS_QR_RESPONSE,
        _TYPE_A,
        _TYPE_PTR,
        _TYPE_SRV,
        _TYPE_TXT,
    )

    full = f"{name}.{SERVICE}"
    out = DNSOutgoing(_FLAGS_QR_RESPONSE)
    out.add_answer_at_time(DNSPointer(SERVICE, _TYPE_PTR, _CLASS_IN, 4500, full), 0)
    out.add_answer_at_time(DNSService(full, _TYPE_SRV, _CLASS_IN, 4500, 0, 0, 4001, server), 0)
    out.add_answer_at_time(DNSText(full, _TYPE_TXT, _CLASS_IN, 4500, text), 0)
    out.add_answer_at_time(DNSAddress(server, _TYPE_A, _CLASS_IN, 4500, b"\x7f\0\0\x01"), 0)
    return out.packets()


async def test_a_mesh_is_heard_of_by_who_looks_before_and_after_it_comes(nursery, look):
    network = os.urandom(32)
    early = look(network)
    here = announcement(network)
    announce(nursery, here)
    await eventually(lambda: early == [here])
    late = look(network)
    await eventually(lambda: late == [here])


async def test_two_nodes_hear_of_each_other_and_neither_of_itself(nursery):
    network = os.urandom(32)
    both = [announcement(network), announcement(network)]
    heard: list[set[Announcement]] = [set(), set()]

    def hear(place: int) -> Callable[[Announcement], None]:
        return lambda other: heard[place].add(other) if other.network == network else None

    for place, here in enumerate(both):
        announce(nursery, here, hear(place))
    await eventually(lambda: heard == [{both[1]}, {both[0]}])


async def test_a_name_that_another_claims_is_kept(nursery, look):
    """A stranger answers in our name, with other addresses: both are hints."""
    network = os.urandom(32)
    here = announcement(network)
    peer_id = here.clients[0].rsplit("/", 1)[1]
    with stranger() as out:
        for packet in packets(peer_id, encode_announcement(announcement(network))):
            out.sendto(packet, GROUP)
    announce(nursery, here)
    heard = look(network)
    await eventually(lambda: here in heard)


async def test_a_flood_of_names_and_lies_ends_nothing_and_is_not_kept(nursery, look):
    network = os.urandom(32)
    flooded = look(network)
    await trio.sleep(0.5)
    before_kb = resident_kb()
    with stranger() as out:
        for number in range(12_000):
            text = (b"\xff" + b"x" * 255) * 4
            for packet in packets(f"liar-{number}", text):
                out.sendto(packet, GROUP)
            if number % 20 == 0:  # no faster than they are taken
                out.sendto(os.urandom(1400), GROUP)
                await trio.sleep(0.002)
        for packet in packets("huge", (b"\xff" + b"x" * 255) * 30):
            out.sendto(packet, GROUP)
    here = announcement(network)
    announce(nursery, here)
    await eventually(lambda: flooded == [here])
    grown_mb = (resident_kb() - before_kb) / 1024
    assert grown_mb < 32, "12,000 lies kept would weigh some 50 MB"


async def test_well_formed_lies_are_heard_as_hints_only(nursery, look):
    network = os.urandom(32)
    lie = announcement(network)
    heard = look(network)
    await trio.sleep(0.5)
    with stranger() as out:
        for packet in packets("liar", encode_announcement(lie)):
            out.sendto(packet, GROUP)
        for packet in packets("\u2603" * 10, encode_announcement(lie)[:-3]):
            out.sendto(packet, GROUP)
    await eventually(lambda: heard == [lie])


def resident_kb() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
