"""The pure twin of `ext/hashchain.pyx`, through hashlib."""

from hashlib import blake2b

DIGEST_BYTES = 32


def walk(domain: bytes, start: bytes, steps: int) -> bytes:
    """`start` hashed `steps` times under `domain`."""
    if len(start) != DIGEST_BYTES or steps < 0:
        raise ValueError(f"a chain value has {DIGEST_BYTES} bytes and steps are not negative")
    value = start
    for _ in range(steps):
        value = blake2b(value, digest_size=DIGEST_BYTES, person=domain).digest()
    return value
