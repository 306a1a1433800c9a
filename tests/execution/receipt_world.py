"""Networks whose keys the tests hold, and true receipts of them to tamper with."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.apps.kv_protocol import Put, Read, Request
from ccp2p.execution.checkpoints import checkpoint_of
from ccp2p.execution.outcomes import Stretch
from ccp2p.execution.receipts import Receipt, Verification, verify
from ccp2p.membership.founding import record_zero
from ccp2p.model import codec
from ccp2p.model.checkpoint import Certified, Checkpoint
from ccp2p.model.committee import Seat
from ccp2p.model.envelope import event_id
from ccp2p.model.epoch import (
    EpochRecord,
    SignedEpochRecord,
    record_digest,
    record_signed_bytes,
)
from ccp2p.model.genesis import Genesis, Parameters, network_id
from ccp2p.model.outcome import MemberEvent
from tests.execution.ledger import Ledger, commit_at, member

Keys = Sequence[SigningKey]


def keys(first: int, count: int = 4) -> list[SigningKey]:
    """Some nodes' keys."""
    return [SigningKey(bytes([first + n]) * 32) for n in range(count)]


def seats(nodes: Keys) -> list[Seat]:
    """Their seats."""
    return [Seat(key.public, bytes(32), key.public, "sim-a") for key in nodes]


def sign_record(record: EpochRecord, nodes: Keys, signers: Sequence[int]) -> SignedEpochRecord:
    """A record signed by some of `nodes`."""
    data = codec.encode(record)
    message = record_signed_bytes(data)
    return SignedEpochRecord(data, tuple((i, nodes[i].sign(message)) for i in signers))


def certify(checkpoint: Checkpoint, nodes: Keys, signers: Sequence[int]) -> Certified:
    """A checkpoint with the votes of some of `nodes`."""
    message = checkpoint.signed_bytes()
    return Certified(checkpoint, tuple((i, nodes[i].sign(message)) for i in signers))


@dataclass(frozen=True)
class World:
    """A kv network of four founders, and in epoch 1 of four other nodes."""

    name: str = "home"
    first_key: int = 1

    @property
    def founders(self) -> list[SigningKey]:
        return keys(self.first_key)

    @property
    def heirs(self) -> list[SigningKey]:
        return keys(self.first_key + 50)

    @property
    def genesis(self) -> Genesis:
        return Genesis(
            name=self.name,
            kind="group",
            app="kv",
            policy="# the policy",
            parameters=Parameters(),
            governors=(self.founders[0].public,),
            governor_threshold=1,
            first_node=self.founders[0].public,
            founders=4,
            member_invite=b"m" * 32,
            node_invite=b"n" * 32,
            founder_invite=b"i" * 32,
            created_ms=1,
        )

    @property
    def network(self) -> bytes:
        return network_id(codec.encode(self.genesis))

    def records(
        self, epoch: int = 0, close: Checkpoint | None = None
    ) -> tuple[SignedEpochRecord, ...]:
        """The true chain to an epoch, 0 or 1; epoch 0 ended at `close`, if that is given."""
        zero = record_zero(
            self.genesis, self.network, seats(self.founders), b"c" * 32, b"e" * 32, []
        )
        first = sign_record(zero, self.founders, range(4))
        if epoch == 0:
            return (first,)
        one = replace(
            zero,
            epoch=1,
            predecessor=record_digest(first.record),
            seats=tuple(seats(self.heirs)),
            close_commit=7,
            coin_anchor=b"d" * 32,
            epoch_key=b"f" * 32,
        )
        if close is not None:
            one = replace(
                one,
                close_commit=close.commit,
                close_chain=close.chain,
                state_root=close.state_root,
                outcomes_root=close.outcomes_root,
                ledger_time_ms=close.ledger_time_ms,
            )
        return first, sign_record(one, self.founders, (0, 1, 3))

    def receipt_of_close(self, number: int = 5) -> Receipt:
        """A receipt whose checkpoint is the CLOSE of epoch 0."""
        receipt = self.receipt(number)
        checkpoint = receipt.certified.checkpoint
        return replace(
            receipt, records=self.records(1, checkpoint), certified=Certified(checkpoint, ())
        )

    def receipt(self, number: int = 5, epoch: int = 0, value: bytes = b"v") -> Receipt:
        """The receipt of event `number` of ann, who writes 1 to 6 and then reads in 7."""
        ledger = Ledger("kv")
        if epoch:
            ledger.begin_epoch(b"t" * 32)
        bodies = [codec.encode(Request(Put(b"k", value + b"%d" % n))) for n in range(1, 7)]
        bodies.append(codec.encode(Request(Read(b"k"))))
        events = [self._event(n, body) for n, body in enumerate(bodies, 1)]
        applied = [ledger.apply(events[:3]), ledger.apply(events[3:])]
        applied += [ledger.apply() for _ in range(6)]
        end = applied[-1]
        checkpoint = checkpoint_of(self.network, commit_at(8, epoch), end)
        stretch = Stretch(epoch, 8, [each.leaves for each in applied])
        outcomes = [outcome for each in applied for _, outcome in each.outcomes]
        outcome = outcomes[number - 1]
        proof = stretch.prove(outcome.event)
        assert proof is not None
        return Receipt(
            genesis=codec.encode(self.genesis),
            records=self.records(epoch),
            certified=certify(checkpoint, self.heirs if epoch else self.founders, (0, 2, 3)),
            member=member("ann"),
            sequence=number,
            body=bodies[number - 1],
            outcome=outcome,
            proof=proof,
            content=value + b"6" if number == 7 and len(value) > 900 else b"",
        )

    def _event(self, number: int, body: bytes) -> MemberEvent:
        identifier = event_id(self.network, member("ann"), number, body)
        return MemberEvent(b"%016d" % number, member("ann"), number, body, identifier)


WORLD = World()


def check(receipt: Receipt, network: bytes = WORLD.network) -> Verification:
    """Verify as a client does; the policy of these networks has no vendor cap."""
    return verify(receipt, network, lambda _: "none")


def failed(receipt: Receipt, network: bytes = WORLD.network) -> list[str]:
    """The checks that fail."""
    return [each.name for each in check(receipt, network).checks if not each.passed]
