"""Where nodes of a network may be reached, and whom of them to ask. No IO.

Who tells an address may lie: strangers on the local network, a ticket, even an attested peer about
others. So an address is worth a dial and nothing more; what was attested at an address weighs more
than what was only heard, and neither can fill the book or the choice: a subnet has its share of
what is heard, and the nodes to ask are chosen from as many subnets, vendors and platforms as there
are. Whoever wants to surround a newcomer has to be everywhere.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from random import Random

from msgspec.structs import replace

from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.network.addresses import leads_to, subnet_of

META = "addresses"
"""Where the store keeps a book, sealed."""

OVERLAY_META = "contacts"
"""Where the store keeps contacts of the overlay, sealed."""


class Contact(Wire, frozen=True):
    """A node and its addresses, the best first. `vendor` and `platform` are of its last verdict.

    `attested_ms` is Unix time, 0 for one that was only heard of; `missed` counts dials in vain
    since it was last there.
    """

    node: bytes
    addresses: tuple[str, ...]
    attested_ms: int = 0
    vendor: str = ""
    platform: bytes = b""
    missed: int = 0


class AddressBook:
    """Contacts of one network, without our own; at most `limits.BOOK_NODES`."""

    def __init__(self, own: bytes, contacts: Iterable[Contact] = ()) -> None:
        self._own = own
        self._contacts: dict[bytes, Contact] = {}
        self._subnets: dict[bytes, str] = {}
        self._heard: Counter[str] = Counter()  # contacts that were only heard of, by subnet
        for one in contacts:
            self._keep(one.node, one)

    def __len__(self) -> int:
        return len(self._contacts)

    def addresses(self, node: bytes) -> tuple[str, ...]:
        """Where to dial a node, the best first."""
        contact = self._contacts.get(node)
        return contact.addresses if contact else ()

    def contact(self, node: bytes) -> Contact | None:
        """What is known of a node."""
        return self._contacts.get(node)

    def hear(self, node: bytes, addresses: Iterable[str]) -> bool:
        """Somebody says that a node listens there; whether that is news and was kept.

        Addresses where it was met stay in front.
        """
        found = tuple(text for text in addresses if leads_to(text, node))
        held = self._contacts.get(node, Contact(node, ()))
        merged = tuple(dict.fromkeys((*held.addresses, *found)))[: limits.BOOK_ADDRESSES]
        if node == self._own or not merged or merged == held.addresses:
            return False
        if node not in self._contacts and not self._make_room(merged[0]):
            return False
        self._keep(node, replace(held, addresses=merged))
        return True

    def met(self, node: bytes, address: str, vendor: str, platform: bytes, now_ms: int) -> None:
        """A node proved itself; `address` is where we dialled it, or empty when it came to us."""
        held = self._contacts.get(node)
        if node == self._own or (held is None and not address):
            return
        known = held.addresses if held else ()
        first = (address, *known) if address else known
        kept = tuple(dict.fromkeys(first))[: limits.BOOK_ADDRESSES]
        self._keep(node, None)
        if len(self._contacts) >= limits.BOOK_NODES:
            self._drop_one(self._contacts.values())
        self._keep(node, Contact(node, kept, now_ms, vendor, platform))

    def missed(self, node: bytes, address: str) -> None:
        """Nobody who is `node` answers at `address`: its other addresses come first now."""
        held = self._contacts.get(node)
        if held is not None:
            others = tuple(text for text in held.addresses if text != address)
            again = (address,) if address in held.addresses else ()
            missed = min(held.missed + 1, _MAX_MISSED)
            self._keep(node, replace(held, addresses=(*others, *again), missed=missed))

    def choose(self, count: int, among: Collection[bytes], randomness: Random) -> list[bytes]:
        """`count` nodes to ask, as different from each other as can be had.

        One after the other the one that shares least with those chosen before: subnet, vendor,
        platform; then chance. Every second one was met before, as long as there are such: any
        number of subnets can be claimed, and evidence cannot.
        """
        left = [one for node, one in self._contacts.items() if node in among]
        randomness.shuffle(left)
        seen: Counter[str | tuple[str, str | bytes]] = Counter()
        chosen: list[bytes] = []
        while left and len(chosen) < count:
            met = [one for one in left if one.attested_ms] if len(chosen) % 2 == 0 else []
            best = min(
                met or left, key=lambda one: (sum(seen[t] for t in self._traits(one)), one.missed)
            )
            left.remove(best)
            seen.update(self._traits(best))
            chosen.append(best.node)
        return chosen

    def encode(self) -> bytes:
        """For the store."""
        return codec.encode(tuple(self._contacts.values()))

    @classmethod
    def decode(cls, own: bytes, data: bytes | None) -> "AddressBook":
        """From the store; an empty one from None."""
        if data is None:
            return cls(own)
        return cls(own, codec.decode(data, tuple[Contact, ...], limits.MAX_FRAME_BYTES, LocalFault))

    def _make_room(self, address: str) -> bool:
        """Room for one that was only heard of: within its subnet's share, at the cost of its kind.

        False when there is none: hearsay drives out nobody who was met.
        """
        subnet = subnet_of(address)
        is_full = len(self._contacts) >= limits.BOOK_NODES
        if not is_full and self._heard[subnet] < limits.BOOK_SUBNET_NODES:
            return True
        if self._heard[subnet] < limits.BOOK_SUBNET_NODES:
            subnet = max(self._heard, key=lambda one: (self._heard[one], one), default="")
        heard = [
            one
            for one in self._contacts.values()
            if not one.attested_ms and self._subnets[one.node] == subnet
        ]
        if is_full or any(one.missed for one in heard):
            return self._drop_one(heard)
        return False

    def _drop_one(self, candidates: Iterable[Contact]) -> bool:
        """Forget the least useful of these; False when there is none."""
        worst = min(
            candidates,
            key=lambda one: (bool(one.attested_ms), -one.missed, one.attested_ms),
            default=None,
        )
        if worst is not None:
            self._keep(worst.node, None)
        return worst is not None

    def _keep(self, node: bytes, contact: Contact | None) -> None:
        """Put a contact in the place of what was known, or (None) of nothing."""
        before = self._contacts.pop(node, None)
        if before is not None:
            subnet = self._subnets.pop(node)
            if not before.attested_ms:
                self._heard[subnet] -= 1
                if not self._heard[subnet]:
                    del self._heard[subnet]
        if contact is not None:
            self._contacts[node] = contact
            subnet = self._subnets[node] = subnet_of(contact.addresses[0])
            if not contact.attested_ms:
                self._heard[subnet] += 1

    def _traits(self, one: Contact) -> list[str | tuple[str, str | bytes]]:
        """What it may share with others; nothing is known of the vendor of one only heard of."""
        traits: list[str | tuple[str, str | bytes]] = [self._subnets[one.node]]
        if one.attested_ms:
            traits += [("vendor", one.vendor), ("platform", one.platform)]
        return traits


_MAX_MISSED = 1000
