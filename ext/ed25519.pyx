"""Verifies many Ed25519 signatures in one call, without the GIL: the C code of `ext/ed25519/`.

The pure twin, with the rule written out, is `ccp2p/crypto/_ed25519_pure.py`. `CCP2P_ED25519`
chooses a backend by name (`portable`, `avx2`, `ifma`); unset, the fastest of this CPU.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc

cdef extern from "ed25519/verify.h":
    cdef struct item:
        const uint8_t *public_key
        const uint8_t *signature
        const uint8_t *message
        uint64_t length
    cdef struct affine:
        pass
    cdef struct backend_t "backend":
        const char *name
    cdef struct key_cache:
        const uint64_t *seed
    cdef struct verification:
        pass
    enum:
        MAX_BATCH
        COEFFICIENT_BYTES
        BASE_MULTIPLES
        KEY_BYTES
        SIGNATURE_BYTES
    const backend_t *backend_find(const char *name)
    const backend_t *backend_best()
    key_cache *key_cache_new(const uint8_t *seed)
    void base_multiples(affine *out)
    verification *verification_new(const item *items, size_t count)
    void verification_prepare(verification *, key_cache *, const uint64_t *seed)
    int verification_run(
        verification *, const backend_t *, const affine *base, const uint8_t *coefficients,
        uint8_t *verdicts) nogil
    void verification_remember(verification *, key_cache *, const uint8_t *verdicts)
    void verification_free(verification *)

cdef affine _base[BASE_MULTIPLES]
base_multiples(_base)

_seed = os.urandom(32)
cdef key_cache *_cache = key_cache_new(<const uint8_t *>PyBytes_AS_STRING(_seed))
if _cache == NULL:
    raise MemoryError
del _seed


cdef const backend_t *_find(str name) except NULL:
    cdef const backend_t *found = backend_find(name.encode())
    if found == NULL:
        raise ValueError(f"there is no Ed25519 backend {name!r} for this CPU")
    return found


cdef const backend_t *_chosen = backend_best()
if os.environ.get("CCP2P_ED25519", "") not in ("", "pure"):  # pure: imported for comparison
    _chosen = _find(os.environ["CCP2P_ED25519"])

BACKEND = _chosen.name.decode()
BACKENDS = tuple(
    name for name in ("portable", "avx2", "ifma") if backend_find(name.encode()) != NULL
)


def verify_many(items, str backend=None, bint cached=True):
    """One verdict for each (public key, signature, message).

    `backend` and `cached` are for tests and measurements: another backend, no key cache.
    """
    cdef tuple held = tuple(items)
    cdef const backend_t *engine = _chosen if backend is None else _find(backend)
    cdef Py_ssize_t count = len(held)
    cdef Py_ssize_t index
    cdef item *inputs = <item *>malloc(max(count, 1) * sizeof(item))
    if inputs == NULL:
        raise MemoryError
    try:
        # Each tuple is kept by `held`, and keeps its bytes.
        held = tuple([entry if type(entry) is tuple else tuple(entry) for entry in held])
        for index in range(count):
            _read_item(&inputs[index], held[index])
        return _verify(engine, inputs, count, cached)
    finally:
        free(inputs)


def verify_arena(
    bytes publics not None, bytes signatures not None, bytes messages not None,
    const long long[::1] offsets, const long long[::1] lengths, str backend=None,
    bint cached=True,
):
    """As `verify_many`, over an arena; a message of length -1 is refused."""
    cdef const backend_t *engine = _chosen if backend is None else _find(backend)
    cdef Py_ssize_t count = offsets.shape[0]
    if (
        lengths.shape[0] != count
        or len(publics) != count * KEY_BYTES
        or len(signatures) != count * SIGNATURE_BYTES
    ):
        raise ValueError("keys, signatures and messages must be of one number")
    cdef item *inputs = <item *>malloc(max(count, 1) * sizeof(item))
    cdef const uint8_t *text = <const uint8_t *>PyBytes_AS_STRING(messages)
    cdef long long size = len(messages)
    cdef Py_ssize_t index
    if inputs == NULL:
        raise MemoryError
    try:
        for index in range(count):
            inputs[index].public_key = NULL
            if lengths[index] < 0:
                continue
            if not 0 <= offsets[index] <= size - lengths[index]:
                raise ValueError("a message lies outside of the arena")
            inputs[index].public_key = (
                <const uint8_t *>PyBytes_AS_STRING(publics) + index * KEY_BYTES)
            inputs[index].signature = (
                <const uint8_t *>PyBytes_AS_STRING(signatures) + index * SIGNATURE_BYTES)
            inputs[index].message = text + offsets[index]
            inputs[index].length = lengths[index]
        return _verify(engine, inputs, count, cached)
    finally:
        free(inputs)


cdef int _read_item(item *out, tuple entry) except -1:
    public, signature, message = entry
    if not (
        PyBytes_CheckExact(public)
        and PyBytes_CheckExact(signature)
        and PyBytes_CheckExact(message)
    ):
        raise TypeError("public key, signature and message must be bytes")
    out.public_key = NULL
    if PyBytes_GET_SIZE(public) != KEY_BYTES or PyBytes_GET_SIZE(signature) != SIGNATURE_BYTES:
        return 0
    out.public_key = <const uint8_t *>PyBytes_AS_STRING(public)
    out.signature = <const uint8_t *>PyBytes_AS_STRING(signature)
    out.message = <const uint8_t *>PyBytes_AS_STRING(message)
    out.length = PyBytes_GET_SIZE(message)
    return 0


cdef list _verify(const backend_t *engine, const item *inputs, Py_ssize_t count, bint cached):
    cdef list verdicts = []
    cdef Py_ssize_t start
    for start in range(0, count, MAX_BATCH):
        _verify_batch(verdicts, engine, inputs + start, min(count - start, MAX_BATCH), cached)
    return verdicts


cdef int _verify_batch(
    list verdicts, const backend_t *engine, const item *inputs, Py_ssize_t count, bint cached
) except -1:
    cdef uint8_t results[MAX_BATCH]
    cdef key_cache *cache = _cache if cached else NULL
    cdef bytes random = os.urandom(COEFFICIENT_BYTES * count)
    cdef const uint8_t *coefficients = <const uint8_t *>PyBytes_AS_STRING(random)
    cdef Py_ssize_t index
    cdef verification *batch = verification_new(inputs, count)
    if batch == NULL:
        raise MemoryError
    verification_prepare(batch, cache, _cache.seed)
    with nogil:
        verification_run(batch, engine, _base, coefficients, results)
    if cached:
        verification_remember(batch, cache, results)
    verification_free(batch)
    for index in range(count):
        verdicts.append(results[index] != 0)
    return 0
