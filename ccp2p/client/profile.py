"""A member's own folder: networks joined and keys held.

Keys and tickets are files that only their owner can read; names are the file names.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.ticket import Ticket, format_ticket, parse_ticket

DEFAULT_MEMBER = "me"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def default_folder() -> Path:
    """`CCP2P_HOME`, or the platform's folder for a program's data."""
    return Path(os.environ.get("CCP2P_HOME") or platformdirs.user_data_dir("ccp2p"))


@dataclass(frozen=True, slots=True)
class Profile:
    """Reads and writes the folder."""

    folder: Path

    def networks(self) -> dict[str, Ticket]:
        """Networks joined, by local name."""
        files = sorted((self.folder / "networks").glob("*.ticket"))
        return {path.stem: parse_ticket(path.read_text()) for path in files}

    def network(self, name: str | None) -> tuple[str, Ticket]:
        """One network: the named one, or the only one. MemberFault says what there is."""
        networks = self.networks()
        if name is not None and name in networks:
            return name, networks[name]
        if name is None and len(networks) == 1:
            return next(iter(networks.items()))
        known = ", ".join(networks) or "none; join one with `ccp2p net join TICKET`"
        if name is None:
            raise MemberFault("network", f"choose a network with --network (joined: {known})")
        raise MemberFault("network", f"no network is called {name!r} here (joined: {known})")

    def add_network(self, ticket: Ticket, name: str | None) -> str:
        """Keep a ticket under a name; joining a network again replaces its ticket."""
        for known, held in self.networks().items():
            if held.network == ticket.network:
                name = name or known
        name = name or _free_name(ticket.name, set(self.networks()))
        _check_name(name)
        held = self.networks().get(name)
        if held is not None and held.network != ticket.network:
            raise MemberFault("network", f"{name!r} is another network here; choose --as NAME")
        _write(self.folder / "networks" / f"{name}.ticket", format_ticket(ticket).encode())
        return name

    def member(self, name: str | None) -> SigningKey:
        """A member's key; made on first use."""
        name = name or DEFAULT_MEMBER
        _check_name(name)
        path = self.folder / "members" / f"{name}.key"
        if not path.exists():
            _write(path, os.urandom(32))
        seed = path.read_bytes()
        if len(seed) != 32:
            raise LocalFault("member-key", f"{path} is damaged")
        return SigningKey(seed)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise MemberFault(
            "name", f"{name!r}: a local name has letters, digits, dot, dash and underscore only"
        )


def _free_name(wanted: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._") or "network"
    name, number = base[:48], 2
    while name in taken:
        name, number = f"{base[:48]}-{number}", number + 1
    return name


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(path.name + ".new")
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError as error:
        raise LocalFault("profile", f"{path} cannot be written: {error.strerror}") from None
