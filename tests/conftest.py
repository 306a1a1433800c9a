"""What all tests share: how slow a busy machine may be, and that none touches its user's folder."""

import pytest
from hypothesis import HealthCheck, settings

# A speed is never asserted; a machine that other work shares would fail tests by chance.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory):
    """A folder for the keys of whatever a test starts without naming one.

    Nothing that a test starts looks around on the machine's own network, or is found there.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CCP2P_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("CCP2P_NO_DISCOVERY", "1")
        yield
