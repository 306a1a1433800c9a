"""`ccp2p kv`: a shared key-value database."""

import sys
from typing import Any

import click

from ccp2p.cli import console, session


@click.group()
def kv() -> None:
    """Read and write a shared key-value database."""


@kv.command("put")
@click.argument("key", type=console.TEXT)
@click.argument("value", type=console.TEXT)
@session.member_options
def kv_put(key: str, value: str, **options: Any) -> None:
    """Set KEY to VALUE; `-` reads the value from stdin."""
    console.run(lambda: _put(key, value, options))


async def _put(key: str, value: str, options: dict[str, Any]) -> None:
    from ccp2p.client import kv as client

    data = sys.stdin.buffer.read() if value == "-" else value.encode()
    async with session.open_session(options) as member:
        await client.put(member, key.encode(), data, session.timeout_ms(options))
    if options["as_json"]:
        console.emit({"schema": "kv/1", "key": key, "bytes": len(data)})


@kv.command("get")
@click.argument("key", type=console.TEXT)
@session.member_options
def kv_get(key: str, **options: Any) -> None:
    """Print KEY's value; exit code 1 when there is none."""
    console.run(lambda: _get(key, options))


async def _get(key: str, options: dict[str, Any]) -> None:
    from ccp2p.client import kv as client

    async with session.open_session(options) as member:
        value = await client.get(member, key.encode())
    if options["as_json"]:
        shown = value.decode("utf-8", "replace") if value is not None else None
        encoded = value.hex() if value is not None else None
        console.emit({"schema": "kv/1", "key": key, "value": shown, "value_hex": encoded})
    elif value is not None and sys.stdout.isatty():
        console.show(value.decode("utf-8", "replace"))
    elif value is not None:
        sys.stdout.buffer.write(value + b"\n")
    if value is None:
        console.say(f"no such key: {key}")
        raise SystemExit(console.EXIT_FAILED)


@kv.command("del")
@click.argument("key", type=console.TEXT)
@session.member_options
def kv_del(key: str, **options: Any) -> None:
    """Remove KEY."""
    console.run(lambda: _del(key, options))


async def _del(key: str, options: dict[str, Any]) -> None:
    from ccp2p.client import kv as client

    async with session.open_session(options) as member:
        await client.delete(member, key.encode(), session.timeout_ms(options))
    if options["as_json"]:
        console.emit({"schema": "kv/1", "key": key, "deleted": True})


@kv.command("ls")
@click.argument("prefix", default="", type=console.TEXT)
@session.member_options
def kv_ls(prefix: str, **options: Any) -> None:
    """List keys that start with PREFIX."""
    console.run(lambda: _ls(prefix, options))


async def _ls(prefix: str, options: dict[str, Any]) -> None:
    from ccp2p.client import kv as client

    async with session.open_session(options) as member:
        keys = await client.keys(member, prefix.encode())
    shown = [key.decode("utf-8", "backslashreplace") for key in keys]
    if options["as_json"]:
        console.emit({"schema": "kv-list/1", "prefix": prefix, "keys": shown})
        return
    for key in shown:
        console.show(key)
