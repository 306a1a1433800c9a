"""The apps that a network can run, by the name that its genesis gives.

`*_protocol` modules are what clients import.
"""

from typing import Final

from ccp2p.execution.app import App
from ccp2p.execution.apps.kv import Kv
from ccp2p.execution.apps.rooms import Rooms

APPS: Final[dict[str, type[App]]] = {"kv": Kv, "rooms": Rooms}
