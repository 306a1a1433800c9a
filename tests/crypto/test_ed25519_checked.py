"""The C code in builds that check themselves: limb bounds, undefined behaviour, addresses.

They run the vector backends with their multiplications written out in C, so that the logic of
AVX-512 IFMA is tested on any CPU. Not optimised: compiling is what takes the time here. They need
a C compiler with sanitizers.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.crypto import _ed25519_pure
from ccp2p.crypto.signatures import SigningKey
from tests.crypto.torsion import sign_with_torsion

_EXT = Path(__file__).parents[2] / "ext"
_COMPILER = shutil.which("cc") or shutil.which("gcc")
_FLAGS = [
    *("-std=c11", "-O0", "-g", "-fPIC", f"-I{_EXT}", "-Wno-psabi"),
    *("-DCCP2P_EMULATE", "-DCCP2P_CHECK_BOUNDS", "-fno-sanitize-recover=all"),
]
P = 2**255 - 19
BACKENDS = ("portable", "avx2", "ifma")
FIELDS = {"field51": 51, "field25x4": 25.5, "field51x8": 51}


def compile_checked(target: Path, sanitizers: str, *arguments: str | Path) -> Path:
    if _COMPILER is None:
        pytest.skip("no C compiler here: the checked builds cannot be made")
    command = [_COMPILER, *_FLAGS, f"-fsanitize={sanitizers}", *map(str, arguments)]
    built = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True)
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip("this compiler has no sanitizer runtime")
    assert built.returncode == 0, built.stderr
    return target


@pytest.fixture(scope="module")
def checked(tmp_path_factory) -> ctypes.CDLL:
    sources = [_EXT / "checks/ed25519.c", *sorted((_EXT / "ed25519").glob("*.c"))]
    target = tmp_path_factory.mktemp("checked") / "ed25519.so"
    return ctypes.CDLL(str(compile_checked(target, "undefined", "-shared", *sources)))


def judge(
    library: ctypes.CDLL,
    backend: str,
    items: list[tuple[bytes, bytes, bytes]],
    as_a_whole: bool | None = None,
) -> list[bool]:
    """The verdicts; if told, whether the equation of the whole batch must have decided them."""
    publics, signatures, messages = (b"".join(part) for part in zip(*items, strict=True))
    offsets, lengths, at = (ctypes.c_uint64 * len(items))(), (ctypes.c_int64 * len(items))(), 0
    for index, (_, _, message) in enumerate(items):
        offsets[index], lengths[index] = at, len(message)
        at += len(message)
    verdicts = ctypes.create_string_buffer(len(items))
    coefficients = os.urandom(16 * len(items))
    count = ctypes.c_size_t(len(items))
    done = library.check_batch(
        backend.encode(),
        count,
        *(publics, signatures, messages, offsets, lengths, coefficients, verdicts),
    )
    assert done == 2 if as_a_whole else done in (1, 2) if as_a_whole is None else done == 1
    return [verdict == 1 for verdict in verdicts.raw]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_judges_the_vectors_within_its_bounds(checked, vectors, backend):
    zip215 = [
        (bytes.fromhex(key), bytes.fromhex(signature), b"Zcash")
        for key, signature in vectors("ed25519/zip215.json")
    ]
    assert judge(checked, backend, zip215) == [True] * len(zip215)
    items = []
    for group in vectors("ed25519/wycheproof.json")["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        items += [
            (key, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            for case in group["tests"]
            if len(case["sig"]) == 128
        ]
    assert judge(checked, backend, items) == _ed25519_pure.verify_many(items)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [1, 2, 5, 8, 9, 17, 130])
def test_every_backend_judges_good_and_bad_batches(checked, backend, size):
    items = []
    for index in range(size):
        key, message = SigningKey(bytes([index % 11]) * 32), os.urandom(index)
        items.append((key.public, key.sign(message), message))
    items[-1] = sign_with_torsion(os.urandom(32), b"torsion", True, True)
    assert judge(checked, backend, items) == [True] * size
    public, signature, message = items[size // 2]
    items[size // 2] = (public, signature, message + b"x")
    assert judge(checked, backend, items) == [index != size // 2 for index in range(size)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("size", "keys"), [(12, 12), (20, 4), (130, 100), (240, 5)])
def test_good_batches_hold_as_a_whole_however_often_their_keys_are_met(
    checked, backend, size, keys
):
    """From its second time on a key's high multiple is kept, and from its third it may be used."""
    authors = [os.urandom(32) for _ in range(keys)]
    items = [
        sign_with_torsion(authors[n % keys], b"message %d" % n, n % 3 == 0, n % keys % 2 == 0)
        for n in range(size)
    ]
    for _ in range(4):
        assert judge(checked, backend, items, as_a_whole=True) == [True] * size
    public, signature, message = items[-1]
    mixed = [*items[:-1], (public, signature, message + b"!")]
    assert judge(checked, backend, mixed, as_a_whole=False) == [*[True] * (size - 1), False]


def test_the_fuzz_target_finds_nothing_in_the_vectors_and_their_neighbours(tmp_path, vectors):
    sources = [_EXT / "checks" / name for name in ("fuzz_ed25519.c", "ed25519.c")]
    sources += sorted((_EXT / "ed25519").glob("*.c"))
    target = tmp_path / "fuzz"
    compile_checked(target, "address,undefined", "-DCCP2P_FUZZ_MAIN", *sources)
    records = [
        bytes.fromhex(case["A"] + case["R"] + case["S"])
        + bytes([len(case["M"])])
        + case["M"].encode()
        for case in vectors("ed25519/cctv.json")[:120]
    ]
    files = []
    for index in range(0, len(records), 15):
        data = bytearray(b"".join(records[index : index + 15]))
        for change, text in (("whole", data), ("cut", data[:-7]), ("bits", data)):
            if change == "bits":
                for at in range(0, len(data), 333):
                    data[at] ^= 1 << at % 8
            files.append(tmp_path / f"{change}{index}")
            files[-1].write_bytes(bytes(text))
    (tmp_path / "empty").write_bytes(b"")
    run = subprocess.run([target, tmp_path / "empty", *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


class Field:
    """One backend's field over raw limbs, each lane read as an integer."""

    def __init__(self, library: ctypes.CDLL, radix_bits: float) -> None:
        self.library = library
        self.lanes, self.limbs = library.field_lanes(), library.field_limbs()
        self.weights = [2 ** -int(-radix_bits * i // 1) for i in range(self.limbs)]
        self.buffer = ctypes.c_uint64 * (self.lanes * self.limbs)

    def value(self, words: list[int], lane: int) -> int:
        return sum(self.weights[i] * words[i * self.lanes + lane] for i in range(self.limbs))

    def run(self, name: str, *operands: list[int]) -> list[int]:
        out = self.buffer()
        getattr(self.library, f"field_{name}")(out, *(self.buffer(*words) for words in operands))
        return list(out)


@pytest.fixture(scope="module", params=FIELDS)
def field(request, tmp_path_factory) -> Field:
    target = tmp_path_factory.mktemp("field") / f"{request.param}.so"
    header = f'-DCCP2P_FIELD="ed25519/{request.param}.h"'
    compile_checked(target, "undefined", "-shared", header, _EXT / "checks/field.c")
    return Field(ctypes.CDLL(str(target)), FIELDS[request.param])


def tight_bounds(field: Field) -> list[int]:
    """The largest tight limbs: 2^17 above the radix, which is 2^26 or 2^25, or 2^51."""
    if field.limbs == 10:
        return [2**25 + 2**17 - 1 if i % 2 else 2**26 + 2**17 - 1 for i in range(10)]
    return [2**51 + 2**17 - 1] * field.limbs


def loose_bounds(field: Field) -> list[int]:
    """The largest loose limbs: tight + 2p, where loose differs from tight at all."""
    if field.lanes == 8:
        return tight_bounds(field)
    twice_p = [2**26 - 2 if i % 2 else 2**27 - 2 for i in range(10)]
    if field.lanes == 1:
        twice_p = [2**52 - 2] * 5
    return [a + b for a, b in zip(tight_bounds(field), twice_p, strict=False)]


def wide_bounds(field: Field) -> list[int]:
    """The largest wide limbs: two tight ones and a loose one."""
    if field.lanes == 8:
        return tight_bounds(field)
    return [2 * a + b for a, b in zip(tight_bounds(field), loose_bounds(field), strict=True)]


def draw_limbs(data, field: Field, bounds: list[int]) -> list[int]:
    """Each lane at the bounds, at zero, or anything between."""
    words = [0] * (field.lanes * field.limbs)
    for lane in range(field.lanes):
        kind = data.draw(st.sampled_from(["bound", "zero", "any"]))
        for i in range(field.limbs):
            word = {"bound": bounds[i], "zero": 0}.get(kind)
            if word is None:
                word = data.draw(st.integers(0, bounds[i]))
            words[i * field.lanes + lane] = word
    return words


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_field_operations_are_arithmetic_up_to_their_bounds(field, data):
    tight, loose = tight_bounds(field), loose_bounds(field)
    a, b = draw_limbs(data, field, wide_bounds(field)), draw_limbs(data, field, loose)
    small = draw_limbs(data, field, tight)
    results = {
        "mul": (field.run("mul", a, b), lambda x, y, _: x * y),
        "sq": (field.run("sq", b), lambda _, y, __: y * y),
        "tighten": (field.run("tighten", b), lambda _, y, __: y),
        "add": (field.run("add", small, small), lambda _, __, z: z + z),
        "sub": (field.run("sub", b, small), lambda _, y, z: y - z),
    }
    for name, (words, expected) in results.items():
        for lane in range(field.lanes):
            x, y, z = (field.value(operand, lane) for operand in (a, b, small))
            assert (field.value(words, lane) - expected(x, y, z)) % P == 0, name
    for name in ("mul", "sq", "tighten"):
        for index, word in enumerate(results[name][0]):
            assert word <= tight[index // field.lanes], name


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_rows_survive_the_transpositions(field, data):
    words = data.draw(
        st.lists(st.integers(0, 2**51 - 1), min_size=15 * field.lanes, max_size=15 * field.lanes)
    )
    buffer = ctypes.c_uint64 * len(words)
    out = buffer()
    field.library.field_rows(out, buffer(*words))
    assert list(out) == words
