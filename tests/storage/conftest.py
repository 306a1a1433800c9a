"""Stores to test: one in memory, one on a real disk, with the same contents."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Store

KEY = bytes(range(32))
NETWORK = b"n" * 32

OpenStore = Callable[..., LmdbStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens an LmdbStore in a folder of this test; closes all at the end."""
    opened: list[LmdbStore] = []

    def open_(**changes: object) -> LmdbStore:
        settings = {
            "path": tmp_path / "store",
            "key": KEY,
            "network": NETWORK,
            "algorithm": "aegis256",
            "map_bytes": 1 << 28,
            "create": True,
        }
        settings.update(changes)
        opened.append(LmdbStore(settings.pop("path"), **settings))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture(params=["memory", "aegis256", "xchacha20"])
def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    """Each implementation in turn."""
    if request.param == "memory":
        return MemoryStore()
    return open_store(algorithm=request.param)
