"""Builds the native core from `ext/`. Everything else is in pyproject.toml.

No `-march`: one build serves every CPU of an architecture, and picks its vector code at run time.
`CCP2P_SANITIZE=address,undefined` builds for the sanitizers instead (preload libasan to import it).
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

SANITIZERS = os.environ.get("CCP2P_SANITIZE", "")
# Compiling the unrolled vector code with checks takes minutes unless it is left unoptimised.
CHECKED = ["-O0", "-g", f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"]
COMPILE = CHECKED if SANITIZERS else ["-O3"]
LINK = CHECKED if SANITIZERS else []
BLAKE2B = sorted(glob("ext/blake2b/*.c"))


def native(name: str, *sources: str) -> Extension:
    """The extension `ccp2p.crypto._<name>` of these sources."""
    return Extension(
        f"ccp2p.crypto._{name}",
        list(sources),
        depends=[*glob("ext/*.h"), *glob("ext/*/*.h")],
        include_dirs=["ext"],
        extra_compile_args=[*COMPILE, "-std=c11"],
        extra_link_args=LINK,
    )


setup(
    ext_modules=cythonize(
        [
            native("aead", "ext/aead.pyx"),
            native("hashchain", "ext/hashchain.pyx"),
            native("ed25519", "ext/ed25519.pyx", *sorted(glob("ext/ed25519/*.c"))),
            native("libsodium", "ext/libsodium.pyx"),
            native("blake2b", "ext/blake2b.pyx", *BLAKE2B),
            native("buckets", "ext/buckets.pyx", "ext/buckets/buckets.c", *BLAKE2B),
            native("envelopes", "ext/envelopes.pyx", "ext/envelopes/envelopes.c", *BLAKE2B),
            native("log_index", "ext/log_index.pyx", *sorted(glob("ext/log_index/*.c"))),
        ],
        build_dir="build",
        include_path=["ext"],
        compiler_directives={"language_level": "3"},
    )
)
