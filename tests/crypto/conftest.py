"""Fixtures that run one test on the native core and on its pure twin, and find the vectors."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_VECTORS = Path(__file__).parents[2] / ".." / "shared" / "vectors"


@pytest.fixture(params=["native", "pure"])
def core(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Imports `ccp2p.crypto._<name>` or its twin."""
    suffix = "_pure" if request.param == "pure" else ""
    return lambda name: importlib.import_module(f"ccp2p.crypto._{name}{suffix}")


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Reads a published vector file, or skips the test where it is absent."""

    def read(name: str) -> Any:
        path = _VECTORS / name
        if not path.exists():
            pytest.skip(f"published vectors are absent: shared/vectors/{name}")
        return json.loads(path.read_text())

    return read
