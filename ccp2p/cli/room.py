"""`ccp2p room`: rooms and who is in them."""

from typing import Any

import click

from ccp2p.cli import console, session


@click.group()
def room() -> None:
    """Create, join and list rooms."""


def _name_option(command: Any) -> Any:
    return click.option(
        "--as",
        "display_name",
        type=console.NAME,
        help="Your name in the room. [default: your member key's start]",
    )(command)


@room.command("create")
@click.argument("name", type=console.NAME)
@click.option("--closed", is_flag=True, help="Only members whom you admit get in.")
@_name_option
@session.member_options
def room_create(name: str, closed: bool, display_name: str | None, **options: Any) -> None:
    """Create a room and own it."""
    console.run(lambda: _create(name, closed, display_name, options))


async def _create(
    name: str, closed: bool, display_name: str | None, options: dict[str, Any]
) -> None:
    from ccp2p.client import rooms
    from ccp2p.client.session import require_executed

    async with session.open_session(options, "rooms") as member:
        body = rooms.create(name, closed, display_name or _default_name(member))
        require_executed(await member.submit(body, session.timeout_ms(options)))
    _done(options, name, "owner", f"created {'closed ' if closed else ''}room {name}")


@room.command("join")
@click.argument("name", type=console.NAME)
@_name_option
@session.member_options
def room_join(name: str, display_name: str | None, **options: Any) -> None:
    """Join a room, or ask its owner to."""
    console.run(lambda: _join(name, display_name, options))


async def _join(name: str, display_name: str | None, options: dict[str, Any]) -> None:
    from ccp2p.client import rooms

    async with session.open_session(options, "rooms") as member:
        standing = await rooms.ask_join(
            member, name, display_name or _default_name(member), session.timeout_ms(options)
        )
    text = f"joined {name}"
    if standing == "pending":
        text = f"{name} is closed: its owner has to admit you (ccp2p room pending {name})"
    _done(options, name, standing, text)


@room.command("pending")
@click.argument("name", type=console.NAME)
@session.member_options
def room_pending(name: str, **options: Any) -> None:
    """Who waits to be admitted to your closed room."""
    console.run(lambda: _people(name, True, options))


@room.command("members")
@click.argument("name", type=console.NAME)
@session.member_options
def room_members(name: str, **options: Any) -> None:
    """Who is in a room."""
    console.run(lambda: _people(name, False, options))


async def _people(name: str, pending: bool, options: dict[str, Any]) -> None:
    from ccp2p.client import rooms

    async with session.open_session(options, "rooms") as member:
        people = await rooms.people(member, name, pending)
    rows = [{"member": p.member.hex(), "name": p.name, "standing": p.standing} for p in people]
    if options["as_json"]:
        console.emit({"schema": "room-people/1", "room": name, "people": rows})
        return
    for row in rows:
        console.show(f"{row['member']}  {row['standing']:8} {row['name']}")


@room.command("admit")
@click.argument("name", type=console.NAME)
@click.argument("member_key", type=console.TEXT)
@session.member_options
def room_admit(name: str, member_key: str, **options: Any) -> None:
    """Let a waiting member, named by key or by display name, into your closed room."""
    console.run(lambda: _admit(name, member_key, options))


async def _admit(name: str, wanted: str, options: dict[str, Any]) -> None:
    from ccp2p.client import rooms
    from ccp2p.client.session import require_executed
    from ccp2p.model.errors import MemberFault

    async with session.open_session(options, "rooms") as member:
        people = await rooms.people(member, name, True)
        found = [p for p in people if wanted in (p.name, p.member.hex())]
        if not found:
            raise MemberFault("not-pending", f"nobody called {wanted!r} waits at {name}")
        body = rooms.admit(name, found[0].member)
        require_executed(await member.submit(body, session.timeout_ms(options)))
    _done(options, name, "joined", f"admitted {found[0].name} to {name}")


@room.command("list")
@session.member_options
def room_list(**options: Any) -> None:
    """Rooms that you may know of."""
    console.run(lambda: _list(options))


async def _list(options: dict[str, Any]) -> None:
    from ccp2p.client import rooms

    async with session.open_session(options, "rooms") as member:
        found = await rooms.room_list(member)
    if options["as_json"]:
        rows = [
            {"room": r.room, "closed": r.closed, "standing": r.standing, "messages": r.messages}
            for r in found
        ]
        console.emit({"schema": "room-list/1", "rooms": rows})
        return
    if not found:
        console.say("no rooms yet: ccp2p room create NAME")
    for one in found:
        kind = "closed" if one.closed else "open"
        console.show(f"{one.room}  {kind}, {one.messages} messages, you: {one.standing}")


def _default_name(member: Any) -> str:
    return str(member.member.public.hex()[:12])


def _done(options: dict[str, Any], name: str, standing: str, text: str) -> None:
    if options["as_json"]:
        console.emit({"schema": "room/1", "room": name, "standing": standing})
    else:
        console.say(text)
