"""libsodium's own functions in plain loops: what `ccp2p bench native` compares the core with.

Nothing but the benchmark calls this. Results go to one scratch buffer, over and over.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

from ccp2p.crypto import _sodium

ctypedef unsigned char u8
ctypedef unsigned long long u64
ctypedef int (*Verify)(u8 *, u64 *, const u8 *, u64, const u8 *) noexcept nogil
ctypedef int (*Seal)(
    u8 *, u64 *, const u8 *, u64, const u8 *, u64, const u8 *, const u8 *, const u8 *
) noexcept nogil
ctypedef int (*Open)(
    u8 *, u64 *, u8 *, const u8 *, u64, const u8 *, u64, const u8 *, const u8 *) noexcept nogil

cdef Verify _verify = <Verify><uintptr_t>_sodium.address("crypto_sign_open")

# More than any tag adds to a text.
DEF SPARE_BYTES = 64


def verify_all(list publics, list signed):
    """How many of `signed`, each signature || message, are valid under their public key."""
    cdef u8 *scratch = _scratch(signed)
    cdef u64 written
    cdef Py_ssize_t index
    cdef int valid = 0
    try:
        for index in range(len(signed)):
            valid += _verify(scratch, &written, _bytes(signed[index]), len(signed[index]),
                             _bytes(publics[index])) == 0
    finally:
        free(scratch)
    return valid


def seal_all(str name, bytes key, bytes nonce, bytes associated, list texts):
    """Seal each text alike with `crypto_aead_<name>_encrypt`; how many bytes the last one has."""
    cdef Seal seal = <Seal><uintptr_t>_sodium.address(f"crypto_aead_{name}_encrypt")
    cdef u8 *scratch = _scratch(texts)
    cdef u64 written = 0
    try:
        for text in texts:
            seal(scratch, &written, _bytes(text), len(text), _bytes(associated), len(associated),
                 NULL, _bytes(nonce), _bytes(key))
    finally:
        free(scratch)
    return written


def open_all(str name, bytes key, bytes nonce, bytes associated, list ciphertexts):
    """How many of the ciphertexts `crypto_aead_<name>_decrypt` opens."""
    cdef Open open_ = <Open><uintptr_t>_sodium.address(f"crypto_aead_{name}_decrypt")
    cdef u8 *scratch = _scratch(ciphertexts)
    cdef u64 written
    cdef int opened = 0
    try:
        for text in ciphertexts:
            opened += open_(scratch, &written, NULL, _bytes(text), len(text), _bytes(associated),
                            len(associated), _bytes(nonce), _bytes(key)) == 0
    finally:
        free(scratch)
    return opened


cdef inline const u8 *_bytes(bytes data):
    return <const u8 *>PyBytes_AS_STRING(data)


cdef u8 *_scratch(list texts) except NULL:
    cdef Py_ssize_t longest = 0
    for text in texts:
        longest = max(longest, PyBytes_GET_SIZE(text))
    cdef u8 *scratch = <u8 *>malloc(longest + SPARE_BYTES)
    if scratch == NULL:
        raise MemoryError
    return scratch
