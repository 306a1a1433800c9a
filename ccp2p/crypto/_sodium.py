"""Addresses of libsodium's functions inside PyNaCl, so that native code calls them without the GIL.

PyNaCl is a cffi module that carries its own libsodium; no system library is needed. Each address
is used only after a known-answer test of the function behind it.
"""

from nacl._sodium import ffi, lib


def address(name: str) -> int:
    """Where `name` lives; AttributeError when this libsodium lacks it."""
    if lib.sodium_init() < 0:
        raise ImportError("libsodium does not initialise")
    return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))
