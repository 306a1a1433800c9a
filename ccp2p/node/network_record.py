"""What a node keeps of its network besides the log: genesis, epoch records, secret, addresses.

It lies in the store's metadata under the TEE's own sealing key. With `at_rest = "group"` the secret
is not in it: what else is on the disk is under that secret (`at_rest`).
"""

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace

from ccp2p.membership.roster import Roster
from ccp2p.model import codec
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import SignedEpochRecord, parse_record, record_digest
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import parse_genesis
from ccp2p.storage.store import Batch, Store


class NodeAddresses(Wire, frozen=True):
    """Where one node listens, for nodes and for clients."""

    node: bytes
    peers: tuple[str, ...]
    clients: tuple[str, ...]


class NetworkRecord(Wire, frozen=True):
    """Everything a restart needs. Invites are known to the first node only; empty elsewhere.

    `records` is the chain from record 0 to this node's epoch, whose secret is `secret`; empty while
    a node that starts has yet to be given it.
    """

    NAME: ClassVar[str] = "network"  # in the store's sealed metadata
    genesis: bytes
    records: tuple[SignedEpochRecord, ...]
    secret: bytes
    addresses: tuple[NodeAddresses, ...]
    member_invite: bytes
    node_invite: bytes

    @property
    def signed(self) -> SignedEpochRecord:
        """The record of this node's epoch."""
        return self.records[-1]

    def since(self, digest: bytes) -> tuple[SignedEpochRecord, ...]:
        """The chain from the record with this digest, or all of it when there is none.

        Who follows knows one of the newest, so the search begins there.
        """
        if not digest:
            return self.records
        for place in reversed(range(len(self.records))):
            if record_digest(self.records[place].record) == digest:
                return self.records[place:]
        return self.records

    def followed_by(
        self, signed: SignedEpochRecord, secret: bytes, addresses: tuple[NodeAddresses, ...]
    ) -> "NetworkRecord":
        """This record in the next epoch."""
        return replace(self, records=(*self.records, signed), secret=secret, addresses=addresses)

    def kept(self) -> bytes:
        """The form for the disk."""
        seats = len(parse_record(self.signed.record).seats)
        is_of_group = parse_genesis(self.genesis).parameters.keeps_group(seats)
        return codec.encode(replace(self, secret=b"") if is_of_group else self)

    def batch(self, meta: Mapping[str, bytes]) -> Batch:
        """What persists this together with other metadata."""
        return Batch(epoch=0, meta={**meta, self.NAME: self.kept()})

    def save(self, store: Store, meta: Mapping[str, bytes] | None = None) -> None:
        """Persist, durably, together with other metadata."""
        store.write(self.batch(meta or {}))

    @classmethod
    def load(cls, store: Store) -> "NetworkRecord":
        """Read it again; LocalFault when the store holds none."""
        data = store.meta(cls.NAME)
        if data is None:
            raise LocalFault(
                "founding", "this folder's founding never finished; start from an empty folder"
            )
        return codec.decode(data, cls, len(data), LocalFault)


def known_addresses(record: NetworkRecord, roster: Roster) -> tuple[NodeAddresses, ...]:
    """Where the nodes of the roster listen: as they said when they joined, or at the founding."""
    kept = {one.node: one for one in record.addresses}
    found = []
    for member in (*roster.members, *roster.observers):
        if member.addresses:
            found.append(NodeAddresses(member.node, member.addresses, member.client_addresses))
        elif member.node in kept:
            found.append(kept[member.node])
    return tuple(found)
