"""`ccp2p send`, `read` and `tail`: the messages of a room."""

import time
from functools import partial
from typing import Any

import click

from ccp2p.cli import console, receipt, session

_TAIL_INTERVAL_S = 0.5


@click.command()
@click.argument("room", type=console.NAME)
@click.argument("text", nargs=-1, required=True, type=console.TEXT)
@receipt.receipt_option
@session.member_options
def send(room: str, text: tuple[str, ...], **options: Any) -> None:
    """Send TEXT to ROOM; `-` reads it from stdin."""
    console.run(lambda: _send(room, " ".join(text), options))


async def _send(room: str, text: str, options: dict[str, Any]) -> None:
    from ccp2p.client import rooms

    if text == "-":
        text = console.read_stdin().rstrip("\n")
    async with session.open_session(options, "rooms") as member:
        answer = await receipt.order(member, rooms.post(room, text), options)
        position = rooms.posted_at(answer)
    if options["as_json"]:
        console.emit({"schema": "send/1", "room": room, "position": position})


@click.command()
@click.argument("room", type=console.NAME)
@click.option("--from", "start", type=click.IntRange(0), default=0, help="First position.")
@session.linearizable_option
@session.member_options
def read(room: str, start: int, **options: Any) -> None:
    """Print ROOM's messages, as one node knows them."""
    console.run(lambda: _read(room, start, options))


async def _read(room: str, start: int, options: dict[str, Any]) -> None:
    from ccp2p.client import rooms

    async with session.open_session(options, "rooms") as member:
        await session.pass_barrier(member, options)
        found = [message async for message in rooms.messages(member, room, start)]
    if options["as_json"]:
        console.emit({"schema": "read/1", "room": room, "messages": [_as_json(m) for m in found]})
        return
    for message in found:
        console.echo(_line(message))


@click.command()
@click.argument("room", type=console.NAME)
@partial(session.member_options, json_help="Each message as a JSON object on a line of stdout.")
def tail(room: str, **options: Any) -> None:
    """Follow ROOM's messages until Ctrl-C."""
    console.run(lambda: _tail(room, options))


async def _tail(room: str, options: dict[str, Any]) -> None:
    import trio

    from ccp2p.client import rooms

    async with session.open_session(options, "rooms") as member:
        position = 0
        while True:
            async for message in rooms.messages(member, room, position):
                if options["as_json"]:
                    console.emit({"schema": "message/1", "room": room, **_as_json(message)})
                else:
                    console.echo(_line(message))
                position = message.position + 1
            await trio.sleep(_TAIL_INTERVAL_S)


def _as_json(message: Any) -> dict[str, Any]:
    return {
        "position": message.position,
        "member": message.member.hex(),
        "name": message.name,
        "text": message.text,
        "time_ms": message.time_ms,
    }


def _line(message: Any) -> str:
    """A message for people; further lines of its text are indented, so that none looks like one."""
    at = time.strftime("%H:%M", time.localtime(message.time_ms / 1000))
    text = console.printable(message.text, "\t\n").replace("\n", "\n      ")
    return f"{at} <{console.printable(message.name, '')}> {text}"
