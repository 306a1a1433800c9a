"""What all tests share: how slow a busy machine may be before a test gives up."""

from hypothesis import HealthCheck, settings

# A speed is never asserted; a machine that other work shares would fail tests by chance.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
