"""Imports the installed native core, whose import runs every known-answer test; see `make package`.

A backend that this CPU lacks is said so and is no failure.
"""

import os
import sys
from importlib import import_module

NAMES = ("aead", "blake2b", "buckets", "envelopes", "hashchain", "log_index", "signatures")


def main() -> int:
    """0 when all is native and comes from the environment of this interpreter."""
    backend = os.environ.get("CCP2P_BLAKE2B") or "the CPU's own"
    for name in NAMES:
        try:
            module = import_module(f"ccp2p.crypto.{name}")
        except ValueError as error:
            print(f"{backend}: skipped, {error}")
            return 0
        if not module.NATIVE or not module.__file__.startswith(sys.prefix):
            print(f"{name} is {module.__file__}, native: {module.NATIVE}")
            return 1
    print(f"{backend}: {len(NAMES)} native modules import")
    return 0


if __name__ == "__main__":
    sys.exit(main())
