"""One node's part in spreading announcements, as a pure machine: messages in, messages out.

Each node sends what is new to it at once to a few peers, its mesh, which both sides agreed on with
Graft and Prune; every few heartbeats it names what it has seen since to some others (Have), who ask
for what they miss (Want). Announcements of its own a node sends to more peers than its mesh, so
that no mesh of hostile ones can swallow them. As in GossipSub v1.1 (Vyzovitis et al. 2020) a mesh
keeps some peers that the node dialled itself, and scores decide who is grafted, pruned and ignored.

Nothing is passed on before `check` accepted it, and everything that is kept has a bound.
"""

from collections import deque
from collections.abc import Callable, Iterable, KeysView
from dataclasses import dataclass, field
from random import Random
from typing import Final

from ccp2p.gossip.messages import (
    MAX_IDS,
    Announce,
    Graft,
    Have,
    Message,
    Prune,
    Want,
    are_bounded,
)
from ccp2p.gossip.scores import IGNORED_BELOW, Score
from ccp2p.model.errors import PeerFault

HEARTBEAT_MS: Final = 1_000
MESH, MESH_LOW, MESH_HIGH, MESH_DIALLED = 6, 5, 12, 2
LAZY: Final = 6  # peers outside the mesh that get a Have
TOLD: Final = 32  # peers that get an announcement of our own, the mesh among them
_NAMING_HEARTBEATS: Final = 3  # from one Have to the next, which names what was seen between
_KEPT_HEARTBEATS: Final = 5  # how long what was seen is given to who asks
_BACKOFF_MS: Final = 60_000
_PROMISE_MS: Final = 3_000
_MAX_SEEN: Final = 4_096
_MAX_GIVEN: Final = 256  # announcements that a peer may ask for in a heartbeat

Send = tuple[bytes, Message]
Check = Callable[[bytes], bytes | None]
"""An announcement to its id (32 bytes); b"" to ignore it; None when whoever sent it lied."""


@dataclass(slots=True)
class _Peer:
    """`refused_until_ms`: no Graft to it, and none from it, before."""

    is_dialled: bool
    score: Score = field(default_factory=Score)
    refused_until_ms: int = 0
    named: int = 0  # ids in its Haves since the last heartbeat
    given: int = 0  # announcements that it asked for since then


class Gossip:
    """The state of one node. Times are milliseconds of a clock that never goes back."""

    def __init__(self, check: Check, random: Random) -> None:
        self.mesh: dict[bytes, None] = {}  # in the order of grafting
        self._check = check
        self._random = random
        self._peers: dict[bytes, _Peer] = {}
        self._seen: dict[bytes, None] = {}
        self._kept: dict[bytes, bytes] = {}
        self._windows: deque[list[bytes]] = deque([[]])
        self._promises: dict[bytes, tuple[bytes, int]] = {}  # id to who named it, until when
        self._until_naming = _NAMING_HEARTBEATS

    def add(self, peer: bytes, is_dialled: bool) -> None:
        """A connection to an attested peer stands; `is_dialled` by us."""
        self._peers.setdefault(peer, _Peer(is_dialled))

    def remove(self, peer: bytes) -> None:
        """It is gone. Its score is forgotten: a new connection costs a new attestation."""
        self._peers.pop(peer, None)
        self.mesh.pop(peer, None)

    @property
    def peers(self) -> KeysView[bytes]:
        """Who was added and is not gone."""
        return self._peers.keys()

    def score_of(self, peer: bytes) -> float:
        """What the node thinks of a peer."""
        return self._peers[peer].score.value

    def publish(self, data: bytes) -> list[Send]:
        """Announce something of our own: to the mesh, and to others not in disgrace."""
        name = self._check(data)
        if not name or name in self._seen:
            return []
        self._keep(name, data)
        able = [to for to, one in self._peers.items() if one.score.value >= 0]
        told = [to for to in able if to in self.mesh]
        told += self._some((to for to in able if to not in self.mesh), TOLD - len(told))
        return [(to, Announce(data)) for to in told]

    def handle(self, sender: bytes, message: Message, now_ms: int) -> tuple[list[Send], bytes]:
        """What to send upon a peer's message, and the announcement that is new here, or b"".

        PeerFault when the message breaks the limits, or announces what is not true.
        """
        peer = self._peers.get(sender)
        if peer is None or peer.score.value < IGNORED_BELOW:
            return [], b""
        if not are_bounded(message):
            peer.score.invalid += 1
            raise PeerFault("gossip", f"a {message.kind} message breaks the limits")
        match message:
            case Announce(data):
                return self._announced(sender, peer, data)
            case Have(ids):
                return self._named(sender, peer, ids, now_ms), b""
            case Want(ids):
                return self._asked(sender, peer, ids), b""
            case Graft():
                return self._grafted(sender, peer, now_ms), b""
            case Prune():
                self.mesh.pop(sender, None)
                peer.refused_until_ms = now_ms + _BACKOFF_MS
                return [], b""

    def heartbeat(self, now_ms: int) -> list[Send]:
        """What to send once every `HEARTBEAT_MS`."""
        for name, (peer, until_ms) in list(self._promises.items()):
            if now_ms >= until_ms:
                del self._promises[name]
                if peer in self._peers:
                    self._peers[peer].score.broken += 1
        for one in self._peers.values():
            one.score.fade()
            one.named = one.given = 0
        sends = [*self._pruned(now_ms), *self._grafts(now_ms)]
        self._until_naming -= 1
        if not self._until_naming:
            self._until_naming = _NAMING_HEARTBEATS
            sends += self._haves()
        self._windows.appendleft([])
        if len(self._windows) > _KEPT_HEARTBEATS:
            for name in self._windows.pop():
                self._kept.pop(name, None)
        while len(self._seen) > _MAX_SEEN:
            self._seen.pop(next(iter(self._seen)))
        return sends

    def _announced(self, sender: bytes, peer: _Peer, data: bytes) -> tuple[list[Send], bytes]:
        name = self._check(data)
        if name is None:
            peer.score.invalid += 1
            raise PeerFault("announcement", "an announcement that its seat did not make")
        self._promises.pop(name, None)
        if not name or name in self._seen:
            return [], b""
        peer.score.first += 1
        self._keep(name, data)
        return [(to, Announce(data)) for to in self.mesh if to != sender], data

    def _keep(self, name: bytes, data: bytes) -> None:
        if len(self._kept) < _MAX_SEEN:
            self._kept[name] = data
            self._windows[0].append(name)
        self._seen[name] = None

    def _named(self, sender: bytes, peer: _Peer, ids: tuple[bytes, ...], now_ms: int) -> list[Send]:
        peer.named += len(ids)
        if peer.named > MAX_IDS or peer.score.value < 0:
            return []
        wanted = tuple(
            name for name in ids if name not in self._seen and name not in self._promises
        )
        wanted = wanted[: _MAX_SEEN - len(self._promises)]
        self._promises.update((name, (sender, now_ms + _PROMISE_MS)) for name in wanted)
        return [(sender, Want(wanted))] if wanted else []

    def _asked(self, sender: bytes, peer: _Peer, ids: tuple[bytes, ...]) -> list[Send]:
        peer.given += len(ids)
        if peer.given > _MAX_GIVEN:
            return []
        held = (self._kept.get(name) for name in dict.fromkeys(ids))
        return [(sender, Announce(data)) for data in held if data is not None]

    def _grafted(self, sender: bytes, peer: _Peer, now_ms: int) -> list[Send]:
        if sender in self.mesh:
            return []
        is_full = len(self.mesh) >= MESH_HIGH and not peer.is_dialled
        if is_full or peer.score.value < 0 or now_ms < peer.refused_until_ms:
            return [(sender, Prune())]
        self.mesh[sender] = None
        return []

    def _pruned(self, now_ms: int) -> list[Send]:
        """Leave the mesh with who does wrong, and with whoever is too many."""
        leaving = [to for to in self.mesh if self._peers[to].score.value < 0]
        staying = [to for to in self.mesh if to not in leaving]
        if len(staying) > MESH_HIGH:
            self._random.shuffle(staying)
            staying.sort(key=lambda to: -self._peers[to].score.value)
            dialled = [to for to in staying if self._peers[to].is_dialled][:MESH_DIALLED]
            kept = [*dialled, *(to for to in staying if to not in dialled)][:MESH]
            leaving += [to for to in staying if to not in kept]
        for to in leaving:
            del self.mesh[to]
            self._peers[to].refused_until_ms = now_ms + _BACKOFF_MS
        return [(to, Prune()) for to in leaving]

    def _grafts(self, now_ms: int) -> list[Send]:
        """Bring the mesh to its size, and some that we dialled into it."""
        able = [
            to
            for to, one in self._peers.items()
            if to not in self.mesh and one.score.value >= 0 and now_ms >= one.refused_until_ms
        ]
        missing = MESH - len(self.mesh) if len(self.mesh) < MESH_LOW else 0
        chosen = self._some(able, missing)
        dialled = sum(self._peers[to].is_dialled for to in (*self.mesh, *chosen))
        others = [to for to in able if self._peers[to].is_dialled and to not in chosen]
        chosen += self._some(others, MESH_DIALLED - dialled)
        self.mesh.update(dict.fromkeys(chosen))
        return [(to, Graft()) for to in chosen]

    def _haves(self) -> list[Send]:
        ids = [name for window in list(self._windows)[:_NAMING_HEARTBEATS] for name in window]
        if not ids:
            return []
        able = [
            to for to, one in self._peers.items() if to not in self.mesh and one.score.value >= 0
        ]
        return [(to, Have(tuple(ids[:MAX_IDS]))) for to in self._some(able, LAZY)]

    def _some(self, peers: Iterable[bytes], count: int) -> list[bytes]:
        able = list(peers)
        return self._random.sample(able, min(len(able), max(0, count)))
