"""Machines that ask to join with evidence that must not let them in, whoever looks at it.

Each asks again and again, and notes what it is refused with. The judge sees to it that none ever
has a place in the roster of an honest node.
"""

from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ccp2p.membership.events import JoinRequest
from ccp2p.node.epoch import link_of
from ccp2p.node.messages import FollowReply
from ccp2p.simulator.host import Host

if TYPE_CHECKING:
    from ccp2p.simulator.world import World


class Intruder(Host):
    """A stranger. `wanted` are the words that its refusals must have held by the end of a run."""

    wanted: tuple[str, ...] = ()

    def __init__(self, world: "World", index: int, random: Random) -> None:
        super().__init__(world, index, random)
        self.victim = 0
        self._refusals: dict[str, None] = {}

    @property
    def is_honest(self) -> bool:
        """See `Host`."""
        return False

    @property
    def is_silent(self) -> bool:
        """See `Host`: it wants a place, and nothing that comes with it."""
        return True

    @property
    def nature(self) -> str:
        """See `Host`."""
        return (type(self).__doc__ or "").split(":")[0]

    @property
    def awaits(self) -> str:
        """A refusal that has not come yet, or nothing."""
        missing = (
            word for word in self.wanted if not any(word in reason for reason in self._refusals)
        )
        return next(missing, "")

    def choose_victim(self, founders: list[Host], newcomers: list[Host]) -> None:
        """Pick whom to rob, of honest nodes with a seat that they keep, or on their way to one."""
        self.victim = self.random.choice(founders + newcomers).index

    def join_request(self, reply: FollowReply) -> JoinRequest | None:
        """See `Host`."""
        if reply.reason:
            self._refusals[reply.reason] = None
        return self.attempt(reply)

    def attempt(self, reply: FollowReply) -> JoinRequest | None:
        """The next request."""
        raise NotImplementedError


class Thief(Intruder):
    """Shows what another's chip said of that other: fresh, and of a chip that may join."""

    wanted = ("bound to something else",)

    def choose_victim(self, founders: list[Host], newcomers: list[Host]) -> None:
        """See `Intruder`. Its own chip, which never has a seat, speaks for another node, too."""
        del founders
        self.victim = self.random.choice([*newcomers, self]).index

    def attempt(self, reply: FollowReply) -> JoinRequest:
        """Stolen evidence with our own sealing key, or with the one that it was made for."""
        founded = self.world.founded
        robbed = self.victim if self.victim != self.index else 0
        stolen = founded.evidence(robbed, self.victim, reply.anchor)
        own = founded.join_request(self.index, reply.anchor)
        sealing = founded.identities[robbed].sealing.public
        return replace(own, evidence=stolen, sealing=self.random.choice((own.sealing, sealing)))


class Replayer(Intruder):
    """Has only old evidence of itself: of an earlier checkpoint and of an earlier epoch."""

    wanted = ("bound to something else", "stale")

    def __init__(self, world: "World", index: int, random: Random) -> None:
        super().__init__(world, index, random)
        self._old: tuple[int, JoinRequest] | None = None

    def attempt(self, reply: FollowReply) -> JoinRequest | None:
        """The old evidence as what it is, once its epoch is over, or as if it were new."""
        epoch = link_of(reply.records[-1]).record.epoch
        if self._old is None:
            self._old = (epoch, self.world.founded.join_request(self.index, reply.anchor))
        made_in, old = self._old
        if epoch > made_in and self.random.randrange(2):
            return old
        return replace(old, anchor=reply.anchor) if reply.anchor != old.anchor else None


class Twin(Intruder):
    """Runs beside a seat on the seat's chip: its evidence is good, and the chip has its vote."""

    def __init__(self, world: "World", index: int, random: Random) -> None:
        super().__init__(world, index, random)
        self._inherits = random.randrange(2) == 0
        self.wanted = ("replaces:",) if self._inherits else ("platform:",)

    def choose_victim(self, founders: list[Host], newcomers: list[Host]) -> None:
        """See `Intruder`."""
        del newcomers
        self.victim = self.random.choice(founders).index

    def attempt(self, reply: FollowReply) -> JoinRequest:
        """For a seat beside the other's, or in its place: without its word or with a forged one."""
        founded = self.world.founded
        own = founded.join_request(self.index, reply.anchor)
        own = replace(own, evidence=founded.evidence(self.index, self.victim, reply.anchor))
        if not self._inherits:
            return own
        consent = self.random.choice((b"", self.random.randbytes(64)))
        seat = founded.identities[self.victim].node
        return replace(own, replaces=seat, consent=consent)
