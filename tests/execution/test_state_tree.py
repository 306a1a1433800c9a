from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.execution.state_tree import StateTree, verify_proof
from ccp2p.model.hashing import ZERO_DIGEST

LEAVES = st.dictionaries(
    st.one_of(st.integers(0, 40), st.integers(0, 65_535)),
    st.one_of(st.just(ZERO_DIGEST), st.binary(min_size=32, max_size=32)),
    max_size=30,
)


def update(tree: StateTree, leaves: dict[int, bytes]) -> None:
    places = sorted(leaves)
    tree.update(places, b"".join(leaves[place] for place in places))


def naive_root(leaves: dict[int, bytes]) -> bytes:
    """The definition: sixteen children a node, an empty node is zero."""

    def node(level: int, index: int) -> bytes:
        if level == 0:
            return leaves.get(index, ZERO_DIGEST)
        span = 16**level
        if not any(index * span <= leaf < (index + 1) * span for leaf in leaves):
            return ZERO_DIGEST
        children = b"".join(node(level - 1, index * 16 + child) for child in range(16))
        if children == bytes(512):
            return ZERO_DIGEST
        return blake2b(children, digest_size=32, person=b"ccp2p.tree").digest()

    return node(4, 0)


@given(st.lists(LEAVES, max_size=4))
@settings(max_examples=60, deadline=None)
def test_updates_in_any_steps_give_the_root_of_all_leaves(steps):
    tree, everything = StateTree(), {}
    for leaves in steps:
        update(tree, leaves)
        everything.update(leaves)
        assert tree.root == naive_root(everything)
    occupied = sorted(index for index, leaf in everything.items() if leaf != ZERO_DIGEST)
    assert tree.occupied() == occupied
    assert all(tree.leaf(index) == leaf for index, leaf in everything.items())


def test_an_empty_tree_has_the_zero_root_and_returns_to_it():
    tree = StateTree()
    assert tree.root == ZERO_DIGEST
    update(tree, {})
    assert tree.root == ZERO_DIGEST
    update(tree, {7: b"x" * 32, 65_535: b"y" * 32})
    assert tree.root != ZERO_DIGEST
    update(tree, {7: ZERO_DIGEST, 65_535: ZERO_DIGEST})
    assert tree.root == ZERO_DIGEST


@given(LEAVES, st.integers(0, 65_535), st.integers(0, 4 * 512 * 8 - 1))
@settings(max_examples=60, deadline=None)
def test_a_proof_holds_for_its_bucket_alone(leaves, index, bit):
    tree = StateTree()
    update(tree, leaves | {index: b"l" * 32})
    proof = tree.proof(index)
    assert verify_proof(tree.root, index, b"l" * 32, proof)
    assert not verify_proof(tree.root, index, b"m" * 32, proof)
    assert not verify_proof(tree.root, index ^ 1, b"l" * 32, proof)
    assert not verify_proof(bytes(32), index, b"l" * 32, proof)
    assert not verify_proof(tree.root, index, b"l" * 32, proof[:3])
    assert not verify_proof(tree.root, index + 65_536, b"l" * 32, proof)
    assert not verify_proof(tree.root, -1, b"l" * 32, proof)
    level, place = divmod(bit, 512 * 8)
    group = bytearray(proof[level])
    group[place // 8] ^= 1 << place % 8
    altered = (*proof[:level], bytes(group), *proof[level + 1 :])
    assert not verify_proof(tree.root, index, b"l" * 32, altered)
