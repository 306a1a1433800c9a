"""How announcements of commits spread over thousands of nodes: the real gossip core over links.

Seats are nodes like the others, and announce every commit within a tenth of a second of each
other. Hostile nodes pass nothing on; two thirds of them name what they never give, and half of
those send announcements that are forged. Nodes vanish without a word, their peers notice after
some seconds, and others come. Epochs do not change, and no bodies are fetched: what is measured
is the hint.
"""

import heapq
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple

from ccp2p.crypto.signatures import SigningKey
from ccp2p.gossip.commits import CommitCheck, announce
from ccp2p.gossip.core import HEARTBEAT_MS, Gossip, Send
from ccp2p.gossip.messages import Announce, Have, Message
from ccp2p.model import codec, hashing
from ccp2p.model.errors import PeerFault
from ccp2p.simulator.chance import below
from ccp2p.simulator.links import Latencies

NETWORK: Final = b"N" * 32
_DIALS: Final = 8
_MOST_PEERS: Final = 32
_HANDLING_US: Final = 250  # of a frame on a stream, as measured
_JITTER_US: Final = 2_000
_NOTICED_US: Final = 10_000_000  # that a peer is gone
_TOGETHER_US: Final = 100_000  # seats have a commit within this of each other
_SETTLED_US: Final = 5_000_000  # since a node came, before what it hears counts
_KINDS: Final = ("keeps", "lies", "spams")


class Setting(NamedTuple):
    """How many nodes and seats, which share is hostile, and which goes in an hour.

    `commits` are announced `interval_us` apart, once meshes have formed.
    """

    nodes: int
    seats: int
    hostile: float = 0.1
    churn: float = 0.2
    commits: int = 10
    interval_us: int = 1_000_000


class Spread(NamedTuple):
    """What came of it. Delays and hops are of each honest observer and commit, sorted.

    `missed` counts those that never heard of one; `copies` whole announcements that an honest node
    got of each commit, `bytes_each` all that it got a second and node, gossip included.
    """

    delays_us: Sequence[int]
    hops: Sequence[int]
    missed: int
    copies: float
    bytes_each: float


class Node:
    """A machine of the simulation; `kind` is "" for an honest one."""

    def __init__(self, world: "World", name: bytes, kind: str, now_us: int) -> None:
        self.gossip = Gossip(world.check, Random(world.random.getrandbits(64)))
        self.name, self.kind = name, kind
        self.region = below(world.random, len(world.latencies))
        self.born_us = now_us
        self.peers: set[bytes] = set()
        self.is_up = True
        self.heard: dict[int, tuple[int, int]] = {}  # commit to when, after how many hops

    def answer(self, sender: bytes, message: Message, now_us: int) -> tuple[list[Send], bytes]:
        """What the node sends upon a message, and what was new to it."""
        sends: list[Send] = []
        new = b""
        with suppress(PeerFault):
            sends, new = self.gossip.handle(sender, message, now_us // 1000)
        if self.kind:
            sends = [(to, one) for to, one in sends if not isinstance(one, Announce)]
        return sends, new

    def beat(self, now_us: int, random: Random) -> list[Send]:
        """What the node sends each heartbeat."""
        sends = self.gossip.heartbeat(now_us // 1000)
        if self.kind == "keeps":
            return [(to, one) for to, one in sends if not isinstance(one, Have)]
        if self.kind == "spams":
            forged = Announce(random.randbytes(150))
            sends += [(to, forged) for to in sorted(self.peers)]
        return sends


class World:
    """All nodes, and what is under way between them, from one seed."""

    def __init__(self, setting: Setting, latencies: Latencies, seed: int) -> None:
        self.setting = setting
        self.latencies = latencies  # between regions; the own one included
        self.random = Random(f"gossip/{seed}")
        self.now_us = 0
        self.nodes: dict[bytes, Node] = {}
        self.received_bytes = self.copies = 0
        self._queue: list[tuple[int, int, bytes, bytes, Message | str, int]] = []
        self._count = 0
        self._up: list[bytes] = []
        self._keys = [
            SigningKey(hashing.digest(hashing.SIMULATED, at.to_bytes(4, "big")))
            for at in range(setting.seats)
        ]
        self._judge = CommitCheck(NETWORK, 0, [key.public for key in self._keys])
        self._judged: dict[bytes, bytes | None] = {}
        self._commits: dict[bytes, int] = {}
        self._begun_us: dict[int, int] = {}
        for number in range(setting.nodes):
            before = round(number * setting.hostile)
            is_hostile = round((number + 1) * setting.hostile) > before
            self._come(_KINDS[before % len(_KINDS)] if is_hostile else "", is_first=True)
        self.seats = self._up[: setting.seats]

    def check(self, data: bytes) -> bytes | None:
        """The real check, made once for all nodes."""
        if data not in self._judged:
            self._judged[data] = self._judge(data)
        return self._judged[data]

    def run(self) -> Spread:
        """Let meshes form, announce the commits, and wait for the last."""
        setting = self.setting
        first_us = 6 * HEARTBEAT_MS * 1000
        for commit in range(1, setting.commits + 1):
            self._announce(commit, first_us + commit * setting.interval_us)
        end_us = first_us + (setting.commits + 8) * setting.interval_us
        gone = round(setting.nodes * setting.churn * end_us / 3_600_000_000)
        for _ in range(gone):
            self._push(below(self.random, end_us), b"", b"", "churn", 0)
        while self._queue and self._queue[0][0] < end_us:
            self.now_us, _, to, sender, what, hops = heapq.heappop(self._queue)
            self._step(to, sender, what, hops)
        return self._spread(end_us)

    def _step(self, to: bytes, sender: bytes, what: Message | str, hops: int) -> None:
        if what == "churn":
            self._churn()
            return
        node = self.nodes[to]
        if what == "lost":
            node.gossip.remove(sender)
            node.peers.discard(sender)
            self._dial(node, 1)
        elif not node.is_up:
            return
        elif what == "beat":
            self._send(node, node.beat(self.now_us, self.random))
            self._push(self.now_us + HEARTBEAT_MS * 1000, to, b"", "beat", 0)
        elif isinstance(what, str):
            self._publish(node, bytes.fromhex(what))
        else:
            self._receive(node, sender, what, hops)

    def _receive(self, node: Node, sender: bytes, message: Message, hops: int) -> None:
        if not node.kind:
            self.received_bytes += len(codec.wrap(message.kind, codec.encode(message))) + 4
            self.copies += isinstance(message, Announce) and message.data in self._commits
        sends, new = node.answer(sender, message, self.now_us)
        if new:
            node.heard.setdefault(self._commits[new], (self.now_us, hops))
        self._send(node, sends)

    def _publish(self, node: Node, data: bytes) -> None:
        commit = self._commits[data]
        self._begun_us[commit] = min(self._begun_us.get(commit, self.now_us), self.now_us)
        node.heard[commit] = (self.now_us, 0)
        self._send(node, node.gossip.publish(data))

    def _announce(self, commit: int, at_us: int) -> None:
        chain = hashing.digest(hashing.COMMIT, commit.to_bytes(8, "big"))
        for place, seat in enumerate(self.seats):
            data = announce(NETWORK, 0, commit, chain, place, self._keys[place])
            self._commits[data] = commit
            if not self.nodes[seat].kind:
                self._push(at_us + below(self.random, _TOGETHER_US), seat, b"", data.hex(), 0)

    def _send(self, node: Node, sends: Sequence[Send]) -> None:
        for to, message in sends:
            peer = self.nodes[to]
            delay_us = self.latencies[node.region][peer.region] + below(self.random, _JITTER_US)
            hops = 0
            if isinstance(message, Announce) and message.data in self._commits:
                hops = node.heard[self._commits[message.data]][1] + 1
            at_us = self.now_us + _HANDLING_US + delay_us
            self._push(at_us, to, node.name, message, hops)

    def _push(self, at_us: int, to: bytes, sender: bytes, what: Message | str, hops: int) -> None:
        self._count += 1
        heapq.heappush(self._queue, (at_us, self._count, to, sender, what, hops))

    def _come(self, kind: str, is_first: bool = False) -> None:
        name = self.random.randbytes(8)
        born_us = -_SETTLED_US if is_first else self.now_us
        node = self.nodes[name] = Node(self, name, kind, born_us)
        self._up.append(name)
        self._dial(node, _DIALS)
        self._push(self.now_us + below(self.random, HEARTBEAT_MS * 1000), name, b"", "beat", 0)

    def _dial(self, node: Node, count: int) -> None:
        if not node.is_up:
            return
        for _ in range(count):
            for _ in range(20):
                other = self.nodes[self._up[below(self.random, len(self._up))]]
                is_new = other is not node and other.name not in node.peers
                if is_new and len(other.peers) < _MOST_PEERS:
                    node.peers.add(other.name)
                    other.peers.add(node.name)
                    node.gossip.add(other.name, is_dialled=True)
                    other.gossip.add(node.name, is_dialled=False)
                    break

    def _churn(self) -> None:
        """One observer vanishes, and one of its kind comes."""
        place = self.setting.seats + below(self.random, len(self._up) - self.setting.seats)
        node = self.nodes[self._up.pop(place)]
        node.is_up = False
        for peer in sorted(node.peers):
            self._push(self.now_us + _NOTICED_US, peer, node.name, "lost", 0)
        self._come(node.kind)

    def _spread(self, end_us: int) -> Spread:
        delays, hops, missed = [], [], 0
        seats = set(self.seats)
        honest = [one for one in self.nodes.values() if one.is_up and not one.kind]
        for node in (one for one in honest if one.name not in seats):
            for commit, begun_us in self._begun_us.items():
                if node.born_us > begun_us - _SETTLED_US:
                    continue
                heard = node.heard.get(commit)
                if heard is None:
                    missed += 1
                else:
                    delays.append(heard[0] - begun_us)
                    hops.append(heard[1])
        copies = self.copies / len(honest) / self.setting.commits
        bytes_each = self.received_bytes / len(honest) / (end_us / 1_000_000)
        return Spread(sorted(delays), sorted(hops), missed, copies, bytes_each)
