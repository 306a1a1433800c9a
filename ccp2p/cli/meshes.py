"""Looking for a mesh, on the local network and beyond it, before a new node begins one of its own.

What is heard is a hint. A mesh counts as found once one of its nodes has shown fresh evidence
that satisfies the mesh's policy, and the chain of epoch records behind it; and this node has to
satisfy that policy, too.
"""

import time
from collections import Counter
from contextlib import suppress
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
    from ccp2p.network.kademlia.records import Topic
    from ccp2p.node.setup import Wanted

LOOK_S: Final = 3.0
_LOOK_FOR_NAMED_S: Final = 12.0  # more, for a mesh that has to be there
_GLANCE_S: Final = 0.1
_DIAL_MS: Final = 5_000
_ANSWER_S: Final = 5.0  # for those whose announcement was heard; they may be busy
_MIN_ID_CHARS: Final = 8
_ID_CHARS: Final = 64
_LOOK_BEYOND_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Search:
    """What mesh will do: a named one, or any of this app whose policy is `policy`.

    `policy` None stands for simulated TEEs that run this program. `bootstrap` are addresses to ask
    for meshes beyond the local network.
    """

    wanted: "Wanted"
    name: str | None
    app: str
    policy: "Policy | None"
    bootstrap: tuple[str, ...] = ()

    @property
    def topic(self) -> "Topic":
        """What to ask for beyond the local network: a mesh by its id, or all that would do."""
        from ccp2p.attestation.measurement import measurement
        from ccp2p.attestation.policy import parse_policy, simulated_policy
        from ccp2p.network.kademlia.records import meshes_topic, network_topic

        name = (self.name or "").lower()
        if len(name) == _ID_CHARS and not set(name) - set("0123456789abcdef"):
            return network_topic(bytes.fromhex(name))
        own = simulated_policy(self.wanted.measurement or measurement())
        return meshes_topic((self.policy or parse_policy(own)).digest, self.app)

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
    """One look around: which nodes are asked, and what came of it.

    One is judged at a time: the first time makes this node's keys.
    """

    search: Search
    nursery: trio.Nursery
    found: dict[bytes, Mesh] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)
    _asked: set[bytes] = field(default_factory=set)
    _origins: Counter[str] = field(default_factory=Counter)
    _judging: trio.Lock = field(default_factory=trio.Lock)

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

    def hear_from_beyond(self, announcement: "Announcement") -> None:
        """As `hear`, within the share of a subnet: there anybody has any number of keys."""
        from ccp2p.network.addresses import origin_of

        origin = origin_of(announcement.clients[0])
        if self._origins[origin] < limits.MESH_ORIGIN_ASKED or not origin:
            self._origins[origin] += 1
            self.hear(announcement)

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
                async with self._judging:
                    await trio.to_thread.run_sync(
                        setup.require_accepted,
                        self.search.wanted,
                        welcome.genesis,
                        welcome.policy,
                        _now_ms(),
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

    looked_beyond = trio.Event()

    async def look_beyond() -> None:
        with trio.move_on_after(_LOOK_BEYOND_S):
            await _look_beyond(search, look)
        looked_beyond.set()

    with trio.move_on_after(_LOOK_BEYOND_S + _LOOK_FOR_NAMED_S) as asking:
        async with trio.open_nursery() as nursery:
            look = _Look(search, nursery)
            async with trio.open_nursery() as listening:
                listening.start_soon(look_around)
                listening.start_soon(look_beyond)
                await trio.sleep(LOOK_S)
                await looked_beyond.wait()
                while search.name is not None and not look.found:
                    await trio.sleep(_GLANCE_S)
                listening.cancel_scope.cancel()
            asking.deadline = trio.current_time() + _ANSWER_S
    _tell(look)
    found = sorted(look.found.values(), key=lambda mesh: (-mesh.seats, mesh.ticket.network))
    if search.name is not None and len(found) != 1:
        there = "several meshes are called that: name one by its id" if found else "no such mesh"
        where = "here or beyond" if search.bootstrap else "on the local network"
        raise Unreachable(f"{there} {where} ({search.name})")
    return found[0] if found else None


async def _look_beyond(search: Search, look: _Look) -> None:
    """Ask the overlay, under a fresh identity: who looks for what is nobody's business."""
    import os
    from random import Random

    from ccp2p.model.errors import PeerFault
    from ccp2p.network.kademlia.records import Record, open_record
    from ccp2p.network.kademlia.service import KademliaService

    if not search.bootstrap:
        return
    topic = await trio.to_thread.run_sync(lambda: search.topic)

    def found(record: Record) -> None:
        with suppress(PeerFault):
            look.hear_from_beyond(open_record(topic, record))

    seed, nobody = os.urandom(32), os.urandom(32)
    asker = KademliaService(seed, nobody, search.bootstrap, _now_ms, Random())
    if not await asker.search(topic.key, found):
        console.say("no node answers at the bootstrap addresses")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


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
    for refused, reason in look.refused.items():
        if refused not in look.found:
            console.say(f"not joined: {reason}")
    for mesh in look.found.values():
        network = mesh.ticket.network.hex()
        console.say(f"found the mesh {mesh.ticket.name} ({network[:16]}...), {mesh.seats} seat(s)")
    if len(look.found) > 1:
        console.say("to choose another of them: --mesh ID, in an empty folder")
