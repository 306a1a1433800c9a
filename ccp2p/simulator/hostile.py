"""Members who cheat: they replay, forge, skip numbers, use one twice, and send garbage.

They hold real sessions, and see every envelope on the wire as a host does.
"""

from random import Random
from typing import TYPE_CHECKING

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec
from ccp2p.model.envelope import parse_envelope
from ccp2p.simulator.founding import derived
from ccp2p.simulator.load import Session, body_of

if TYPE_CHECKING:
    from ccp2p.simulator.world import World

_ACT_US = 100_000
_NUMBER = 1000  # sessions of cheats are derived from numbers that no honest member has


class HostileMembers:
    """One invited cheat and one stranger, who act for `span_us`."""

    def __init__(self, world: "World", random: Random, span_us: int) -> None:
        self._world = world
        self._random = random
        self._until_us = span_us
        founded, seed = world.founded, world.seed
        self._cheat = Session(founded, seed, _NUMBER, founded.invite)
        self._stranger = Session(founded, seed, _NUMBER + 1, b"not the invite")
        self._forger = SigningKey(derived(seed, b"forger"))
        self._impostor = Session(founded, seed, _NUMBER + 2, founded.invite)
        self._impostor.member = world.load.members[0].session.member
        self._seen: list[bytes] = []
        self._sequence = 0
        world.later(0, self._act)

    def _act(self) -> None:
        if self._world.now_us >= self._until_us:
            return
        for envelope in self._world.load.envelopes():
            if self._random.randrange(4) == 0:
                self._seen.append(envelope)
        del self._seen[:-64]
        for envelope in (*self._own(), *self._stolen(), self._random.randbytes(40)):
            host = self._random.choice(self._world.hosts)
            if host.is_up:
                host.submit(envelope)
        self._world.later(_ACT_US, self._act)

    def _own(self) -> list[bytes]:
        """Events of the cheat's own session: repeated numbers, gaps, forged signatures."""
        cheat, random = self._cheat, self._random
        self._sequence += random.choice((0, 0, 1, 1, 2, 70))
        body = body_of(cheat.member, random.randrange(3))
        signer = random.choice((None, None, self._forger))
        number = random.choice((self._sequence, max(0, self._sequence - 1), 0))
        opening = cheat.opening if number == 0 else b""
        envelopes = [cheat.seal(cheat.event(number, body, signer), opening)]
        if random.randrange(5) == 0:
            stranger = self._stranger
            envelopes.append(stranger.seal(stranger.event(0, b""), stranger.opening))
            envelopes.append(self._posing())
        return envelopes

    def _posing(self) -> bytes:
        """A session in an honest member's name, without its signature."""
        impostor = self._impostor
        number = self._world.load.members[0].last + 1
        event = impostor.event(number, body_of(impostor.member, number + 7), self._forger)
        return impostor.seal(event, impostor.opening)

    def _stolen(self) -> list[bytes]:
        """Others' envelopes: as they are, altered, and their tags over something else."""
        if not self._seen:
            return []
        stolen = self._random.choice(self._seen)
        parsed = parse_envelope(stolen)
        altered = bytearray(parsed.sealed)
        altered[self._random.randrange(len(altered))] ^= 1
        fields = (parsed.epoch, parsed.tag, parsed.opening, bytes(altered))
        return [stolen, self._random.choice((stolen, codec.encode(fields)))]
