"""What the tests of those who catch up share."""

import pytest

from tests.node.recorded import Recorded, record


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A real network's answers."""
    return record(tmp_path_factory.mktemp("recorded"))
