"""Opens a commit's envelopes in one call, without the GIL: `ext/envelopes/`.

The readable pure twin is `ccp2p/crypto/_envelopes_pure.py`.
"""

import os

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport uint8_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from ccp2p.crypto import _sodium

cdef extern from "envelopes/envelopes.h":
    enum:
        TAG_BYTES
        KEY_BYTES
        SIGNATURE_BYTES
        NETWORK_BYTES
        EVENT_GOOD
        BLAKE2B_DIGEST_BYTES
    ctypedef int (*open_function)(
        unsigned char *, unsigned long long *, unsigned char *, const unsigned char *,
        unsigned long long, const unsigned char *, unsigned long long, const unsigned char *,
        const unsigned char *) noexcept nogil
    struct cipher_t "cipher":
        size_t nonce_bytes
        size_t tag_bytes
        open_function open
    struct envelope:
        const uint8_t *tag
    struct item_t "item":
        envelope envelope
        const uint8_t *tag_key
        const uint8_t *up_key
        const uint8_t *member
        uint8_t *plaintext
        int status
        const uint8_t *body
        size_t body_bytes
        const uint8_t *signature
        uint64_t sequence
    int envelope_parse(const uint8_t *, size_t, uint64_t epoch, envelope *)
    size_t envelope_plaintext_bytes(const cipher_t *, const envelope *)
    int envelopes_open(
        item_t *, size_t, const cipher_t *, const uint8_t *network, uint64_t epoch,
        uint8_t (*ids)[BLAKE2B_DIGEST_BYTES]) nogil
    int blake2b_use(const char *name)

cdef bytes _backend = os.environ.get("CCP2P_BLAKE2B", "").replace("pure", "").encode()
if not blake2b_use(_backend):
    raise ValueError("CCP2P_BLAKE2B names a backend that this CPU lacks")

cdef cipher_t _AEGIS256
cdef cipher_t _XCHACHA20


cdef int _bind(cipher_t *cipher, str name, size_t nonce_bytes, size_t tag_bytes) except -1:
    cipher.nonce_bytes = nonce_bytes
    cipher.tag_bytes = tag_bytes
    cipher.open = <open_function><uintptr_t>_sodium.address(name)
    return 0


_bind(&_AEGIS256, "crypto_aead_aegis256_decrypt", 32, 32)
_bind(&_XCHACHA20, "crypto_aead_xchacha20poly1305_ietf_decrypt", 24, 16)


def tags_of(envelopes, uint64_t epoch):
    """The tag of each plain envelope of this epoch, None for any other bytes."""
    cdef list tags = []
    cdef envelope parsed
    for data in envelopes:
        if not PyBytes_CheckExact(data):
            raise TypeError("envelopes must be bytes")
        if envelope_parse(_bytes(data), PyBytes_GET_SIZE(data), epoch, &parsed):
            tags.append(PyBytes_FromStringAndSize(<const char *>parsed.tag, TAG_BYTES))
        else:
            tags.append(None)
    return tags


def open_events(
    str algorithm, bytes network not None, uint64_t epoch, envelopes, tag_keys, up_keys, members
):
    """(statuses, sequences, bodies, event ids, signatures); see `ccp2p.crypto.envelopes`."""
    cdef const cipher_t *cipher
    if algorithm == "aegis256":
        cipher = &_AEGIS256
    elif algorithm == "xchacha20":
        cipher = &_XCHACHA20
    else:
        raise ValueError(f"unknown algorithm {algorithm!r}")
    cdef tuple held = (tuple(envelopes), tuple(tag_keys), tuple(up_keys), tuple(members))
    cdef Py_ssize_t index, count = len(held[0])
    if len(network) != NETWORK_BYTES or any([len(column) != count for column in held]):
        raise ValueError("envelopes, keys and members must be of one number, a network of 32 bytes")
    cdef const uint8_t *named = _bytes(network)
    cdef item_t *items = <item_t *>calloc(max(count, 1), sizeof(item_t))
    cdef uint8_t *arena = NULL
    cdef size_t room = 0
    cdef int done
    cdef bytes ids = PyBytes_FromStringAndSize(NULL, count * BLAKE2B_DIGEST_BYTES)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(ids)
    if items == NULL:
        raise MemoryError
    try:
        for index in range(count):
            room += _read_item(&items[index], held, index, epoch, cipher)
        arena = <uint8_t *>malloc(room + 1)
        if arena == NULL:
            raise MemoryError
        room = 0
        for index in range(count):
            items[index].plaintext = arena + room
            room += envelope_plaintext_bytes(cipher, &items[index].envelope)
        with nogil:
            done = envelopes_open(
                items, count, cipher, named, epoch, <uint8_t (*)[BLAKE2B_DIGEST_BYTES]>out)
        if not done:
            raise MemoryError
        return _columns(items, count, ids)
    finally:
        free(arena)
        free(items)


cdef tuple _columns(const item_t *items, Py_ssize_t count, bytes ids):
    cdef Py_ssize_t index
    cdef bytes statuses = PyBytes_FromStringAndSize(NULL, count)
    cdef bytes signatures = PyBytes_FromStringAndSize(NULL, count * SIGNATURE_BYTES)
    cdef uint8_t *status = <uint8_t *>PyBytes_AS_STRING(statuses)
    cdef uint8_t *signature = <uint8_t *>PyBytes_AS_STRING(signatures)
    cdef uint8_t *identifier = <uint8_t *>PyBytes_AS_STRING(ids)
    cdef list sequences = [], bodies = []
    for index in range(count):
        status[index] = items[index].status
        if items[index].status == EVENT_GOOD:
            memcpy(signature + index * SIGNATURE_BYTES, items[index].signature, SIGNATURE_BYTES)
            sequences.append(items[index].sequence)
            bodies.append(PyBytes_FromStringAndSize(
                <const char *>items[index].body, items[index].body_bytes))
        else:
            memset(signature + index * SIGNATURE_BYTES, 0, SIGNATURE_BYTES)
            memset(identifier + index * BLAKE2B_DIGEST_BYTES, 0, BLAKE2B_DIGEST_BYTES)
            sequences.append(0)
            bodies.append(b"")
    return statuses, sequences, bodies, ids, signatures


cdef Py_ssize_t _read_item(
    item_t *out, tuple held, Py_ssize_t index, uint64_t epoch, const cipher_t *cipher
) except -1:
    """Fills in an item; how many bytes its plaintext needs."""
    data = held[0][index]
    if not PyBytes_CheckExact(data):
        raise TypeError("envelopes must be bytes")
    if not envelope_parse(_bytes(data), PyBytes_GET_SIZE(data), epoch, &out.envelope):
        raise ValueError("not a plain envelope of this epoch")
    out.tag_key = _key(held[1][index])
    out.up_key = _key(held[2][index])
    out.member = _key(held[3][index])
    return envelope_plaintext_bytes(cipher, &out.envelope)


cdef const uint8_t *_key(object key) except NULL:
    if not PyBytes_CheckExact(key):
        raise TypeError("keys and members must be bytes")
    if PyBytes_GET_SIZE(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    return _bytes(key)


cdef inline const uint8_t *_bytes(bytes data):
    return <const uint8_t *>PyBytes_AS_STRING(data)
