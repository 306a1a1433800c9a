"""Looking for a mesh on the local network, before a new node begins one of its own.

What is heard there is a hint. A mesh counts as found once one of its nodes has shown fresh evidence
that satisfies the mesh's policy, and the chain of epoch records behind it; and this node has to
satisfy that policy, too.
"""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from ccp2p.cli import console
from ccp2p.model import limits
from ccp2p.model.errors import Fault, Unreachable, fault_in

if TYPE_CHECKING:
    from ccp2p.attestation.policy import Policy
    from ccp2p.client.verification import VerifiedNode
    from ccp2p.model.member_protocol import Welcome
    from ccp2p.model.ticket import Ticket
    from ccp2p.network.announcement import Announcement
    from ccp2p.node.setup import Wanted

LOOK_S: Final = 3.0
_LOOK_FOR_NAMED_S: Final = 12.0  # more, for a mesh that has to be there
_GLANCE_S: Final = 0.1
_DIAL_MS: Final = 5_000
_ANSWER_S: Final = 5.0  # for those whose announcement was heard; they may be busy
_MIN_ID_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class Search:
    """What mesh will do: a named one, or any of this app whose policy is `policy`.

    `policy` None stands for simulated TEEs that run this program.
    """

    wanted: "Wanted"
    name: str | None
    app: str
    policy: "Policy | None"

    def may_be(self, announcement: "Announcement") -> bool:
        """Whether it is worth asking who announced this."""
        if self.name is not None:
            return self._is_called(announcement.name, announcement.network)
        is_simulated = self.policy is None or self.policy.is_simulated
        return (announcement.app, announcement.simulated) == (self.app, is_simulated)

    def fits(self, verified: "VerifiedNode") -> bool:
        """Whether a verified network is what was looked for."""
        genesis = verified.genesis
        if genesis.kind != "mesh":
            return False
        if self.name is not None:
            return self._is_called(genesis.name, verified.network)
        if self.policy is not None and self.policy.digest != verified.policy.digest:
            return False
        return genesis.app == self.app and (self.policy is not None or verified.policy.is_simulated)

    def _is_called(self, name: str, network: bytes) -> bool:
        wanted = self.name or ""
        by_id = len(wanted) >= _MIN_ID_CHARS and network.hex().startswith(wanted.lower())
        return by_id or name == wanted


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh that proved itself, and how to enter it."""

    ticket: "Ticket"
    welcome: "Welcome"
    seats: int


@dataclass(slots=True)
class _Look:
    """One look around: which nodes are asked, and what came of it."""

    search: Search
    nursery: trio.Nursery
    found: dict[bytes, Mesh] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)
    _asked: set[bytes] = field(default_factory=set)

    def hear(self, announcement: "Announcement") -> None:
        """Ask whoever announced a mesh that may do; each node once, and not too many."""
        if (
            announcement.node in self._asked
            or announcement.network in self.found
            or len(self._asked) >= limits.MESH_NODES_ASKED
            or not self.search.may_be(announcement)
        ):
            return
        self._asked.add(announcement.node)
        self.nursery.start_soon(self._ask, announcement)

    async def _ask(self, announcement: "Announcement") -> None:
        from ccp2p.client.connection import fetch_standing
        from ccp2p.node import setup

        for address in announcement.clients:
            try:
                welcome, verified = await fetch_standing(
                    address, announcement.network, allow_simulated=True, timeout_ms=_DIAL_MS
                )
                if not self.search.fits(verified):
                    return
                now_ms = time.time_ns() // 1_000_000
                await trio.to_thread.run_sync(
                    setup.require_accepted, self.search.wanted, welcome, now_ms
                )
                self.found[announcement.network] = _mesh(verified, welcome, address)
                return
            except (Fault, ExceptionGroup) as error:
                fault = fault_in(error)
                if fault is None:
                    raise
                self.refused[announcement.network] = f"{announcement.name}: {fault}"
                if not isinstance(fault, Unreachable):
                    return


async def find_mesh(search: Search) -> Mesh | None:
    """The mesh to join; None when there is none. Unreachable when a named one is not there.

    Of several the one with most seats, then the smallest id: whoever looks finds the same.
    """
    from ccp2p.network.mdns import run_mdns

    async def look_around() -> None:
        try:
            await run_mdns(look.hear)
        except Unreachable as fault:
            console.say(str(fault))

    with trio.move_on_after(LOOK_S + _LOOK_FOR_NAMED_S) as asking:
        async with trio.open_nursery() as nursery:
            look = _Look(search, nursery)
            async with trio.open_nursery() as listening:
                listening.start_soon(look_around)
                await trio.sleep(LOOK_S)
                while search.name is not None and not look.found:
                    await trio.sleep(_GLANCE_S)
                listening.cancel_scope.cancel()
            asking.deadline = trio.current_time() + _ANSWER_S
    _tell(look)
    found = sorted(look.found.values(), key=lambda mesh: (-mesh.seats, mesh.ticket.network))
    if search.name is not None and len(found) != 1:
        there = "several meshes are called that: name one by its id" if found else "no such mesh"
        raise Unreachable(f"{there} on the local network ({search.name})")
    return found[0] if found else None


def _mesh(verified: "VerifiedNode", welcome: "Welcome", address: str) -> Mesh:
    from ccp2p.model.ticket import Ticket

    ticket = Ticket(
        verified.network,
        verified.genesis.name,
        "node",
        verified.policy.is_simulated,
        verified.record_digest,
        (address,),
        b"",
        kind="mesh",
    )
    return Mesh(ticket, welcome, len(verified.record.seats))


def _tell(look: _Look) -> None:
    for network, reason in look.refused.items():
        if network not in look.found:
            console.say(f"not joined: {reason}")
    for mesh in look.found.values():
        network = mesh.ticket.network.hex()
        console.say(f"found the mesh {mesh.ticket.name} ({network[:16]}...), {mesh.seats} seat(s)")
    if len(look.found) > 1:
        console.say("to choose another of them: --mesh ID, in an empty folder")
