"""Which core a module runs on: the native extension, or its readable pure twin.

The choice is made once a process, at import. A missing extension is an error, never a silent
fall to the slow path.
"""

import os
from importlib import import_module
from types import ModuleType
from typing import Final

PURE: Final = os.environ.get("CCP2P_PURE", "") not in ("", "0")
_TWIN: Final = "_pure"


def choose(name: str) -> ModuleType:
    """The native module `ccp2p.crypto._<name>`, or its twin `ccp2p.crypto._<name>_pure`.

    `CCP2P_<NAME>=pure` picks one twin alone. Raises ImportError, saying what to do, where the
    extension is not built.
    """
    if PURE or os.environ.get(f"CCP2P_{name.upper()}") == "pure":
        return import_module(f"ccp2p.crypto._{name}{_TWIN}")
    try:
        return import_module(f"ccp2p.crypto._{name}")
    except ImportError as error:
        raise ImportError(
            f"the native core ccp2p.crypto._{name} does not load ({error}); build it with "
            "`pip install -e . --no-build-isolation`, or set CCP2P_PURE=1 for the slow pure twin"
        ) from error


def is_native(core: ModuleType) -> bool:
    """Whether `choose` gave the native module."""
    return not core.__name__.endswith(_TWIN)
