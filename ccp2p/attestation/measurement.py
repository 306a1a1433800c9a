"""The measurement of the installed program, for the simulated TEE.

Real hardware measures what it loads; a simulated TEE can only hash the package that runs. It
covers every Python source and compiled extension of ccp2p, by name and content.
"""

from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from ccp2p.model import hashing

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_SUFFIXES: Final = (".py", ".so")


@cache
def measurement() -> bytes:
    """The 32-byte measurement of this process's ccp2p; read once, on the first call."""
    return measure(_PACKAGE)


def measure(package: Path) -> bytes:
    """The 32-byte measurement of a package folder, the same wherever it is installed."""
    files = {
        path.relative_to(package).as_posix().encode(): path
        for path in package.rglob("*")
        if path.suffix in _SUFFIXES and path.is_file()
    }
    state = blake2b(digest_size=hashing.DIGEST_BYTES, person=hashing.MEASUREMENT)
    for name, path in sorted(files.items()):
        content = hashing.digest(hashing.MEASUREMENT, path.read_bytes())
        state.update(len(name).to_bytes(4, "little") + name + content)
    return state.digest()
