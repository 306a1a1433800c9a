"""The order's hash for CPUs that the tests may not have: compiled without their instructions."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ccp2p.model import hashing

_EXT = Path(__file__).parents[2] / "ext"
_COMPILER = shutil.which("cc") or shutil.which("gcc")


class Place(ctypes.Structure):
    _fields_ = [("hash", ctypes.c_uint64 * 4), ("id", ctypes.c_uint64)]


class Order(ctypes.Structure):
    _fields_ = [
        ("domain", ctypes.c_char_p),
        ("domain_bytes", ctypes.c_size_t),
        ("coin", ctypes.c_char_p),
        ("coin_bytes", ctypes.c_size_t),
    ]


@pytest.fixture(scope="module", params=["portable", "avx512"])
def order_hash(request, tmp_path_factory):
    if _COMPILER is None:
        pytest.skip("no C compiler here: the hash cannot be built alone")
    target = tmp_path_factory.mktemp("order") / f"{request.param}.so"
    source = _EXT / "log_index" / f"order_{request.param}.c"
    flags = ("-std=c11", "-O1", "-fPIC", "-shared", "-Wno-psabi", "-DCCP2P_EMULATE")
    command = [_COMPILER, *flags, f"-I{_EXT}", str(source), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return getattr(ctypes.CDLL(str(target)), f"order_hash_{request.param}")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 33])
@pytest.mark.parametrize("coin", [b"", b"c", bytes(range(64))])
def test_every_hash_is_hashlibs(order_hash, count, coin):
    digests = [os.urandom(32) for _ in range(count)]
    ids = [(number * 5 + 3) % count for number in range(count)]
    places = (Place * count)(*(Place(id=number) for number in ids))
    order = Order(hashing.LINEAR_ORDER, len(hashing.LINEAR_ORDER), coin, len(coin))
    order_hash(places, ctypes.c_size_t(count), b"".join(digests), ctypes.byref(order))
    for place in places:
        words = b"".join(word.to_bytes(8, "big") for word in place.hash)
        assert words == hashing.keyed(hashing.LINEAR_ORDER, coin, digests[place.id])
    assert [place.id for place in places] == ids
