"""The log index: native and pure are one index, and its order is the linearizer's."""

from array import array
from random import Random
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccp2p.crypto import _log_index, _log_index_pure
from ccp2p.model import hashing, limits

SEED = bytes(range(32))
COIN = b"coin" * 8
UNKNOWN = b"\xff" * 32


@pytest.fixture
def twin(core) -> ModuleType:
    return core("log_index")


def numbers(*values: int) -> "array[int]":
    return array("q", values)


def digest_of(number: int) -> bytes:
    return hashing.digest(hashing.BLOCK, number.to_bytes(8, "big"))


def append(index, digest: bytes, round_: int, author: int, parents: list[bytes]) -> int:
    counts = numbers(len(parents))
    ids = index.append(digest, numbers(round_), numbers(author), counts, b"".join(parents))
    return ids[0]


def full_dag(index, authors: int, rounds: int) -> list[bytes]:
    """Every author's block of every round, all of a round naming all of the round below."""
    below: list[bytes] = []
    for round_ in range(1, rounds + 1):
        made = [digest_of(round_ * authors + author) for author in range(authors)]
        for author, digest in enumerate(made):
            append(index, digest, round_, author, below)
        below = made
    return below


def test_what_was_appended_reads_back(twin):
    index = twin.BlockIndex(SEED, 10)
    first, second, third = (digest_of(each) for each in range(3))
    assert append(index, first, 1, 4, []) == 0
    assert append(index, second, 1, 2**32 - 1, []) == 1
    assert append(index, third, 2**63 - 1, 0, [second, UNKNOWN, first]) == 2
    assert len(index) == 3
    assert list(index.find(third + UNKNOWN + first)) == [2, -1, 0]
    assert index.digests(numbers(1, 0)) == second + first
    assert list(index.rounds(numbers(2, 0))) == [2**63 - 1, 1]
    assert list(index.authors(numbers(0, 1, 2))) == [4, 2**32 - 1, 0]
    assert list(index.parents(2)) == [1, 0]


def test_a_known_digest_keeps_its_id_and_its_parents(twin):
    index = twin.BlockIndex(SEED, 10)
    append(index, digest_of(1), 1, 0, [])
    append(index, digest_of(2), 2, 1, [digest_of(1)])
    assert append(index, digest_of(2), 9, 9, []) == 1
    assert append(index, digest_of(3), 3, 0, [digest_of(2)]) == 2
    assert list(index.rounds(numbers(1))) == [2]
    assert list(index.parents(1)) == [0]
    assert list(index.parents(2)) == [1]


def test_no_block_is_its_own_parent(twin):
    index = twin.BlockIndex(SEED, 4)
    append(index, digest_of(1), 1, 0, [digest_of(1)])
    assert list(index.parents(0)) == []
    assert list(index.ancestors(0, 0, COIN)) == [0]


@pytest.mark.parametrize("coin", [b"", b"c", bytes(64)])
def test_ancestors_come_by_round_and_then_by_keyed_hash(twin, coin):
    index = twin.BlockIndex(SEED, 200)
    tip = full_dag(index, authors=7, rounds=20)[3]
    ids = list(index.ancestors(index.find(tip)[0], 5, coin))
    assert len(ids) == 14 * 7 + 1
    digests = index.digests(array("q", ids))
    places = [
        (round_, hashing.keyed(hashing.LINEAR_ORDER, coin, digests[at * 32 : at * 32 + 32]))
        for at, round_ in enumerate(index.rounds(array("q", ids)))
    ]
    assert places == sorted(places)
    assert min(places)[0] == 6
    assert ids[-1] == index.find(tip)[0]


def test_a_round_of_many_blocks_is_ordered_too(twin):
    index = twin.BlockIndex(SEED, 300)
    round_1 = [digest_of(number) for number in range(limits.MAX_PARENTS)]
    for author, digest in enumerate(round_1):
        append(index, digest, 1, author, [])
    tip = append(index, UNKNOWN, 2, 0, round_1)
    expected = sorted(
        range(len(round_1)), key=lambda i: hashing.keyed(hashing.LINEAR_ORDER, COIN, round_1[i])
    )
    assert list(index.ancestors(tip, 0, COIN)) == [*expected, tip]


def test_the_floor_bounds_the_walk_and_not_the_tip(twin):
    index = twin.BlockIndex(SEED, 10)
    for number in range(1, 5):
        append(index, digest_of(number), number * 2**60, 0, [digest_of(number - 1)])
    assert list(index.ancestors(3, 0, COIN)) == [0, 1, 2, 3]
    assert list(index.ancestors(3, 2**61, COIN)) == [2, 3]
    assert list(index.ancestors(0, 2**62, COIN)) == [0]


def test_a_full_index_refuses_and_stays_as_it_was(twin):
    index = twin.BlockIndex(SEED, 2)
    append(index, digest_of(1), 1, 0, [])
    two = digest_of(2) + digest_of(3)
    with pytest.raises(ValueError, match="full"):
        index.append(two, numbers(1, 1), numbers(0, 1), numbers(0, 0), b"")
    assert len(index) == 1
    assert list(index.find(two)) == [-1, -1]
    append(index, digest_of(2), 1, 1, [])
    events = twin.EventIndex(SEED, 1)
    with pytest.raises(ValueError, match="full"):
        events.append(1, two)
    assert (len(events), events.head) == (0, hashing.ZERO_DIGEST)
    events.append(1, digest_of(1))


@pytest.mark.parametrize(
    "arguments",
    [
        (SEED[1:], numbers(1), numbers(0), numbers(0), b""),
        (SEED, numbers(1, 2), numbers(0), numbers(0), b""),
        (SEED, numbers(1), numbers(), numbers(0), b""),
        (SEED, numbers(1), numbers(0), numbers(0, 0), b""),
        (SEED, numbers(-1), numbers(0), numbers(0), b""),
        (SEED, numbers(1), numbers(-1), numbers(0), b""),
        (SEED, numbers(1), numbers(2**32), numbers(0), b""),
        (SEED, numbers(1), numbers(0), numbers(-1), b""),
        (SEED, numbers(1), numbers(0), numbers(1), b""),
        (SEED, numbers(1), numbers(0), numbers(1), SEED[1:]),
        (SEED * 2, numbers(1, 1), numbers(0, 0), numbers(2, -1), SEED),
        (SEED, numbers(1), numbers(0), numbers(201), SEED * 201),
    ],
)
def test_lengths_and_numbers_that_do_not_fit_are_refused(twin, arguments):
    index = twin.BlockIndex(SEED, 10)
    with pytest.raises(ValueError):  # noqa: PT011 - many reasons
        index.append(*arguments)
    assert len(index) == 0


def test_wrong_questions_are_exceptions(twin):
    index = twin.BlockIndex(SEED, 10)
    for ask in (index.parents, lambda each: index.ancestors(each, 0, b"")):
        for wrong in (0, -1, 2**40):
            with pytest.raises(IndexError):
                ask(wrong)
    for ask in (index.rounds, index.authors, index.digests):
        with pytest.raises(IndexError):
            ask(numbers(0))
    append(index, digest_of(1), 1, 0, [])
    with pytest.raises(ValueError, match="coin"):
        index.ancestors(0, 0, bytes(65))
    with pytest.raises(ValueError, match="floor"):
        index.ancestors(0, -1, b"")
    for wrong in (b"x", SEED + b"x"):
        with pytest.raises(ValueError, match="32 bytes"):
            index.find(wrong)
    for kind in (twin.BlockIndex, twin.EventIndex):
        with pytest.raises(ValueError, match="seed"):
            kind(SEED[1:], 1)
        with pytest.raises(ValueError, match="capacity"):
            kind(SEED, 2**31)
        with pytest.raises(TypeError):
            kind(SEED, 1).find(bytearray(32))


def test_events_are_found_at_their_first_place(twin):
    events = twin.EventIndex(SEED, 100)
    a, b, c = (digest_of(each) for each in range(3))
    events.append(5, a + b)
    events.append(7, b + c)
    commits, positions = events.find(c + UNKNOWN + b + a)
    assert list(commits) == [7, -1, 5, 5]
    assert list(positions) == [1, -1, 1, 0]
    assert len(events) == 3


def test_the_head_chains_every_commit(twin):
    events = twin.EventIndex(SEED, 100)
    a, b = digest_of(1), digest_of(2)
    head = hashing.ZERO_DIGEST
    for commit, ids in ((1, a + b), (2, b""), (9, a)):
        events.append(commit, ids)
        head = hashing.digest(hashing.EVENT_LOG, head, commit.to_bytes(8, "big"), ids)
        assert events.head == head
    for old in (9, 3, 0, -1):
        with pytest.raises(ValueError, match="order"):
            events.append(old, a)
    assert events.head == head


def random_blocks(random: Random, count: int) -> list[tuple[bytes, int, int, list[bytes]]]:
    """Blocks with parents of any kind: earlier, later, unknown, repeated; digests repeat too."""
    digests = [digest_of(random.randrange(count)) for _ in range(count)]
    blocks = []
    for at, digest in enumerate(digests):
        near = digests[max(0, at - 8) : at + 2]
        parents = random.choices([*near, UNKNOWN], k=random.randrange(6))
        round_ = random.choice((at // 4, random.randrange(2**62)))
        blocks.append((digest, round_, random.randrange(2**32), parents))
    return blocks


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 300), st.binary(max_size=64))
def test_native_and_pure_are_one_index(random, count, coin):
    blocks = random_blocks(random, count)
    native = _log_index.BlockIndex(random.randbytes(32), count)
    pure = _log_index_pure.BlockIndex(SEED, count)
    at = 0
    while at < count:
        part = blocks[at : at + random.randint(1, 40)]
        at += len(part)
        batch = (
            b"".join(block[0] for block in part),
            *(array("q", [block[field] for block in part]) for field in (1, 2)),
            array("q", [len(block[3]) for block in part]),
            b"".join(parent for block in part for parent in block[3]),
        )
        assert native.append(*batch) == pure.append(*batch)
    asked = b"".join(block[0] for block in blocks) + UNKNOWN
    assert native.find(asked) == pure.find(asked)
    ids = array("q", range(len(pure)))
    assert native.rounds(ids) == pure.rounds(ids)
    assert native.authors(ids) == pure.authors(ids)
    assert native.digests(ids) == pure.digests(ids)
    assert [native.parents(each) for each in ids] == [pure.parents(each) for each in ids]
    for tip in random.choices(ids, k=5):
        floor = random.choice((0, random.randrange(count), random.randrange(2**62)))
        assert native.ancestors(tip, floor, coin) == pure.ancestors(tip, floor, coin)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 400), max_size=120), max_size=20), st.randoms())
def test_native_and_pure_find_the_same_events(commits, random):
    native = _log_index.EventIndex(random.randbytes(32), 2400)
    pure = _log_index_pure.EventIndex(SEED, 2400)
    for commit, events in enumerate(commits):
        ids = b"".join(digest_of(event) for event in events)
        native.append(commit * 3, ids)
        pure.append(commit * 3, ids)
    asked = b"".join(digest_of(event) for event in range(402))
    assert native.find(asked) == pure.find(asked)
    assert (native.head, len(native)) == (pure.head, len(pure))


def test_a_large_index_grows_through_many_sizes(twin):
    index = twin.BlockIndex(SEED, 20_000)
    digests = b"".join(digest_of(number) for number in range(20_000))
    for start in range(0, 20_000, 777):
        part = digests[start * 32 : (start + 777) * 32]
        count = len(part) // 32
        zeros = array("q", bytes(8 * count))
        index.append(part, zeros, zeros, zeros, b"")
    assert list(index.find(digests)) == list(range(20_000))
