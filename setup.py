"""Builds the native core from `ext/`. Everything else is in pyproject.toml.

No `-march`: one build serves every CPU of an architecture, and picks its vector code at run time.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

EXTENSIONS = [
    Extension("ccp2p.crypto._aead", ["ext/aead.pyx"], extra_compile_args=["-O3"]),
    Extension("ccp2p.crypto._hashchain", ["ext/hashchain.pyx"], extra_compile_args=["-O3"]),
]

setup(
    ext_modules=cythonize(
        EXTENSIONS,
        build_dir="build",
        include_path=["ext"],
        compiler_directives={"language_level": "3"},
    )
)
