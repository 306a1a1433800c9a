"""What a node keeps of its network besides the log: genesis, record 0, secret and addresses.

It lies in the store's sealed metadata, so the TEE's sealing key guards it (`at_rest = "self"`).
"""

from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import LocalFault
from ccp2p.storage.store import Batch, Store

_NAME = "network"


class NodeAddresses(Wire, frozen=True):
    """Where one node listens, for nodes and for clients."""

    node: bytes
    peers: tuple[str, ...]
    clients: tuple[str, ...]


class NetworkRecord(Wire, frozen=True):
    """Everything a restart needs. Invites are known to the first node only; empty elsewhere."""

    genesis: bytes
    signed: SignedEpochRecord
    secret: bytes
    addresses: tuple[NodeAddresses, ...]
    member_invite: bytes
    node_invite: bytes

    def save(self, store: Store) -> None:
        """Persist, durably."""
        store.write(Batch(epoch=0, meta={_NAME: codec.encode(self)}))

    @classmethod
    def load(cls, store: Store) -> "NetworkRecord":
        """Read it again; LocalFault when the store holds none."""
        data = store.meta(_NAME)
        if data is None:
            raise LocalFault(
                "founding", "this folder's founding never finished; start from an empty folder"
            )
        return codec.decode(data, cls, limits.MAX_FRAME_BYTES, LocalFault)
