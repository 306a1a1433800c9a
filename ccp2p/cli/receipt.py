"""`--receipt FILE` of commands that send events: wait for the proof, and keep it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session
from ccp2p.cli.progress import progress_bars

if TYPE_CHECKING:
    from ccp2p.client.receipts import Wait
    from ccp2p.client.session import MemberSession
    from ccp2p.execution.receipts import Receipt

_WAIT_MS = 120_000  # a checkpoint takes seconds; this is for networks that lost nodes


def file_option(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that names a new file; a usage error where none can be written."""
    return click.option(name, type=console.TARGET, callback=_new, help=text)


def receipt_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--receipt FILE`, for `order`."""
    text = "Wait for proof, and write it to this file (see `ccp2p inspect receipt`)."
    return file_option("--receipt", text)(command)


async def order(member: "MemberSession", body: bytes, options: dict[str, Any]) -> bytes:
    """Order an event; its answer, once the receipt is written if one is asked for."""
    from ccp2p.client import receipts
    from ccp2p.client.session import require_executed

    ordered = await receipts.order(member, body, session.timeout_ms(options))
    answer = require_executed(ordered.outcome)
    if options["receipt"] is not None:
        console.say("committed; waiting for the proof (to interrupt loses only the proof)")
        with waiting() as wait:
            receipt = await receipts.fetch(member, ordered, wait)
        keep(receipt, options["receipt"])
    return answer


@contextmanager
def waiting() -> Iterator["Wait"]:
    """Says on stderr that a checkpoint is waited for, and how far it is."""
    from ccp2p.client.receipts import Wait

    total = 0
    with progress_bars() as advance:

        def progress(left: int) -> None:
            nonlocal total
            if not total:
                total = left or 1
                console.say(f"waiting for a certified checkpoint, at most {left} commits away")
            advance("checkpoint", total - left, total)

        yield Wait(_WAIT_MS, progress)


def keep(receipt: "Receipt", file: Path) -> None:
    """Write a receipt; it shows what its event said, so only its owner may read it."""
    from ccp2p.execution.receipts import format_receipt
    from ccp2p.model.errors import LocalFault

    draft = file.with_name(file.name + ".new")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(format_receipt(receipt))
        draft.replace(file)
    except OSError as error:
        raise LocalFault("receipt", f"{file} cannot be written: {error.strerror}") from None
    console.say(f"receipt written; look at it with: ccp2p inspect receipt {file}")


def _new(_context: click.Context, _parameter: click.Parameter, file: Path | None) -> Path | None:
    if file is not None and file.exists():  # it may be a proof that nobody can make again
        raise click.BadParameter(f"{file} exists already")
    return file
