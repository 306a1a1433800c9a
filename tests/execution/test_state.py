import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.crypto import buckets
from ccp2p.execution.state import State
from ccp2p.execution.state_tree import verify_proof
from ccp2p.model.errors import LocalFault, PeerFault

KEYS = st.one_of(st.binary(max_size=2), st.sampled_from([b"\1k%d" % n for n in range(40)]))
COMMITS = st.lists(
    st.lists(st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=40))), max_size=12),
    max_size=8,
)


class Disk:
    """A state and the buckets that it stored."""

    def __init__(self, cache_bytes: int = 1 << 20, salt_key: bytes = b"s" * 32) -> None:
        self.buckets: dict[int, bytes] = {}
        self.loads = 0
        self.commit = 0
        self.state = State(
            network=b"n" * 32, salt_key=salt_key, load_bucket=self.load, cache_bytes=cache_bytes
        )

    def load(self, index: int) -> bytes | None:
        self.loads += 1
        return self.buckets.get(index)

    def write(self, writes, *, store: bool = True, epoch: int = 0) -> dict[int, bytes]:
        for key, value in writes:
            if value is None:
                self.state.delete(key)
            else:
                self.state.put(key, value)
        self.commit += 1
        changed = self.state.flush(epoch, self.commit)
        if store:
            self.buckets.update(changed)
            self.buckets = {index: data for index, data in self.buckets.items() if data}
            self.state.stored(epoch, self.commit)
        return changed

    def again(self, **settings) -> "Disk":
        """A new process on the same disk."""
        other = Disk(**settings)
        other.buckets, other.commit = dict(self.buckets), self.commit
        other.state.restore(other.buckets.items(), self.state.root, (), LocalFault)
        return other


@given(COMMITS)
@settings(max_examples=80, deadline=None)
def test_any_writes_read_back_and_no_cache_size_changes_the_root(commits):
    disk, starved, model = Disk(), Disk(cache_bytes=0), {}
    for writes in commits:
        assert disk.write(writes) == starved.write(writes)
        model.update(writes)
        assert disk.state.root == starved.state.root
    held = {key: value for key, value in model.items() if value is not None}
    restarted = disk.again()
    for state in (disk.state, starved.state, restarted.state):
        assert all(state.get(key) == value for key, value in model.items())
        assert {k: v for k, v in state.scan(b"") if not k.startswith(b"\0place")} == held
        assert dict(state.scan(b"\1k")) == {k: v for k, v in held.items() if k[:2] == b"\1k"}


@given(COMMITS)
@settings(max_examples=30, deadline=None)
def test_a_restart_between_any_two_commits_changes_nothing(commits):
    steady, restarting = Disk(), Disk()
    for writes in commits:
        assert steady.write(writes) == restarting.write(writes)
        restarting = restarting.again()
        assert steady.state.root == restarting.state.root


def test_writes_are_seen_before_the_flush():
    disk = Disk()
    disk.state.put(b"\1a", b"1")
    assert disk.state.get(b"\1a") == b"1"
    disk.state.delete(b"\1a")
    assert disk.state.get(b"\1a") is None


def test_equal_entries_written_at_different_commits_or_epochs_hash_differently():
    first, later, other = Disk(), Disk(), Disk(salt_key=b"t" * 32)
    later.write([])
    roots = set()
    for disk in (first, later, other):
        disk.write([(b"\1a", b"1")])
        roots.add(disk.state.root)
    assert len(roots) == 3


def test_the_cache_stays_within_its_bound_and_evicts_the_oldest():
    disk = Disk(cache_bytes=20_000)
    disk.write([(b"\1k%d" % n, b"v" * 100) for n in range(200)])
    assert 0 < disk.state._cached_bytes <= 20_000
    assert sum(len(b) + 150 for b in disk.state._cache.values()) == disk.state._cached_bytes
    for n in range(200):
        assert disk.state.get(b"\1k%d" % n) == b"v" * 100
    assert 150 < disk.loads <= 200
    assert disk.state._cached_bytes <= 20_000
    loads = disk.loads
    assert disk.state.get(b"\1k199") == b"v" * 100
    assert disk.loads == loads, "the newest is still cached"
    disk.state.get(b"\1k0")
    assert disk.loads == loads + 1, "the oldest is not"


def test_what_is_not_on_disk_yet_is_kept_in_memory():
    disk = Disk(cache_bytes=0)
    changed = disk.write([(b"\1a", b"1")], store=False)
    disk.write([(b"\1b", b"2")], store=False)
    assert (disk.state.get(b"\1a"), disk.loads) == (b"1", 0)
    disk.buckets.update(changed)
    disk.state.stored(0, 1)
    assert (disk.state.get(b"\1a"), disk.loads) == (b"1", 1)
    assert (disk.state.get(b"\1b"), disk.loads) == (b"2", 1)


@pytest.mark.parametrize("damage", ["value", "salt", "replay", "missing", "cut"])
def test_a_bucket_that_is_not_what_was_written_stops_the_node(damage):
    disk = Disk(cache_bytes=0)
    old = disk.write([(b"\1a", b"old")])
    new = disk.write([(b"\1a", b"new")])
    (index,) = new
    disk.buckets[index] = {
        "value": new[index][:-3] + b"mew",
        "salt": new[index][:4] + bytes(16) + new[index][20:],
        "replay": old[index],
        "missing": b"",
        "cut": new[index][:-1],
    }[damage]
    with pytest.raises(LocalFault) as caught:
        disk.state.get(b"\1a")
    assert caught.value.code == ("malformed" if damage == "cut" else "state-mismatch")


def test_a_restored_state_must_match_its_root():
    disk = Disk()
    disk.write([(b"\1k%d" % n, b"v") for n in range(50)])
    index = next(iter(disk.buckets))
    for held in (
        {k: v for k, v in disk.buckets.items() if k != index},
        {**disk.buckets, index: disk.buckets[max(disk.buckets)]},
        {**disk.buckets, max(set(range(65_536)) - set(disk.buckets)): disk.buckets[index]},
    ):
        with pytest.raises(PeerFault) as caught:
            Disk().state.restore(held.items(), disk.state.root, (), PeerFault)
        assert caught.value.code == "state-mismatch"


@given(st.lists(st.tuples(st.integers(-1, 65_536), st.binary(max_size=60)), max_size=3))
@settings(max_examples=80, deadline=None)
def test_a_peers_buckets_raise_only_its_own_fault(buckets):
    with pytest.raises(PeerFault):
        Disk().state.restore(buckets, b"r" * 32, (), PeerFault)


def test_keys_stay_in_their_buckets_when_the_epoch_brings_another_key():
    disk = Disk()
    disk.write([(b"\1k%d" % n, b"v") for n in range(20)])
    places = {n: disk.state.proof(b"\1k%d" % n)[0] for n in range(20)}
    disk.state.set_salt_key(b"t" * 32)
    disk.write([(b"\1new", b"v")], epoch=1)
    later = disk.again(salt_key=b"t" * 32)
    assert {n: later.state.proof(b"\1k%d" % n)[0] for n in range(20)} == places
    fresh = Disk(salt_key=b"t" * 32)
    assert {n: fresh.state.proof(b"\1k%d" % n)[0] for n in range(20)} != places


def test_a_key_is_proved_to_be_under_the_root():
    disk = Disk()
    disk.write([(b"\1k%d" % n, b"v") for n in range(20)])
    index, path = disk.state.proof(b"\1k7")
    bucket = disk.buckets[index]
    assert buckets.find(bucket, b"\1k7") == b"v"
    assert verify_proof(disk.state.root, index, buckets.digests([bucket]), path)
