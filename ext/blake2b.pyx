"""BLAKE2b-256 of many messages in one call, in vector lanes, without the GIL.

The C code is in `ext/blake2b/`, the pure twin is `ccp2p/crypto/_blake2b_pure.py`. `CCP2P_BLAKE2B`
chooses a backend by name (`portable`, `avx2`, `avx512`); unset, the fastest of this CPU.
"""

import os

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

cdef extern from "blake2b/many.h":
    enum:
        BLAKE2B_DIGEST_BYTES
    struct message:
        const uint8_t *data
        size_t bytes
        const uint8_t *key
    struct parameters:
        pass
    int parameters_set(parameters *, const uint8_t *person, size_t person_bytes, size_t key_bytes)
    int blake2b_many(
        const message *, size_t count, const parameters *,
        uint8_t (*digests)[BLAKE2B_DIGEST_BYTES]) nogil
    int blake2b_use(const char *name)

_chosen = os.environ.get("CCP2P_BLAKE2B", "").replace("pure", "")  # pure: a comparison


def use(str backend not None):
    """Pick a backend, for tests and measurements; empty is the fastest."""
    cdef bytes name = backend.encode()
    if not blake2b_use(name):
        raise ValueError(f"there is no BLAKE2b backend {backend!r} for this CPU")


cdef bint _has(bytes name):
    return blake2b_use(name)


BACKENDS = tuple(name for name in ("portable", "avx2", "avx512") if _has(name.encode()))
use(_chosen)


def digest_each(bytes domain not None, messages, bytes key not None=b""):
    """The digests of all messages, one after another."""
    cdef tuple held = tuple(messages)
    cdef Py_ssize_t index, count = len(held)
    cdef message *inputs = _allocate(count)
    try:
        for index in range(count):
            _set(&inputs[index], held[index], _bytes(key))
        return _hash(domain, inputs, count, len(key))
    finally:
        free(inputs)


def digest_rows(bytes domain not None, bytes data not None, Py_ssize_t row_bytes):
    """The digests of the rows of `data`, which all have `row_bytes`."""
    if row_bytes < 1 or len(data) % row_bytes:
        raise ValueError("the data is not whole rows")
    cdef Py_ssize_t index, count = len(data) // row_bytes
    cdef message *inputs = _allocate(count)
    try:
        for index in range(count):
            inputs[index].data = _bytes(data) + index * row_bytes
            inputs[index].bytes = row_bytes
            inputs[index].key = NULL
        return _hash(domain, inputs, count, 0)
    finally:
        free(inputs)


def keyed_each(bytes domain not None, keys, messages):
    """The digests of all messages, each under its own key of 32 bytes."""
    cdef tuple held = tuple(messages), held_keys = tuple(keys)
    cdef Py_ssize_t index, count = len(held)
    if len(held_keys) != count:
        raise ValueError("keys and messages must be of one number")
    cdef message *inputs = _allocate(count)
    try:
        for index in range(count):
            if not PyBytes_CheckExact(held_keys[index]):
                raise TypeError("keys must be bytes")
            if PyBytes_GET_SIZE(held_keys[index]) != 32:
                raise ValueError("a key has 32 bytes")
            _set(&inputs[index], held[index], _bytes(held_keys[index]))
        return _hash(domain, inputs, count, 32)
    finally:
        free(inputs)


cdef message *_allocate(Py_ssize_t count) except NULL:
    cdef message *inputs = <message *>malloc(max(count, 1) * sizeof(message))
    if inputs == NULL:
        raise MemoryError
    return inputs


cdef int _set(message *out, object data, const uint8_t *key) except -1:
    if not PyBytes_CheckExact(data):
        raise TypeError("messages must be bytes")
    out.data = _bytes(data)
    out.bytes = PyBytes_GET_SIZE(data)
    out.key = key
    return 0


cdef bytes _hash(bytes domain, const message *inputs, Py_ssize_t count, Py_ssize_t key_bytes):
    cdef parameters chosen
    cdef int done
    if not parameters_set(&chosen, _bytes(domain), len(domain), key_bytes):
        raise ValueError("a domain has at most 16 bytes, a key at most 64")
    cdef bytes digests = PyBytes_FromStringAndSize(NULL, count * BLAKE2B_DIGEST_BYTES)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(digests)
    with nogil:
        done = blake2b_many(
            inputs, count, &chosen, <uint8_t (*)[BLAKE2B_DIGEST_BYTES]>out)
    if not done:
        raise MemoryError
    return digests


cdef inline const uint8_t *_bytes(bytes data):
    return <const uint8_t *>PyBytes_AS_STRING(data)
