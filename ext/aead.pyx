"""Seals and opens many items in one call, into one buffer, without the GIL.

The ciphers are libsodium's, reached inside PyNaCl by function pointer. The pure twin is
`ccp2p/crypto/_aead_pure.py`; the known-answer test of each pointer is in `ccp2p/crypto/aead.py`.
"""

from array import array

from cpython cimport array as carray
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ccp2p.crypto import _sodium
from ccp2p.crypto.arena import Arena

cdef extern from *:
    """
    typedef int (*ccp2p_seal)(unsigned char *, unsigned long long *, const unsigned char *,
        unsigned long long, const unsigned char *, unsigned long long, const unsigned char *,
        const unsigned char *, const unsigned char *);
    typedef int (*ccp2p_open)(unsigned char *, unsigned long long *, unsigned char *,
        const unsigned char *, unsigned long long, const unsigned char *, unsigned long long,
        const unsigned char *, const unsigned char *);
    """
    ctypedef int (*ccp2p_seal)(
        unsigned char *, unsigned long long *, const unsigned char *, unsigned long long,
        const unsigned char *, unsigned long long, const unsigned char *, const unsigned char *,
        const unsigned char *) noexcept nogil
    ctypedef int (*ccp2p_open)(
        unsigned char *, unsigned long long *, unsigned char *, const unsigned char *,
        unsigned long long, const unsigned char *, unsigned long long, const unsigned char *,
        const unsigned char *) noexcept nogil

DEF KEY_BYTES = 32

cdef struct Cipher:
    Py_ssize_t nonce_bytes
    Py_ssize_t tag_bytes
    ccp2p_seal seal
    ccp2p_open open

# One item's inputs, borrowed from bytes objects that the caller's frame keeps alive.
cdef struct Item:
    const unsigned char *key
    const unsigned char *associated
    Py_ssize_t associated_bytes
    const unsigned char *text
    Py_ssize_t text_bytes

cdef Cipher _AEGIS256
cdef Cipher _XCHACHA20


cdef int _bind(Cipher *cipher, str prefix, Py_ssize_t nonce_bytes, Py_ssize_t tag_bytes) except -1:
    cipher.nonce_bytes = nonce_bytes
    cipher.tag_bytes = tag_bytes
    cipher.seal = <ccp2p_seal><uintptr_t>_sodium.address(prefix + "_encrypt")
    cipher.open = <ccp2p_open><uintptr_t>_sodium.address(prefix + "_decrypt")
    return 0


_bind(&_AEGIS256, "crypto_aead_aegis256", 32, 32)
_bind(&_XCHACHA20, "crypto_aead_xchacha20poly1305_ietf", 24, 16)


cdef Cipher *_cipher(str algorithm) except NULL:
    if algorithm == "aegis256":
        return &_AEGIS256
    if algorithm == "xchacha20":
        return &_XCHACHA20
    raise ValueError(f"unknown algorithm {algorithm!r}")


def seal_many(str algorithm, keys, bytes nonces not None, associated, plaintexts):
    """Seal each item; `nonces` are all nonces one after another."""
    cdef Cipher *cipher = _cipher(algorithm)
    cdef tuple held = (tuple(keys), tuple(associated), tuple(plaintexts))
    cdef Py_ssize_t count = len(held[0])
    cdef Py_ssize_t overhead = cipher.nonce_bytes + cipher.tag_bytes
    if PyBytes_GET_SIZE(nonces) != cipher.nonce_bytes * count:
        raise ValueError("there must be one nonce an item")
    cdef carray.array offsets = carray.clone(array("q"), count, False)
    cdef carray.array lengths = carray.clone(array("q"), count, False)
    cdef long long *offset = offsets.data.as_longlongs
    cdef long long *length = lengths.data.as_longlongs
    cdef const unsigned char *nonce = <const unsigned char *>PyBytes_AS_STRING(nonces)
    cdef Py_ssize_t total = 0
    cdef Py_ssize_t index
    cdef bytes buffer
    cdef unsigned char *out
    cdef Item *items = _items(held, count)
    try:
        for index in range(count):
            offset[index] = total
            length[index] = items[index].text_bytes + overhead
            total += length[index]
        buffer = PyBytes_FromStringAndSize(NULL, total)
        out = <unsigned char *>PyBytes_AS_STRING(buffer)
        with nogil:
            for index in range(count):
                _seal(cipher, &items[index], nonce + index * cipher.nonce_bytes,
                      out + offset[index])
    finally:
        free(items)
    return Arena(buffer, offsets, lengths)


def open_many(str algorithm, keys, associated, sealed):
    """Open each item; one that is too short, altered or under another key fails alone."""
    cdef Cipher *cipher = _cipher(algorithm)
    cdef tuple held = (tuple(keys), tuple(associated), tuple(sealed))
    cdef Py_ssize_t count = len(held[0])
    cdef Py_ssize_t overhead = cipher.nonce_bytes + cipher.tag_bytes
    cdef carray.array offsets = carray.clone(array("q"), count, False)
    cdef carray.array lengths = carray.clone(array("q"), count, False)
    cdef long long *offset = offsets.data.as_longlongs
    cdef long long *length = lengths.data.as_longlongs
    cdef Py_ssize_t total = 0
    cdef Py_ssize_t index
    cdef bytes buffer
    cdef unsigned char *out
    cdef Item *items = _items(held, count)
    try:
        for index in range(count):
            offset[index] = total
            length[index] = items[index].text_bytes - overhead
            total += max(length[index], 0)
        buffer = PyBytes_FromStringAndSize(NULL, total)
        out = <unsigned char *>PyBytes_AS_STRING(buffer)
        with nogil:
            for index in range(count):
                length[index] = _open(cipher, &items[index], out + offset[index], length[index])
    finally:
        free(items)
    return Arena(buffer, offsets, lengths)


def open_one(str algorithm, key, associated, sealed):
    """Open one item, or None: `open_many` without an arena, for answers that come one at a time."""
    cdef Cipher *cipher = _cipher(algorithm)
    cdef Item *item = _items(((key,), (associated,), (sealed,)), 1)
    cdef long long length = item.text_bytes - cipher.nonce_bytes - cipher.tag_bytes
    cdef bytes buffer
    try:
        buffer = PyBytes_FromStringAndSize(NULL, max(length, 0))
        length = _open(cipher, item, <unsigned char *>PyBytes_AS_STRING(buffer), length)
    finally:
        free(item)
    return None if length < 0 else buffer


cdef Item *_items(tuple held, Py_ssize_t count) except NULL:
    cdef tuple keys = held[0]
    cdef tuple associated = held[1]
    cdef tuple texts = held[2]
    if len(associated) != count or len(texts) != count:
        raise ValueError("keys, associated data and texts must be of one number")
    cdef Py_ssize_t index
    for index in range(count):
        if not (
            PyBytes_CheckExact(keys[index])
            and PyBytes_CheckExact(associated[index])
            and PyBytes_CheckExact(texts[index])
        ):
            raise TypeError("keys, associated data and texts must be bytes")
        if PyBytes_GET_SIZE(keys[index]) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
    cdef Item *items = <Item *>malloc(max(count, 1) * sizeof(Item))
    if items == NULL:
        raise MemoryError
    for index in range(count):
        items[index].key = <const unsigned char *>PyBytes_AS_STRING(keys[index])
        items[index].associated = <const unsigned char *>PyBytes_AS_STRING(associated[index])
        items[index].associated_bytes = PyBytes_GET_SIZE(associated[index])
        items[index].text = <const unsigned char *>PyBytes_AS_STRING(texts[index])
        items[index].text_bytes = PyBytes_GET_SIZE(texts[index])
    return items


cdef void _seal(
    Cipher *cipher, Item *item, const unsigned char *nonce, unsigned char *out
) noexcept nogil:
    cdef unsigned long long written
    memcpy(out, nonce, cipher.nonce_bytes)
    cipher.seal(
        out + cipher.nonce_bytes, &written, item.text, item.text_bytes, item.associated,
        item.associated_bytes, NULL, nonce, item.key,
    )


cdef long long _open(
    Cipher *cipher, Item *item, unsigned char *out, long long length
) noexcept nogil:
    cdef unsigned long long written
    if length < 0:
        return -1
    if cipher.open(
        out, &written, NULL, item.text + cipher.nonce_bytes,
        item.text_bytes - cipher.nonce_bytes, item.associated, item.associated_bytes, item.text,
        item.key,
    ) != 0:
        # The buffer began uninitialised; nothing of a failed item may stay in it.
        memset(out, 0, length)
        return -1
    return length
