"""`ccp2p kv`: a shared key-value database."""

import sys
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, receipt, session

if TYPE_CHECKING:
    from ccp2p.client.session import MemberSession


@click.group()
def kv() -> None:
    """Read and write a shared key-value database."""


@kv.command("put")
@click.argument("key", type=console.KEY)
@click.argument("value", type=console.TEXT)
@receipt.receipt_option
@session.member_options
def kv_put(key: str, value: str, **options: Any) -> None:
    """Set KEY to VALUE; `-` reads the value from stdin."""
    console.run(lambda: _put(key, value, options))


async def _put(key: str, value: str, options: dict[str, Any]) -> None:
    from ccp2p.client import kv as client

    data = sys.stdin.buffer.read() if value == "-" else value.encode()
    async with session.open_session(options, "kv") as member:
        await receipt.order(member, client.put_body(key.encode(), data), options)
    if options["as_json"]:
        console.emit({"schema": "kv/1", "key": key, "bytes": len(data)})


@kv.command("get")
@click.argument("key", type=console.KEY)
@receipt.file_option(
    "--proof",
    "Read in the order of events, wait for proof, and write it to this file (see `ccp2p inspect "
    "receipt`).",
)
@session.linearizable_option
@session.member_options
def kv_get(key: str, **options: Any) -> None:
    """Print KEY's value; exit code 1 when there is none.

    It is one node's word. With --proof it is proven by a quorum, and as new as with --linearizable.
    """
    console.run(lambda: _get(key, options))


async def _get(key: str, options: dict[str, Any]) -> None:
    async with session.open_session(options, "kv") as member:
        value = await _value(member, key.encode(), options)
    if options["as_json"]:
        shown = value.decode("utf-8", "replace") if value is not None else None
        encoded = value.hex() if value is not None else None
        console.emit({"schema": "kv/1", "key": key, "value": shown, "value_hex": encoded})
    elif value is not None and sys.stdout.isatty():
        console.show(value.decode("utf-8", "replace"))
    elif value is not None:
        console.echo(value)
    if value is None:
        console.say(f"no such key: {key}")
        raise SystemExit(console.EXIT_FAILED)


async def _value(member: "MemberSession", key: bytes, options: dict[str, Any]) -> bytes | None:
    from ccp2p.client import kv as client

    if options["proof"] is None:
        await session.pass_barrier(member, options)
        return await client.get(member, key)
    with receipt.waiting() as wait:
        value, proof = await client.read_with_proof(member, key, session.timeout_ms(options), wait)
    receipt.keep(proof, options["proof"])
    return value


@kv.command("del")
@click.argument("key", type=console.KEY)
@session.member_options
def kv_del(key: str, **options: Any) -> None:
    """Remove KEY."""
    console.run(lambda: _del(key, options))


async def _del(key: str, options: dict[str, Any]) -> None:
    from ccp2p.client import kv as client

    async with session.open_session(options, "kv") as member:
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

    async with session.open_session(options, "kv") as member:
        keys = await client.keys(member, prefix.encode())
    shown = [key.decode("utf-8", "backslashreplace") for key in keys]
    if options["as_json"]:
        console.emit({"schema": "kv-list/1", "prefix": prefix, "keys": shown})
        return
    for key in shown:
        console.show(key)
