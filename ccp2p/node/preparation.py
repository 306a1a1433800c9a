"""What a folder keeps of each network that its node is about to found or to enter.

Written before the node says a word, so that tickets outlive a restart; gone once the node is in.
It holds invite secrets, so the TEE seals it.
"""

from ccp2p.attestation.platforms.interface import Platform
from ccp2p.crypto import aead
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import network_id
from ccp2p.model.ticket import Ticket
from ccp2p.node.home import NodeHome, sealing_key

_ALGORITHM = "xchacha20"
_ASSOCIATED = b"ccp2p founding"


class Preparation(Wire, frozen=True):
    """The first node has the invites' secrets; the others their ticket, and whom to ask.

    `is_founded`: the network runs already, and this node is to enter it; `policy` is the one in
    force then, empty while it is the genesis's.
    """

    genesis: bytes
    member_invite: bytes = b""
    node_invite: bytes = b""
    ticket: Ticket | None = None
    first_addresses: tuple[str, ...] = ()
    is_founded: bool = False
    policy: str = ""

    def save(self, home: NodeHome, platform: Platform) -> None:
        """Keep it, in place of an earlier one."""
        key = sealing_key(platform, b"founding")
        sealed = aead.seal(_ALGORITHM, key, codec.encode(self), _ASSOCIATED)
        home.keep_preparation(network_id(self.genesis), sealed)

    @classmethod
    def load(cls, home: NodeHome, platform: Platform, network: bytes) -> "Preparation":
        """Read it again; LocalFault when there is none, or when another TEE sealed it."""
        sealed = home.preparation(network)
        if sealed is None:
            raise LocalFault("data-folder", f"{home.directory} holds no network")
        key = sealing_key(platform, b"founding")
        data = aead.open_one(_ALGORITHM, key, sealed, _ASSOCIATED)
        if data is None:
            raise LocalFault("wrong-key", f"{home.directory} was prepared by another TEE")
        return codec.decode(data, cls, limits.MAX_FRAME_BYTES, LocalFault)
