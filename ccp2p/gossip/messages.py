"""What peers say to each other about announcements: typed and bounded, one message a frame."""

from typing import ClassVar

from ccp2p.model.codec import Wire

ID_BYTES = 32
MAX_ANNOUNCEMENT_BYTES = 256
MAX_IDS = 64  # that a peer may name in one heartbeat


class Announce(Wire, frozen=True):
    """An announcement, whole."""

    kind: ClassVar[str] = "announce"
    data: bytes


class Have(Wire, frozen=True):
    """IHAVE: ids of announcements that the sender can give."""

    kind: ClassVar[str] = "have"
    ids: tuple[bytes, ...]


class Want(Wire, frozen=True):
    """IWANT: ids of announcements that the sender asks for."""

    kind: ClassVar[str] = "want"
    ids: tuple[bytes, ...]


class Graft(Wire, frozen=True):
    """Send me every announcement at once from now on; I do the same."""

    kind: ClassVar[str] = "graft"


class Prune(Wire, frozen=True):
    """No longer: name ids only, and do not ask again for a minute."""

    kind: ClassVar[str] = "prune"


Message = Announce | Have | Want | Graft | Prune


def are_bounded(message: Message) -> bool:
    """Whether a message that was read keeps the limits."""
    match message:
        case Announce(data):
            return len(data) <= MAX_ANNOUNCEMENT_BYTES
        case Have(ids) | Want(ids):
            return len(ids) <= MAX_IDS and all(len(one) == ID_BYTES for one in ids)
        case _:
            return True
