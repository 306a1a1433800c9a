"""Walks a chain of BLAKE2b-256 digests without the GIL, through PyNaCl's libsodium."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from ccp2p.crypto import _sodium

DEF DIGEST_BYTES = 32
DEF PERSON_BYTES = 16

ctypedef int (*Blake2b)(
    unsigned char *, size_t, const unsigned char *, unsigned long long, const unsigned char *,
    size_t, const unsigned char *, const unsigned char *) noexcept nogil

cdef Blake2b _blake2b = <Blake2b><uintptr_t>_sodium.address(
    "crypto_generichash_blake2b_salt_personal")


def walk(bytes domain not None, bytes start not None, Py_ssize_t steps):
    """`start` hashed `steps` times under `domain`."""
    if len(start) != DIGEST_BYTES or steps < 0:
        raise ValueError(f"a chain value has {DIGEST_BYTES} bytes and steps are not negative")
    if len(domain) > PERSON_BYTES:
        raise ValueError(f"a domain has at most {PERSON_BYTES} bytes")
    cdef unsigned char person[PERSON_BYTES]
    cdef unsigned char salt[PERSON_BYTES]
    cdef unsigned char value[2][DIGEST_BYTES]
    memset(salt, 0, PERSON_BYTES)
    memset(person, 0, PERSON_BYTES)
    memcpy(person, PyBytes_AS_STRING(domain), len(domain))
    memcpy(value[0], PyBytes_AS_STRING(start), DIGEST_BYTES)
    cdef Py_ssize_t step
    with nogil:
        for step in range(steps):
            _blake2b(value[(step + 1) & 1], DIGEST_BYTES, value[step & 1], DIGEST_BYTES, NULL, 0,
                     salt, person)
    return PyBytes_FromStringAndSize(<char *>value[steps & 1], DIGEST_BYTES)
