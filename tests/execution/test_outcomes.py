from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.execution.outcomes import Leaves, OutcomeProof, OutcomeTree, Stretch, verify_outcome
from ccp2p.execution.state import State
from ccp2p.model import codec
from ccp2p.model.hashing import ZERO_DIGEST
from ccp2p.model.outcome import Outcome


class Outcomes:
    """A tree, and its leaves as a node keeps them."""

    def __init__(self) -> None:
        state = State(network=b"n" * 32, salt_key=b"s" * 32, load_bucket=lambda _: None)
        self.tree = OutcomeTree(state, b"s" * 32)
        self._leaves: list[Leaves] = []
        self._end = (0, 0)

    def apply(self, epoch: int, commit: int, rows: list[tuple[bytes, bytes]]) -> None:
        if commit == 1:
            self._leaves = []
        self._leaves.append(self.tree.apply(commit, rows))
        self._end = (epoch, commit)

    @property
    def root(self) -> bytes:
        return self.tree.root

    def prove(self, event: bytes, first: int = 1) -> OutcomeProof | None:
        """The proof from the leaves of commit `first` on."""
        stretch = Stretch(*self._end, self._leaves[first - 1 :])
        assert stretch.root == self.root
        return stretch.prove(event)


def outcome(number: int) -> Outcome:
    return Outcome(b"%032d" % number, "ok", 1, number, b"")


def rows(first: int, end: int) -> list[tuple[bytes, bytes]]:
    return [(outcome(n).event, codec.encode(outcome(n))) for n in range(first, end)]


def leaf(number: int, proof: OutcomeProof) -> bytes:
    event, encoded = rows(number, number + 1)[0]
    data = proof.salt + event + encoded
    return blake2b(data, digest_size=32, person=b"ccp2p.outcome").digest()


def rfc6962_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1: split at the largest power of two below the size."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    children = rfc6962_root(leaves[:split]) + rfc6962_root(leaves[split:])
    return blake2b(children, digest_size=32, person=b"ccp2p.tree").digest()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_root_and_every_proof_are_those_of_rfc_6962(counts):
    outcomes, total = Outcomes(), 0
    for commit, count in enumerate(counts, 1):
        outcomes.apply(0, commit, rows(total, total + count))
        total += count
    if not total:
        assert outcomes.root == ZERO_DIGEST
        return
    proofs = [outcomes.prove(outcome(n).event) for n in range(total)]
    assert outcomes.root == rfc6962_root([leaf(n, proof) for n, proof in enumerate(proofs)])
    for number, proof in enumerate(proofs):
        assert (proof.index, proof.count, proof.commit) == (number, total, len(counts))
        assert verify_outcome(outcomes.root, outcome(number), proof)


@given(st.integers(1, 20), st.data())
@settings(max_examples=100, deadline=None)
def test_an_altered_proof_does_not_hold(total, data):
    outcomes = Outcomes()
    outcomes.apply(0, 1, rows(0, total))
    number = data.draw(st.integers(0, total - 1))
    proof = outcomes.prove(outcome(number).event)
    fields = {name: getattr(proof, name) for name in proof.__struct_fields__}
    path = list(proof.path)
    changes = [
        {"salt": b"x" * 16},
        {"salt": proof.salt[:-1]},
        {"path": (*path, bytes(32))},
        {"index": -1},
    ]
    if path:
        changes += [{"path": tuple(path[:-1])}, {"path": (bytes(32), *path[1:])}]
    changes += [{"index": (proof.index + 1) % total}] if total > 1 else [{"index": 1}]
    for change in changes:
        altered = OutcomeProof(**(fields | change))
        assert not verify_outcome(outcomes.root, outcome(number), altered)
    assert not verify_outcome(bytes(32), outcome(number), proof)
    assert not verify_outcome(outcomes.root, outcome(total), proof)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_the_leaves_from_some_commit_on_prove_the_same(counts, data):
    outcomes, total = Outcomes(), 0
    first = data.draw(st.integers(1, len(counts)))
    for commit, count in enumerate(counts, 1):
        outcomes.apply(0, commit, rows(total, total + count))
        total += count
    before = sum(counts[: first - 1])
    for number in range(before, total):
        event = outcome(number).event
        assert outcomes.prove(event, first) == outcomes.prove(event)
    for number in range(before):
        assert outcomes.prove(outcome(number).event, first) is None


def test_a_proof_follows_its_running_epoch():
    outcomes = Outcomes()
    for commit in range(1, 7):
        outcomes.apply(0, commit, rows(3 * commit, 3 * commit + 3))
        proof = outcomes.prove(outcome(3).event)
        assert (proof.commit, proof.count) == (commit, 3 * commit)
        assert verify_outcome(outcomes.root, outcome(3), proof)


def test_the_tree_starts_again_with_each_epoch():
    outcomes = Outcomes()
    counts = []
    for epoch, commit, first in ((0, 1, 0), (0, 2, 1), (0, 3, 2), (1, 1, 3), (1, 2, 4)):
        outcomes.apply(epoch, commit, rows(first, first + 1))
        proof = outcomes.prove(outcome(first).event)
        counts.append((proof.epoch, proof.count))
    assert counts == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
