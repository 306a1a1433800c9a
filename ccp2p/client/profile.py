"""A member's own folder: networks joined and keys held.

Keys and tickets are files that only their owner can read; names are the file names.
"""

import os
import re
from contextlib import suppress
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

    def option_for(self, name: str) -> str:
        """What a command line needs to mean this network: nothing, where it is the only one."""
        return f" --network {name}" if len(self.networks()) > 1 else ""

    def name_for(self, ticket: Ticket, name: str | None) -> str:
        """The local name of a ticket's network: its old one, else `name` or a free one.

        MemberFault when the name is another network's here, or is none.
        """
        for known, held in self.networks().items():
            if held.network == ticket.network:
                name = name or known
        name = name or _free_name(ticket.name, set(self.networks()))
        _check_name(name)
        other = self.networks().get(name)
        if other is not None and other.network != ticket.network:
            raise MemberFault("network", f"{name!r} is another network here; choose --as NAME")
        return name

    def add_network(self, ticket: Ticket, name: str | None) -> str:
        """Keep a ticket under a name; joining a network again replaces its ticket."""
        name = self.name_for(ticket, name)
        _write(self._ticket_path(name), format_ticket(ticket).encode())
        return name

    def remove_network(self, name: str) -> None:
        """Forget a network that was joined; the members' keys stay."""
        _remove(self._ticket_path(name))

    def has_member(self, name: str | None) -> bool:
        """Whether a member's key was made before."""
        return self._key_path(name).exists()

    def remove_member(self, name: str | None) -> None:
        """Forget a key for good; only for one that no network knows."""
        path = self._key_path(name)
        _remove(path)
        with suppress(OSError):  # other keys are there
            path.parent.rmdir()

    def member(self, name: str | None) -> SigningKey:
        """A member's key; made on first use."""
        path = self._key_path(name)
        if not path.exists():
            _write(path, os.urandom(32))
        seed = path.read_bytes()
        if len(seed) != 32:
            raise LocalFault("member-key", f"{path} is damaged")
        return SigningKey(seed)

    def held_member(self, name: str | None) -> SigningKey:
        """A member's key that was made before; MemberFault says which there are.

        A mistyped name would come in as somebody new, who uses an invite up.
        """
        if not self.has_member(name):
            name = name or DEFAULT_MEMBER
            keys = sorted(path.stem for path in (self.folder / "members").glob("*.key"))
            known = ", ".join(keys) or f"none; `ccp2p inspect member {name}` makes one"
            raise MemberFault(
                "member", f"no key {name!r} here (have: {known}); --member chooses one"
            )
        return self.member(name)

    def approved_plan(self, network: bytes, epoch: int) -> bytes:
        """The digest of the recovery plan that was approved here for an epoch; empty: none."""
        path = self._plan_path(network, epoch)
        return path.read_bytes() if path.exists() else b""

    def keep_approved_plan(self, network: bytes, epoch: int, digest: bytes) -> None:
        """Remember that this plan was approved here: two that are carried out fork a network."""
        _write(self._plan_path(network, epoch), digest)

    def _plan_path(self, network: bytes, epoch: int) -> Path:
        return self.folder / "recoveries" / f"{network.hex()[:32]}-{epoch}.plan"

    def _ticket_path(self, name: str) -> Path:
        return self.folder / "networks" / f"{name}.ticket"

    def _key_path(self, name: str | None) -> Path:
        name = name or DEFAULT_MEMBER
        _check_name(name)
        return self.folder / "members" / f"{name}.key"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise MemberFault(
            "name",
            f"{name!r}: a local name has 1 to 64 letters, digits, dots, dashes and underscores, "
            "and begins with a letter or digit",
        )


def _free_name(wanted: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._") or "network"
    name, number = base[:48], 2
    while name in taken:
        name, number = f"{base[:48]}-{number}", number + 1
    return name


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise LocalFault("profile", f"{path} cannot be removed: {error.strerror}") from None


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
