"""BLAKE2b of many messages: both twins are hashlib's, on every backend and for every length."""

import ctypes
import os
import shutil
import subprocess
from hashlib import blake2b as reference
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccp2p.crypto import _blake2b, blake2b

_EXT = Path(__file__).parents[2] / "ext"
_COMPILER = shutil.which("cc") or shutil.which("gcc")
DOMAIN = b"ccp2p.test"


@pytest.fixture
def twin(core) -> ModuleType:
    return core("blake2b")


@pytest.fixture(params=_blake2b.BACKENDS)
def backend(request) -> ModuleType:
    _blake2b.use(request.param)
    yield _blake2b
    _blake2b.use("")


def digest(message: bytes, key: bytes = b"", domain: bytes = DOMAIN) -> bytes:
    return reference(message, digest_size=32, person=domain, key=key).digest()


@pytest.mark.parametrize("key", [b"", b"k", bytes(range(64))])
def test_every_length_on_every_backend_is_hashlibs(backend, key):
    messages = [os.urandom(length) for length in (*range(400), 1024, 4095, 4096, 10_000)]
    expected = b"".join(digest(message, key) for message in messages)
    assert backend.digest_each(DOMAIN, messages, key) == expected
    assert backend.digest_each(DOMAIN, messages[::-1], key)[:32] == expected[-32:]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.binary(max_size=700))))
def test_lanes_of_unlike_messages_and_keys_do_not_mix(items):
    keys, messages = [key for key, _ in items], [message for _, message in items]
    each = b"".join(digest(message, key) for key, message in items)
    for name in _blake2b.BACKENDS:
        _blake2b.use(name)
        assert _blake2b.keyed_each(DOMAIN, keys, messages) == each
    _blake2b.use("")
    assert blake2b.split(each) == [digest(message, key) for key, message in items]


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 64])
def test_rows_are_hashed_one_by_one(twin, rows):
    data = os.urandom(rows * 64)
    expected = b"".join(digest(data[64 * row : 64 * row + 64]) for row in range(rows))
    assert twin.digest_rows(DOMAIN, data, 64) == expected


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda core: core.digest_each(b"d" * 17, [b""]), ValueError),
        (lambda core: core.digest_each(b"d", [b""], b"k" * 65), ValueError),
        (lambda core: core.digest_each(b"d", ["text"]), TypeError),
        (lambda core: core.digest_each(b"d", [bytearray(3)]), TypeError),
        (lambda core: core.digest_each("d", [b""]), TypeError),
        (lambda core: core.digest_rows(b"d", bytes(9), 8), ValueError),
        (lambda core: core.digest_rows(b"d", bytes(9), 0), ValueError),
        (lambda core: core.digest_rows(b"d", bytes(8), -8), ValueError),
        (lambda core: core.keyed_each(b"d", [b"k" * 32], []), ValueError),
        (lambda core: core.keyed_each(b"d", [b"k" * 31], [b""]), ValueError),
        (lambda core: core.keyed_each(b"d", [None], [b""]), TypeError),
    ],
)
def test_what_does_not_fit_is_refused(twin, call, error):
    with pytest.raises(error):
        call(twin)


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(ValueError, match="'neon'"):
        _blake2b.use("neon")


class Message(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("bytes", ctypes.c_size_t), ("key", ctypes.c_char_p)]


class Parameters(ctypes.Structure):
    _fields_ = [("person", ctypes.c_char * 16), ("key_bytes", ctypes.c_size_t)]


@pytest.mark.parametrize("name", ["portable", "avx512"])
def test_lanes_that_this_cpu_may_lack_hash_alike(name, tmp_path):
    """Compiled without its instructions."""
    if _COMPILER is None:
        pytest.skip("no C compiler here: the hash cannot be built alone")
    target = tmp_path / "many.so"
    source = _EXT / "blake2b" / f"many_{name}.c"
    flags = ("-std=c11", "-O1", "-fPIC", "-shared", "-Wno-psabi", "-DCCP2P_EMULATE")
    command = [_COMPILER, *flags, f"-I{_EXT}", str(source), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True)
    hash_many = getattr(ctypes.CDLL(str(target)), f"many_{name}")
    texts = [os.urandom(length) for length in (*range(120, 140), 0, 1, 300, 64, 2000)]
    for key in (b"", bytes(range(32))):
        messages = (Message * len(texts))(*(Message(text, len(text), key) for text in texts))
        order = (ctypes.c_uint32 * len(texts))(*reversed(range(len(texts))))
        parameters, out = Parameters(DOMAIN, len(key)), ctypes.create_string_buffer(32 * len(texts))
        count = ctypes.c_size_t(len(texts))
        hash_many(messages, order, count, ctypes.byref(parameters), out)
        assert out.raw == b"".join(digest(text, key) for text in texts)
