"""Folds writes into encoded buckets and hashes what changed, up to the root, without the GIL.

The C code is in `ext/buckets/`; the readable pure twin is `ccp2p/crypto/_buckets_pure.py`.
"""

import os

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

cdef extern from "buckets/buckets.h":
    enum:
        DIGEST_BYTES
        ENTRY_BYTES
        MAX_ENTRY_BYTES
        ARITY
        TREE_LEVELS
        LEAVES
    struct span:
        const uint8_t *data
        size_t bytes
    struct write_t "write":
        span key
        span value
        uint32_t place
    struct entry:
        span key
        span value
    int entry_next(span *rest, entry *) nogil
    long long bucket_count(span) nogil
    int writes_prepare(
        write_t *, size_t count, const uint8_t *placement, const uint8_t *salt_key,
        size_t salt_key_bytes, uint64_t epoch, uint64_t commit) nogil
    long long bucket_merge(span, const write_t *, size_t count, uint8_t *out) nogil
    int bucket_digests(const span *, size_t count, uint8_t (*digests)[DIGEST_BYTES]) nogil
    int tree_update(
        uint8_t **levels, const uint32_t *indices, const uint8_t (*leaves)[DIGEST_BYTES],
        size_t count, uint8_t *root) nogil
    int blake2b_use(const char *name)

cdef bytes _backend = os.environ.get("CCP2P_BLAKE2B", "").replace("pure", "").encode()
if not blake2b_use(_backend):
    raise ValueError("CCP2P_BLAKE2B names a backend that this CPU lacks")

DEF KEY_BYTES = 32


def fold(dict writes not None, load, bytes placement not None, bytes salt_key not None,
         uint64_t epoch, uint64_t commit):
    """Fold `{key: value or None}` into the buckets that `load(places)` gives."""
    cdef Py_ssize_t count = len(writes)
    if len(placement) != KEY_BYTES or len(salt_key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    cdef const uint8_t *placing = _bytes(placement)
    cdef const uint8_t *salting = _bytes(salt_key)
    cdef list held = list(writes.items())  # keeps every key and value alive
    cdef write_t *changes = <write_t *>malloc(max(count, 1) * sizeof(write_t))
    cdef int done
    cdef Py_ssize_t index
    if changes == NULL:
        raise MemoryError
    try:
        for index in range(count):
            _read_write(&changes[index], held[index])
        with nogil:
            done = writes_prepare(changes, count, placing, salting, KEY_BYTES, epoch, commit)
        if not done:
            raise MemoryError
        return _merge_all(changes, count, load)
    finally:
        free(changes)


cdef int _read_write(write_t *out, tuple item) except -1:
    key, value = item
    if not PyBytes_CheckExact(key) or not (value is None or PyBytes_CheckExact(value)):
        raise TypeError("keys and values must be bytes")
    out.key = _span(key)
    out.value.data = NULL
    out.value.bytes = 0
    if value is not None:
        out.value = _span(value)
        if out.key.bytes + out.value.bytes > MAX_ENTRY_BYTES:
            raise ValueError("a key or value is too long")
    return 0


cdef tuple _merge_all(const write_t *changes, Py_ssize_t count, load):
    """(places, encoded buckets, digests one after another) of the buckets that changed."""
    cdef list places = [], encoded = [], olds
    cdef Py_ssize_t index, first = 0, number = 0
    for index in range(count):
        if index == 0 or changes[index].place != changes[index - 1].place:
            places.append(changes[index].place)
    olds = list(load(places))
    if len(olds) != len(places):
        raise ValueError("one bucket a place must be loaded")
    for old in olds:
        if not PyBytes_CheckExact(old):
            raise TypeError("a bucket must be bytes")
    while first < count:
        index = first
        while index < count and changes[index].place == changes[first].place:
            index += 1
        encoded.append(_merge(olds[number], changes + first, index - first))
        number += 1
        first = index
    return places, encoded, digests(encoded)


cdef bytes _merge(bytes old, const write_t *changes, Py_ssize_t count):
    cdef size_t room = len(old)
    cdef Py_ssize_t index
    cdef long long written
    cdef uint8_t *out
    for index in range(count):
        room += ENTRY_BYTES + changes[index].key.bytes + changes[index].value.bytes
    out = <uint8_t *>malloc(room + 1)
    if out == NULL:
        raise MemoryError
    try:
        written = bucket_merge(_span(old), changes, count, out)
        if written < 0:
            raise ValueError("a bucket is malformed")
        return PyBytes_FromStringAndSize(<char *>out, written)
    finally:
        free(out)


def digests(buckets):
    """The digests of encoded buckets, one after another; ValueError when one is malformed."""
    cdef tuple held = tuple(buckets)
    cdef Py_ssize_t index, count = len(held)
    cdef int done
    cdef bytes found = PyBytes_FromStringAndSize(NULL, count * DIGEST_BYTES)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(found)
    cdef span *spans = <span *>malloc(max(count, 1) * sizeof(span))
    if spans == NULL:
        raise MemoryError
    try:
        for index in range(count):
            if not PyBytes_CheckExact(held[index]):
                raise TypeError("a bucket must be bytes")
            spans[index] = _span(held[index])
        with nogil:
            done = bucket_digests(spans, count, <uint8_t (*)[DIGEST_BYTES]>out)
    finally:
        free(spans)
    if done < 0:
        raise ValueError("a bucket is malformed")
    if not done:
        raise MemoryError
    return found


def find(bytes bucket not None, bytes key not None):
    """The value of a key in an encoded bucket, or None."""
    cdef span rest = _span(bucket)
    cdef size_t key_bytes = len(key)
    cdef entry found
    while rest.bytes:
        if not entry_next(&rest, &found):
            raise ValueError("a bucket is malformed")
        if found.key.bytes == key_bytes and not memcmp(found.key.data, _bytes(key), key_bytes):
            return _slice(found.value)
    return None


def entries(bytes bucket not None):
    """The (key, value) pairs of an encoded bucket, in key order."""
    cdef span rest = _span(bucket)
    cdef entry found
    cdef list pairs = []
    if bucket_count(rest) < 0:
        raise ValueError("a bucket is malformed")
    while rest.bytes:
        entry_next(&rest, &found)
        pairs.append((_slice(found.key), _slice(found.value)))
    return pairs


def update_tree(levels, indices, bytes leaves not None):
    """Set leaves of the tree, indices ascending; the new root, or None when there are none."""
    cdef tuple held = tuple(levels), numbers = tuple(indices)
    cdef Py_ssize_t index, count = len(numbers), size = LEAVES
    cdef uint8_t *nodes[TREE_LEVELS]
    cdef bytes root = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES)
    cdef uint32_t *places
    cdef int done
    if len(held) != TREE_LEVELS or len(leaves) != count * DIGEST_BYTES:
        raise ValueError("levels, indices and leaves do not fit")
    for index in range(TREE_LEVELS):
        if type(held[index]) is not bytearray:
            raise TypeError("a level must be a bytearray")
        if len(held[index]) != size * DIGEST_BYTES:
            raise ValueError("levels, indices and leaves do not fit")
        nodes[index] = <uint8_t *><char *>held[index]
        size //= ARITY
    places = <uint32_t *>malloc(max(count, 1) * sizeof(uint32_t))
    if places == NULL:
        raise MemoryError
    try:
        for index in range(count):
            if not 0 <= numbers[index] < LEAVES or (index and numbers[index] <= places[index - 1]):
                raise ValueError("indices must ascend, below the number of leaves")
            places[index] = numbers[index]
        done = tree_update(
            nodes, places, <const uint8_t (*)[DIGEST_BYTES]>_bytes(leaves), count,
            <uint8_t *>PyBytes_AS_STRING(root))
    finally:
        free(places)
    if not done:
        raise MemoryError
    return root if count else None


cdef inline const uint8_t *_bytes(bytes data):
    return <const uint8_t *>PyBytes_AS_STRING(data)


cdef inline span _span(bytes data):
    cdef span found
    found.data = _bytes(data)
    found.bytes = PyBytes_GET_SIZE(data)
    return found


cdef inline bytes _slice(span part):
    return PyBytes_FromStringAndSize(<const char *>part.data, part.bytes)
