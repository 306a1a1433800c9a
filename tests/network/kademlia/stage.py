"""Many nodes of an overlay in one process, without IO: who is asked answers, or is not there."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import hashing
from ccp2p.model.errors import PeerFault
from ccp2p.network.addresses import format_address, parse_address
from ccp2p.network.announcement import Announcement
from ccp2p.network.kademlia.contacts import Contact, place_of
from ccp2p.network.kademlia.core import Asker, Kademlia
from ccp2p.network.kademlia.lookup import Lookup
from ccp2p.network.kademlia.messages import (
    Answer,
    Find,
    Found,
    Request,
    Store,
    Stored,
    decode_answer,
    decode_request,
    encode_message,
)
from ccp2p.network.kademlia.records import Record, Topic, make_record, network_topic

NOW_MS = 1_900_000_000_000
NETWORK = b"n" * 32
TOPIC = network_topic(NETWORK)


def key(number: int) -> bytes:
    return hashing.digest(hashing.NONCE, number.to_bytes(8, "big"))


def contact(number: int, host: str = "", port: int = 4001) -> Contact:
    """A node somewhere: every number has its own subnet unless `host` says otherwise."""
    host = host or f"{20 + number // 250 % 60}.{number % 250}.7.1"
    return Contact(key(number), format_address(host, port, key(number)))


def announcement(signing: SigningKey, host: str = "20.1.2.3", network: bytes = NETWORK):
    address = format_address(host, 4001, signing.public)
    return Announcement(network, "commons", "rooms", True, (address,), (address,))


@dataclass
class Node:
    """One node, honest unless a test overrides `answer`."""

    contact: Contact
    core: Kademlia

    def answer(self, request: Request, asker: Asker) -> Answer:
        return self.core.answer(request, asker, NOW_MS)


@dataclass
class Overlay:
    """All who are there, by address."""

    nodes: dict[str, Node] = field(default_factory=dict)
    asked: int = 0
    in_vain: int = 0
    in_vain_before_found: int = 0

    def add(self, one: Contact, kind: type[Node] = Node) -> Node:
        node = self.nodes[one.address] = kind(one, Kademlia(one.node))
        return node

    def ask(self, asker: Node, whom: Contact, request: Request) -> Answer | None:
        """What comes back over the wire; None when nobody with that key is there."""
        self.asked += 1
        node = self.nodes.get(whom.address)
        if node is None or node.contact.node != whom.node:
            self.in_vain += 1
            return None
        proven = Asker(asker.contact.node, parse_address(asker.contact.address).host)
        answer = node.answer(decode_request(encode_message(request)), proven)
        return decode_answer(encode_message(answer))

    def search(
        self, asker: Node, target: bytes, seeds: Iterable[Contact] = ()
    ) -> tuple[Lookup, list[Record]]:
        """A whole lookup of `asker`, three at a time, and the records that it brought."""
        lookup, records = asker.core.lookup(target, seeds), {}
        port = parse_address(asker.contact.address).port
        while not lookup.is_done:
            batch = []
            while (one := lookup.next()) is not None:
                batch.append(one)
            for one in batch:
                answer = self.ask(asker, one, Find(target, port))
                try:
                    if not isinstance(answer, Found):
                        raise PeerFault("silent", "nobody there")
                    contacts, found = asker.core.take(answer, target, one, NOW_MS)
                except PeerFault:
                    asker.core.table.failed(one.node)
                    lookup.failed(one)
                else:
                    asker.core.table.answered(one)
                    lookup.answered(one, contacts)
                    if found and not records:
                        self.in_vain_before_found = self.in_vain
                    records.update((record.node, record) for record in found)
        return lookup, list(records.values())

    def enter(self, node: Node, bootstrap: Contact) -> None:
        """What a node does when it comes: look for itself; others try who asked them."""
        self.search(node, place_of(node.contact.node), [bootstrap])
        for other in tuple(self.nodes.values()):
            while (asker := other.core.untried()) is not None:
                if asker.address in self.nodes:
                    other.core.table.answered(asker)

    def publish(self, author: Node, signing: SigningKey, topic: Topic, said: Announcement) -> int:
        """Store a record with those nearest to its key; how many keep it."""
        signed = make_record(topic, said, signing.sign, NOW_MS)
        lookup, _ = self.search(author, topic.key)
        answers = [self.ask(author, one, Store(signed)) for one in lookup.closest()]
        return sum(isinstance(one, Stored) and not one.refusal for one in answers)


def grown(count: int, randomness: Random) -> tuple[Overlay, list[Node]]:
    """An overlay of so many nodes in as many subnets, each entered through an earlier one."""
    overlay, nodes = Overlay(), []
    for number in range(count):
        node = overlay.add(contact(number))
        if nodes:
            overlay.enter(node, randomness.choice(nodes).contact)
        nodes.append(node)
    return overlay, nodes
