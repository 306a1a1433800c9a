"""The log index in native code: digests to dense ids, histories in the linear order, events' places.

The C code is in `ext/log_index/`, the readable pure twin is `ccp2p/crypto/_log_index_pure.py`. Calls
hold the GIL: they are short, and the tables must not move under them.
"""

import os
from array import array

from cpython cimport array as carray
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from ccp2p.model import hashing, limits

cdef extern from "log_index/blocks.h":
    enum:
        DIGEST_BYTES
        MAX_IDS
        PERSON_BYTES
        MAX_COIN_BYTES
        SEED_WORDS
    struct table:
        uint8_t (*digest)[DIGEST_BYTES]
        size_t count
        size_t room
    struct order_t "order":
        const uint8_t *domain
        size_t domain_bytes
        const uint8_t *coin
        size_t coin_bytes
    struct block:
        uint64_t round
        uint64_t first_parent
        uint32_t author
    struct blocks:
        table table
        block *block
        uint32_t *parent
    struct batch:
        size_t count
        size_t parent_count
        const uint8_t *digests
        const long long *rounds
        const long long *authors
        const long long *parent_counts
        const uint8_t *parents
    void table_init(table *, const uint8_t *seed)
    int table_reserve(table *, size_t more)
    uint32_t table_add(table *, const uint8_t *digest)
    void table_prefetch(const table *, const uint8_t *digest)
    void table_find_many(const table *, const uint8_t *digests, size_t count, long long *ids)
    void table_free(table *)
    void blocks_init(blocks *, const uint8_t *seed)
    int blocks_append(blocks *, const batch *, long long *ids)
    uint32_t *blocks_history(blocks *, uint32_t tip, long long floor, size_t *count)
    int blocks_order(
        const blocks *, uint32_t *ids, size_t count, const order_t *, long long *out)
    void blocks_free(blocks *)
    int order_use(const char *name)

cdef bytes _backend = os.environ.get("CCP2P_BLAKE2B", "").replace("pure", "").encode()
if not order_use(_backend):
    raise ValueError("CCP2P_BLAKE2B names a backend that this CPU lacks")

DEF SEED_BYTES = 32
DEF AHEAD = 8


cdef class BlockIndex:
    """Blocks by digest and by dense id, from 0 in order of appending."""

    cdef blocks _blocks
    cdef Py_ssize_t _capacity
    cdef bytes _domain

    def __cinit__(self, bytes seed not None, Py_ssize_t capacity):
        _check_arguments(seed, capacity)
        blocks_init(&self._blocks, _bytes(seed))
        self._capacity = capacity
        self._domain = hashing.LINEAR_ORDER

    def __dealloc__(self):
        blocks_free(&self._blocks)

    def __len__(self):
        return self._blocks.table.count

    def append(
        self, bytes digests not None, const long long[::1] rounds, const long long[::1] authors,
        const long long[::1] parent_counts, bytes parents not None,
    ):
        """Append blocks; their ids."""
        cdef batch added
        cdef Py_ssize_t count = rounds.shape[0]
        if (
            authors.shape[0] != count
            or parent_counts.shape[0] != count
            or len(digests) != count * DIGEST_BYTES
        ):
            raise ValueError("digests, rounds, authors and counts must be of one number")
        _check_blocks(rounds, authors, parent_counts, len(parents))
        _check_room(self._blocks.table.count, count, self._capacity)
        cdef carray.array ids = carray.clone(array("q"), count, False)
        if count == 0:
            return ids
        added.count = count
        added.parent_count = len(parents) // DIGEST_BYTES
        added.digests = _bytes(digests)
        added.rounds = &rounds[0]
        added.authors = &authors[0]
        added.parent_counts = &parent_counts[0]
        added.parents = _bytes(parents)
        if not blocks_append(&self._blocks, &added, ids.data.as_longlongs):
            raise MemoryError
        return ids

    def find(self, bytes digests not None):
        """The id of each digest; -1 where it is unknown."""
        return _find(&self._blocks.table, digests)

    def ancestors(self, Py_ssize_t tip, long long floor, bytes coin not None):
        """The ids of `tip` and its ancestors above round `floor`, in the linear order."""
        self._check_id(tip)
        if floor < 0:
            raise ValueError("a floor is not negative")
        if len(coin) > MAX_COIN_BYTES:
            raise ValueError(f"a coin has at most {MAX_COIN_BYTES} bytes")
        cdef order_t order
        order.domain = _bytes(self._domain)
        order.domain_bytes = len(self._domain)
        order.coin = _bytes(coin)
        order.coin_bytes = len(coin)
        cdef size_t count = 0
        cdef carray.array ids
        cdef uint32_t *found = blocks_history(&self._blocks, tip, floor, &count)
        if found == NULL:
            raise MemoryError
        try:
            ids = carray.clone(array("q"), count, False)
            if not blocks_order(&self._blocks, found, count, &order, ids.data.as_longlongs):
                raise MemoryError
        finally:
            free(found)
        return ids

    def rounds(self, const long long[::1] ids):
        """The round of each id."""
        cdef carray.array found = carray.clone(array("q"), ids.shape[0], False)
        cdef Py_ssize_t index
        for index in range(ids.shape[0]):
            self._check_id(ids[index])
            found.data.as_longlongs[index] = self._blocks.block[ids[index]].round
        return found

    def authors(self, const long long[::1] ids):
        """The author of each id."""
        cdef carray.array found = carray.clone(array("q"), ids.shape[0], False)
        cdef Py_ssize_t index
        for index in range(ids.shape[0]):
            self._check_id(ids[index])
            found.data.as_longlongs[index] = self._blocks.block[ids[index]].author
        return found

    def digests(self, const long long[::1] ids):
        """The digests of the ids, one after another."""
        cdef bytes found = PyBytes_FromStringAndSize(NULL, ids.shape[0] * DIGEST_BYTES)
        cdef char *out = PyBytes_AS_STRING(found)
        cdef Py_ssize_t index
        for index in range(ids.shape[0]):
            self._check_id(ids[index])
            memcpy(out + index * DIGEST_BYTES, self._blocks.table.digest[ids[index]], DIGEST_BYTES)
        return found

    def parents(self, Py_ssize_t block_id):
        """The ids of a block's known parents, in their signed order."""
        self._check_id(block_id)
        cdef uint64_t first = self._blocks.block[block_id].first_parent
        cdef uint64_t count = self._blocks.block[block_id + 1].first_parent - first
        cdef carray.array found = carray.clone(array("q"), count, False)
        cdef uint64_t index
        for index in range(count):
            found.data.as_longlongs[index] = self._blocks.parent[first + index]
        return found

    cdef int _check_id(self, long long block_id) except -1:
        if not 0 <= block_id < <long long>self._blocks.table.count:
            raise IndexError("no block has this id")
        return 0


cdef class EventIndex:
    """Executed events: id to (commit, position), and a digest that chains them all."""

    cdef table _table
    cdef uint64_t *_commits
    cdef uint32_t *_positions
    cdef size_t _room
    cdef Py_ssize_t _capacity
    cdef long long _commit
    cdef readonly bytes head

    def __cinit__(self, bytes seed not None, Py_ssize_t capacity):
        _check_arguments(seed, capacity)
        table_init(&self._table, _bytes(seed))
        self._capacity = capacity
        self._commit = -1
        self.head = hashing.ZERO_DIGEST

    def __dealloc__(self):
        table_free(&self._table)
        free(self._commits)
        free(self._positions)

    def __len__(self):
        return self._table.count

    def append(self, long long commit, bytes ids not None):
        """The next commit's events, in order; an id that is known keeps its first place."""
        cdef Py_ssize_t count = _count_of(ids)
        cdef Py_ssize_t index
        cdef uint32_t found
        cdef size_t known
        if commit <= self._commit:
            raise ValueError("commits are appended in order, each once")
        _check_room(self._table.count, count, self._capacity)
        self._reserve(count)
        self.head = hashing.digest(
            hashing.EVENT_LOG, self.head, commit.to_bytes(8, "big"), ids)
        self._commit = commit
        cdef const uint8_t *digests = _bytes(ids)
        for index in range(count):
            if index + AHEAD < count:
                table_prefetch(&self._table, digests + (index + AHEAD) * DIGEST_BYTES)
            known = self._table.count
            found = table_add(&self._table, digests + index * DIGEST_BYTES)
            if self._table.count > known:
                self._commits[found] = commit
                self._positions[found] = index

    def find(self, bytes ids not None):
        """The commits and the positions of the ids; -1 in both where one is unknown."""
        cdef carray.array commits = _find(&self._table, ids)
        cdef carray.array positions = carray.clone(array("q"), len(commits), False)
        cdef Py_ssize_t index
        cdef long long found
        for index in range(len(commits)):
            found = commits.data.as_longlongs[index]
            positions.data.as_longlongs[index] = -1
            if found >= 0:
                commits.data.as_longlongs[index] = self._commits[found]
                positions.data.as_longlongs[index] = self._positions[found]
        return commits, positions

    cdef int _reserve(self, size_t more) except -1:
        if not table_reserve(&self._table, more):
            raise MemoryError
        cdef size_t room = self._table.room
        if room <= self._room:
            return 0
        cdef void *commits = realloc(self._commits, room * sizeof(uint64_t))
        if commits == NULL:
            raise MemoryError
        self._commits = <uint64_t *>commits
        cdef void *positions = realloc(self._positions, room * sizeof(uint32_t))
        if positions == NULL:
            raise MemoryError
        self._positions = <uint32_t *>positions
        self._room = room
        return 0


cdef inline const uint8_t *_bytes(bytes data):
    return <const uint8_t *>PyBytes_AS_STRING(data)


cdef Py_ssize_t _count_of(bytes digests) except -1:
    if PyBytes_GET_SIZE(digests) % DIGEST_BYTES:
        raise ValueError(f"digests have {DIGEST_BYTES} bytes each")
    return PyBytes_GET_SIZE(digests) // DIGEST_BYTES


cdef carray.array _find(const table *known, bytes digests):
    cdef Py_ssize_t count = _count_of(digests)
    cdef carray.array ids = carray.clone(array("q"), count, False)
    table_find_many(known, _bytes(digests), count, ids.data.as_longlongs)
    return ids


cdef int _check_arguments(bytes seed, Py_ssize_t capacity) except -1:
    if PyBytes_GET_SIZE(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes")
    if not 0 <= capacity <= <Py_ssize_t>MAX_IDS:
        raise ValueError(f"a capacity is at most {MAX_IDS}")
    return 0


cdef int _check_room(size_t held, Py_ssize_t more, Py_ssize_t capacity) except -1:
    if <Py_ssize_t>held + more > capacity:
        raise ValueError(f"the index is full at {capacity}")
    return 0


cdef Py_ssize_t _max_parents = limits.MAX_PARENTS


cdef int _check_blocks(
    const long long[::1] rounds, const long long[::1] authors,
    const long long[::1] parent_counts, Py_ssize_t parents_bytes,
) except -1:
    cdef long long total = 0
    cdef Py_ssize_t index
    for index in range(rounds.shape[0]):
        if rounds[index] < 0 or not 0 <= authors[index] <= 0xffffffff:
            raise ValueError("rounds and authors are not negative, and authors have 32 bits")
        if not 0 <= parent_counts[index] <= _max_parents:
            raise ValueError(f"a block has at most {_max_parents} parents")
        total += parent_counts[index]
    if parents_bytes != total * DIGEST_BYTES:
        raise ValueError("parents must be as many digests as the counts say")
    return 0
