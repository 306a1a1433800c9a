"""A node's folder: its sealed identity, where it listens, and its networks, to be or founded.

Everything that names people or keys is sealed by the TEE; what is readable names neither. What is
of one network lies in a file or folder that is called by its id.
"""

import os
import socket
from pathlib import Path

from ccp2p.attestation.platforms.interface import Platform
from ccp2p.model import codec, hashing
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.node.quota import Quota
from ccp2p.sealing.identity import Identity

_IDENTITY = "identity.sealed"
_LISTEN = "listen"
_SIGNED = "signed"
_PREPARED = "prepared"
_HOSTED = "hosted"
_NETWORKS = "networks"
LOOPBACK = "127.0.0.1"

_IN_MEMORY = os.urandom(32)  # what a TEE without a sealing key (TDX, Nitro) has instead


class Listen(Wire, frozen=True):
    """Where to listen for nodes and for members; an empty host and port 0 leave it open."""

    host: str = ""
    node_port: int = 0
    client_port: int = 0

    def settled(self) -> "Listen":
        """This with free ports in place of open ones, so that addresses can be told beforehand.

        LocalFault when the host is not this machine's, or a port is taken.
        """
        host = self.host or LOOPBACK
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as node, socket.socket(family) as client:
                node.bind((host, self.node_port))
                client.bind((host, self.client_port))
                host, node_port = node.getsockname()[:2]
                return Listen(host, node_port, client.getsockname()[1])
        except (OSError, OverflowError) as error:
            raise LocalFault("listen", f"cannot listen on {host}: {error}") from None


def holds_node(directory: Path) -> bool:
    """Whether a node has its keys in this folder."""
    return (directory / _IDENTITY).exists()


class NodeHome:
    """Reads and writes one node's folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        except OSError as error:
            raise LocalFault(
                "data-folder", f"{directory} cannot be used: {error.strerror}"
            ) from None

    @property
    def platform_directory(self) -> Path:
        """Where a simulated chip keeps its secret."""
        return self.directory / "platform"

    @property
    def has_simulated_chip(self) -> bool:
        """Whether the node here runs on a simulated TEE."""
        return self.platform_directory.exists()

    def store_path(self, network: bytes) -> Path:
        """The database of one network."""
        return self.directory / _NETWORKS / network.hex()

    def networks(self) -> list[bytes]:
        """Ids of the networks that this folder holds."""
        return self._named(_NETWORKS)

    def prepared(self) -> list[bytes]:
        """Ids of the networks that the node here is about to found or to enter."""
        held = self.networks()
        return [network for network in self._named(_PREPARED) if network not in held]

    def _named(self, folder: str) -> list[bytes]:
        paths = (self.directory / folder).glob("[0-9a-f]*")
        return sorted(bytes.fromhex(path.name) for path in paths if not path.suffix)

    def _path(self, folder: str, network: bytes) -> Path:
        return self.directory / folder / network.hex()

    def identity(self, platform: Platform) -> Identity:
        """The node's keys: unsealed, or made on first use.

        Where the TEE keeps no key, those of an earlier process are lost, and new ones made.
        """
        key = sealing_key(platform, b"identity")
        path = self.directory / _IDENTITY
        if path.exists():
            try:
                return Identity.unseal(key, path.read_bytes())
            except LocalFault:
                if keeps_keys(platform):
                    raise
        identity = Identity(os.urandom(32), os.urandom(32))
        _write(path, identity.seal(key))
        return identity

    def listen(self, wanted: Listen, host: str = LOOPBACK) -> Listen:
        """The address used last time, where `wanted` leaves it open; `host` the first time."""
        path = self.directory / _LISTEN
        kept = Listen()
        if path.exists():
            kept = codec.decode(path.read_bytes(), Listen, 1024, LocalFault)
        return Listen(
            wanted.host or kept.host or host,
            wanted.node_port or kept.node_port,
            wanted.client_port or kept.client_port,
        )

    def keep_listen(self, listen: Listen) -> None:
        """Remember the ports, so that peers find this node where it was."""
        _write(self.directory / _LISTEN, codec.encode(listen))

    def preparation(self, network: bytes) -> bytes | None:
        """What `keep_preparation` kept, or None."""
        return _read(self._path(_PREPARED, network))

    def keep_preparation(self, network: bytes, sealed: bytes) -> None:
        """Remember a network to be founded or entered."""
        _write(self._path(_PREPARED, network), sealed)

    def drop_preparation(self, network: bytes) -> None:
        """Forget it; the network is founded, or never will be."""
        self._path(_PREPARED, network).unlink(missing_ok=True)

    def quota(self, network: bytes) -> Quota | None:
        """The bounds of a network that this node runs for others; None for its operator's own."""
        data = _read(self._path(_HOSTED, network))
        return None if data is None else codec.decode(data, Quota, 1024, LocalFault)

    def keep_quota(self, network: bytes, quota: Quota) -> None:
        """Remember that a network is run for others, and within which bounds."""
        _write(self._path(_HOSTED, network), codec.encode(quota))

    def drop_quota(self, network: bytes) -> None:
        """Run that network for others no more."""
        self._path(_HOSTED, network).unlink(missing_ok=True)

    def hosted(self) -> list[bytes]:
        """Ids of the networks that this node runs for others."""
        return self._named(_HOSTED)

    def mark_signed(self, network: bytes, digest: bytes) -> None:
        """Remember which record 0 of a network this node signed; LocalFault for another one."""
        path = self._path(_SIGNED, network)
        if path.exists() and path.read_bytes() != digest:
            raise LocalFault(
                "founding",
                f"this node already signed another founding; give it an empty folder ({path})",
            )
        _write(path, digest)


def keeps_keys(platform: Platform) -> bool:
    """Whether the TEE has a sealing key: without one a restart is a new node (design section 7)."""
    return platform.sealing_key(b"identity") is not None


def sealing_key(platform: Platform, context: bytes) -> bytes:
    """The TEE's sealing key (`at_rest = "self"`), or one that lives and ends with this process."""
    key = platform.sealing_key(context)
    return hashing.keyed(hashing.SEALING, _IN_MEMORY, context) if key is None else key


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _write(path: Path, data: bytes) -> None:
    """Replace a small file so that a crash leaves the old one or the new one."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
