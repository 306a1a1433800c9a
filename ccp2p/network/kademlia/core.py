"""One node of the overlay without IO: it answers requests, and knows whom to ask for what. Pure."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from ccp2p.model import limits
from ccp2p.model.errors import PeerFault
from ccp2p.network.addresses import ANYWHERE, format_address, origin_of, scope_of
from ccp2p.network.kademlia.contacts import Contact, may_dial, place_of
from ccp2p.network.kademlia.lookup import Lookup
from ccp2p.network.kademlia.messages import Answer, Find, Found, Request, Stored
from ccp2p.network.kademlia.record_store import RecordStore
from ccp2p.network.kademlia.records import Record, SignedRecord, check_record
from ccp2p.network.kademlia.table import RoutingTable


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the key that its connection proved, and the IP address that it comes from.

    No address for one that comes through a relay: it is from anywhere, and cannot be asked.
    """

    node: bytes
    host: str

    def at(self, port: int) -> str:
        """Its multiaddress, if it listens there."""
        return format_address(self.host, port, self.node)


class Kademlia:
    """Table, records and answers of one node."""

    def __init__(self, own: bytes) -> None:
        """`own` is our node key."""
        self.own = own
        self.table = RoutingTable(own)
        self.records = RecordStore(place_of(own))
        self._untried: OrderedDict[bytes, Contact] = OrderedDict()

    def answer(self, request: Request, asker: Asker, now_ms: int) -> Answer:
        """Answer a request; PeerFault when it is one that nobody may make."""
        if isinstance(request, Find):
            if request.port and asker.host:
                self._hear(Contact(asker.node, asker.at(request.port)))
            scope = scope_of(asker.at(0)) if asker.host else ANYWHERE
            return Found(
                self.table.nearest(request.target, scope),
                self.records.get(request.target, now_ms),
            )
        record = check_record(request.record, now_ms)
        if record.node != asker.node:
            raise PeerFault("record", "somebody brings the record of another")
        return Stored(self.records.put(request.record, record, origin_of(asker.at(0))))

    def untried(self) -> Contact | None:
        """Somebody who asked us and says that it can be asked; each once."""
        return self._untried.popitem(last=False)[1] if self._untried else None

    def lookup(self, target: bytes, also: Iterable[Contact] = ()) -> Lookup:
        """A lookup that begins with our contacts, and with others that were found elsewhere."""
        return Lookup(target, self.own, (*self.table.nearest(target), *also))

    def take(
        self, found: Found, target: bytes, teller: Contact, now_ms: int
    ) -> tuple[list[Contact], list[Record]]:
        """The contacts and records of an answer that may be used.

        PeerFault on a record that is false: honest nodes check what they keep. What the teller may
        see otherwise than we do, an address or the time, is left out.
        """
        contacts = [one for one in found.contacts if may_dial(one, teller.address)]
        records = []
        for signed in found.records:
            try:
                record = check_record(signed, now_ms)
            except PeerFault as fault:
                if fault.code != "record-time":
                    raise
                continue
            if record.key != target:
                raise PeerFault("record", "a record of another key than was asked for")
            records.append(record)
        return contacts, records

    def kept(self, target: bytes, now_ms: int) -> list[Record]:
        """The records under a key that we keep ourselves."""
        return [check_record(signed, now_ms) for signed in self.records.get(target, now_ms)]

    def keep_own(self, signed: SignedRecord, now_ms: int) -> None:
        """Keep our own record among those that we give."""
        self.records.put(signed, check_record(signed, now_ms), "")

    def _hear(self, contact: Contact) -> None:
        if contact.node in self._untried or contact.node == self.own or contact in self.table:
            return
        while len(self._untried) >= limits.CONTACTS_UNTRIED:
            self._untried.popitem(last=False)
        self._untried[contact.node] = contact
