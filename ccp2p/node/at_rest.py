"""Under which key a node's disk is, epoch by epoch (design section 7).

With `at_rest = "self"` the TEE's own sealing key opens all of it. With `"group"` that key opens
only what a start needs before it has another: the chain of records, which is public, and addresses.
All else is under a key that follows from the secret of the epoch at hand, which lies on no disk: a
start asks attested peers for it. A committee of one has nobody to ask and is as under `"self"`, for
as long as it is one.
"""

from collections.abc import Mapping
from typing import Final

from ccp2p.membership.roster import Roster
from ccp2p.model import hashing
from ccp2p.model.epoch import EpochRecord, parse_record
from ccp2p.model.genesis import Parameters
from ccp2p.node import address_book
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing import shares
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.storage.lmdb_store import LmdbStore

KEPT: Final = (NetworkRecord.NAME, address_book.META, address_book.OVERLAY_META)
"""Metadata that stays under the TEE's own key."""


def shares_of(parameters: Parameters, secret: bytes, record: EpochRecord) -> tuple[bytes, ...]:
    """The recovery shares that a record of this secret must hold."""
    if not parameters.keeps_group(len(record.seats)):
        return ()
    return shares.boxes(secret, record.governors, record.governor_threshold)


def coming_shares(
    parameters: Parameters, record: EpochRecord, secret: bytes, roster: Roster
) -> tuple[bytes, ...]:
    """The same for the record to come, as the change under way in the epoch of `record` has it."""
    change, amended = roster.change, roster.amended
    if change is None or not parameters.keeps_group(len(change.members)):
        return ()
    if amended is not None and amended.governors and change.amendment == amended.digest:
        return shares.boxes(secret, amended.governors, amended.governor_threshold)
    return shares.boxes(secret, record.governors, record.governor_threshold)


class DiskKeys:
    """The keys of one node's disk. `own` (32 bytes) is the TEE's for this network."""

    def __init__(self, parameters: Parameters, node: bytes, own: bytes) -> None:
        self._parameters = parameters
        self._node = node
        self._own = own

    @property
    def are_shared(self) -> bool:
        """Whether the genesis says "group"."""
        return self._parameters.at_rest == "group"

    def is_of_group(self, record: EpochRecord) -> bool:
        """Whether the disk is under a key of the group in the epoch of `record`."""
        return self._parameters.keeps_group(len(record.seats))

    def unlock_alone(self, store: LmdbStore, record: EpochRecord) -> None:
        """Open a disk that needs nobody's help; one that does stays locked."""
        if self.are_shared and not self.is_of_group(record):
            store.unlock(self._of(record, b""))

    def unlock(self, store: LmdbStore, record: EpochRecord, secret: bytes) -> bool:
        """Open a disk by the secret of its epoch; False when it is not of this epoch."""
        return store.unlock(self._of(record, secret))

    def begin(self, store: LmdbStore, record: NetworkRecord) -> None:
        """Make the disk ready for all that belongs to the newest epoch on record, and empty it."""
        if self.are_shared:
            store.begin(self._of(parse_record(record.signed.record), record.secret))

    def turn(self, store: LmdbStore, record: NetworkRecord, meta: Mapping[str, bytes]) -> None:
        """Keep a record whose epoch begins, and everything under its key from then on."""
        batch = record.batch(meta)
        if self.are_shared and record.secret:
            store.turn(self._of(parse_record(record.signed.record), record.secret), batch)
        else:
            store.write(batch)

    def _of(self, record: EpochRecord, secret: bytes) -> bytes:
        if self.is_of_group(record):
            return EpochSecrets.disk_key(secret, self._node)
        return hashing.keyed(hashing.STORAGE, self._own, b"alone")
