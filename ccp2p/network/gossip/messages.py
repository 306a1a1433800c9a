"""What peers say to each other about announcements: typed and bounded, one message a frame."""

from ccp2p.model.codec import Wire

ID_BYTES = 32
MAX_ANNOUNCEMENT_BYTES = 256
MAX_IDS = 64  # that a peer may name in one heartbeat


class Announce(Wire, frozen=True, tag="announce"):
    """An announcement, whole."""

    data: bytes


class Have(Wire, frozen=True, tag="have"):
    """IHAVE: ids of announcements that the sender can give."""

    ids: tuple[bytes, ...]


class Want(Wire, frozen=True, tag="want"):
    """IWANT: ids of announcements that the sender asks for."""

    ids: tuple[bytes, ...]


class Graft(Wire, frozen=True, tag="graft"):
    """Send me every announcement at once from now on; I do the same."""


class Prune(Wire, frozen=True, tag="prune"):
    """No longer: name ids only, and do not ask again for a minute."""


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
