"""Errors that say whose fault they are.

Three faults, three classes: ours, a peer's, a member's. Each carries a short stable `code`
(a slug that tests, logs and JSON use) and a message that says what to do. A peer's or a member's
bytes may raise only their own class, and only up to the edge that read them.
"""

from pathlib import Path
from traceback import walk_tb
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
_PLACES_TOLD: Final = 4


class Fault(Exception):
    """Base of all ccp2p errors.

    `code` is a stable slug; `str(error)` is for people and never holds plaintext of an event.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LocalFault(Fault):
    """This machine, its configuration or its disk is at fault."""


class PeerFault(Fault):
    """Bytes or behaviour of another node are at fault."""


class MemberFault(Fault):
    """Bytes or behaviour of a member (or of the client that speaks for it) are at fault."""


class AttestationFault(PeerFault):
    """Evidence was refused; `reasons` holds every failed check."""

    def __init__(self, message: str, reasons: tuple[str, ...]) -> None:
        super().__init__("attestation", message)
        self.reasons = reasons


class Behind(AttestationFault):
    """A node does not know the newest record that the client trusts: it may yet catch up."""


class Unreachable(LocalFault):
    """No node answered."""

    def __init__(self, message: str) -> None:
        super().__init__("unreachable", message)


class NotCommitted(LocalFault):
    """The network did not commit an event in the time given; it may still do so."""

    def __init__(self, message: str) -> None:
        super().__init__("not-committed", message)


class Denied(MemberFault):
    """The network answered, and refused."""

    def __init__(self, message: str, code: str = "denied") -> None:
        super().__init__(code, message)


def fault_in(error: BaseException) -> Fault | None:
    """The first fault in `error` (a fault, or a group of nothing but faults); else None."""
    while isinstance(error, BaseExceptionGroup):
        if error.split(Fault)[1] is not None:
            return None
        error = error.exceptions[0]
    return error if isinstance(error, Fault) else None


def unexpected(error: BaseException) -> LocalFault:
    """An error that nobody expected as a fault that says where it arose, never its message."""
    return LocalFault(
        "internal", f"it failed: {origin(error)}; this is an error in ccp2p, report it"
    )


def origin(error: BaseException) -> str:
    """What an error that nobody expected is and where it arose, for the log.

    The innermost lines of our code that it went through; of a group, those of the first error that
    is no fault. Never its message, which may hold plaintext.
    """
    while isinstance(error, BaseExceptionGroup):
        unexpected = error.split(Fault)[1]
        error = (unexpected or error).exceptions[0]
    lines = [(Path(f.f_code.co_filename), number) for f, number in walk_tb(error.__traceback__)]
    ours = [(p.relative_to(_PACKAGE), n) for p, n in lines if p.is_relative_to(_PACKAGE)]
    places = ", ".join(f"{path}:{number}" for path, number in ours[-_PLACES_TOLD:])
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
