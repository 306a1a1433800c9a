"""How commands run and end: stdout for results, stderr for people, one exit code per end."""

import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ccp2p.model import limits
from ccp2p.model.errors import (
    AttestationFault,
    Denied,
    Fault,
    LocalFault,
    MemberFault,
    NotCommitted,
    Unreachable,
    fault_in,
    unexpected,
)

if TYPE_CHECKING:
    from rich.table import Table

SECRET = "-|@FILE|TICKET"  # how help shows an argument that `read_secret` reads

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_ATTESTATION = 1, 2, 3, 4
EXIT_NOT_COMMITTED, EXIT_DENIED, EXIT_INTERRUPTED = 5, 6, 130

SIMULATED_WARNING = "SIMULATED TEE: NOT CONFIDENTIAL. Whoever runs these machines can read all."
TEST_MESH = "TEST MESH"

_ANY_WIDTH = 10_000  # columns


def exit_code(fault: Fault) -> int:
    """The exit code that a fault ends with."""
    if isinstance(fault, Unreachable):
        return EXIT_UNREACHABLE
    if isinstance(fault, AttestationFault):
        return EXIT_ATTESTATION
    if isinstance(fault, NotCommitted):
        return EXIT_NOT_COMMITTED
    if isinstance(fault, Denied):
        return EXIT_DENIED
    return EXIT_USAGE if isinstance(fault, MemberFault) else EXIT_FAILED


def run(main: Callable[[], Awaitable[Any]], *, conceals: bool = False) -> Any:
    """Run `main` under trio; a Fault becomes a message on stderr and its exit code.

    SIGTERM ends it as Ctrl-C does, so that what it started and wrote is cleared away. What opens
    other people's events `conceals` what an error that nobody expected says, which may hold them.
    """
    import trio

    try:
        return trio.run(_until_sigterm, main)
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except (Exception, BaseExceptionGroup) as error:
        group = BaseExceptionGroup("", [error])
        if group.split(KeyboardInterrupt)[0]:
            raise SystemExit(EXIT_INTERRUPTED) from None
        asked = group.split((click.ClickException, click.Abort))[0]
        if asked is not None:
            raise _first(asked) from None
        if group.split(BrokenPipeError)[0]:  # as for `| head`: whoever read us has had enough
            _give_up_stdout()
            raise SystemExit(EXIT_FAILED) from None
        fault = fault_in(error)
        if fault is None and not conceals:
            raise
        fail(fault or unexpected(error))


def _first(error: BaseException) -> BaseException:
    """What a group of errors begins with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _until_sigterm(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main`; KeyboardInterrupt at SIGTERM.

    A job in the background of a script is deaf to Ctrl-C, and SIGTERM alone ends it: there it
    cancels. Else it interrupts, as Ctrl-C does, also what waits for a person's answer.
    """
    import trio

    with trio.CancelScope() as scope:
        token = trio.lowlevel.current_trio_token()

        def end(*_: object) -> None:
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                token.run_sync_soon(scope.cancel)
            else:
                signal.raise_signal(signal.SIGINT)

        earlier = signal.signal(signal.SIGTERM, end)
        try:
            return await main()
        finally:
            signal.signal(signal.SIGTERM, earlier)
    raise KeyboardInterrupt


def fail(fault: Fault) -> NoReturn:
    """Say what is wrong, and end."""
    say(f"error: {fault}")
    if isinstance(fault, AttestationFault):
        for reason in fault.reasons:
            say(f"  - {reason}")
    raise SystemExit(exit_code(fault))


def say(text: str) -> None:
    """A line for people."""
    click.echo(printable(text, "\t\n"), err=True)


def warn_simulated(kind: str) -> None:
    """The warning that every screen of a simulated network begins with."""
    say(f"{TEST_MESH}: {SIMULATED_WARNING}" if kind == "mesh" else SIMULATED_WARNING)


def show(text: str) -> None:
    """One line of a result; what others wrote into it cannot make two of it."""
    echo(printable(text, "\t"))


def echo(text: str | bytes, *, nl: bool = True) -> None:
    """Write to stdout, as all results are; LocalFault where that cannot be."""
    if sys.stdout is None:  # the process was started with it closed
        raise LocalFault("stdout", "stdout cannot be written: it is closed")
    try:
        click.echo(text, nl=nl)
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up_stdout()
        raise LocalFault("stdout", f"stdout cannot be written: {error.strerror}") from None


def _give_up_stdout() -> None:
    """Lose what is still unwritten, lest the interpreter try it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_table(table: "Table") -> None:
    """A table of a result: as wide as a terminal is, and whole for whoever pipes or keeps it."""
    from rich.console import Console

    there = Console()
    width = there.width if there.is_terminal else _ANY_WIDTH
    drawn = StringIO()
    Console(file=drawn, force_terminal=there.is_terminal, width=width).print(table)
    echo(drawn.getvalue(), nl=False)


def program() -> str:
    """How to call this program from another terminal: by its path, where its name is not enough.

    An activated virtual environment is this terminal's only.
    """
    if Path(sys.argv[0]).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m ccp2p"
    named = shutil.which("ccp2p")
    if named is not None and not named.startswith(sys.prefix):
        return "ccp2p"
    return shlex.quote(str(Path(sys.argv[0]).absolute()))


def printable(text: str, kept: str) -> str:
    """Others' text must not steer this terminal: controls become a mark, except those `kept`.

    Joiners stay: Persian and many an emoji are spelt with them, and they steer nothing.
    """
    kept += "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
    return "".join(c if c.isprintable() or c in kept else "\N{REPLACEMENT CHARACTER}" for c in text)


def emit(value: dict[str, Any]) -> None:
    """One JSON object on one line of stdout.

    In ASCII: others' text may hold what some readers take for the end of a line, or a terminal for
    a command, and the locale may lack the rest.
    """
    echo(json.dumps(value, separators=(",", ":")))


class _Text(click.ParamType):
    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail("it is not UTF-8", param, ctx)
        return value


TEXT = _Text()
"""An argument that goes to a network, so it has to be UTF-8; a path need not be."""


class _Name(_Text):
    """Text of one to `most` characters, or bytes of its UTF-8."""

    name = "name"

    def __init__(self, most: int, *, counts_bytes: bool = False) -> None:
        self._most = most
        self._counts_bytes = counts_bytes

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        length = len(text.encode() if self._counts_bytes else text)
        if not 1 <= length <= self._most:
            unit = "bytes" if self._counts_bytes else "characters"
            self.fail(f"it has 1 to {self._most} {unit}, not {length}", param, ctx)
        return text


NAME = _Name(limits.MAX_NAME_CHARS)
"""A room's name, or a member's name in it."""

KEY = _Name(limits.MAX_KV_KEY_BYTES, counts_bytes=True)
"""A key of the kv app."""


class _Target(click.Path):
    """A file to be written at the end: that it cannot be is told before the work."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.exists() and not os.access(path.absolute().parent, os.W_OK):
            self.fail(f"nothing can be written in {path.absolute().parent}", param, ctx)
        return path


TARGET = _Target(dir_okay=False, writable=True, path_type=Path)
"""An option that names a file to be written."""


def read_stdin() -> str:
    """All of stdin as text."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.BadParameter("what stdin gave is not UTF-8") from None


def read_text(path: Path) -> str:
    """All of a file as text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{path} holds no text") from None


def read_secret(text: str) -> str:
    """An argument that may be `-` (stdin) or a file, so that a secret stays out of `ps`."""
    if text == "-":
        return read_stdin().strip()
    if text.startswith("@"):
        return read_text(Path(text[1:])).strip()
    return text
