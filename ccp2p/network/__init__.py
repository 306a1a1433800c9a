"""Nodes and members talking over libp2p: the only place that knows py-libp2p.

`PeerNetwork` joins nodes over attested links; `ClientListener` and `connect` are the two sides of
a member's connection. Importing this is light: libp2p itself is loaded by what first needs it.
"""

from ccp2p.network.contract import (
    Attestor,
    Connected,
    Disconnected,
    Event,
    FrameReceived,
    PeerStatus,
)
from ccp2p.network.inbox import Inbox
from ccp2p.network.members import ClientListener, EndOfStream, FrameStream, connect
from ccp2p.network.peer import Timing
from ccp2p.network.peers import PeerNetwork
from ccp2p.network.reception import Reception

__all__ = [
    "Attestor",
    "ClientListener",
    "Connected",
    "Disconnected",
    "EndOfStream",
    "Event",
    "FrameReceived",
    "FrameStream",
    "Inbox",
    "PeerNetwork",
    "PeerStatus",
    "Reception",
    "Timing",
    "connect",
]
