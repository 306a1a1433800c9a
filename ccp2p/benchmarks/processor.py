"""What the machine's processor is called, which instructions it has and how fast it runs."""

import platform
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")
# The instructions that some backend or libsodium chooses by.
_FEATURES = ("aes", "vaes", "avx", "avx2", "bmi2", "avx512f", "avx512ifma", "asimd", "sve")


def describe() -> dict[str, Any]:
    """`model`, `features` and `mhz` as the kernel tells them; `mhz` is None where it does not."""
    fields = _first_processor()
    features = (fields.get("flags") or fields.get("Features") or "").split()
    mhz = fields.get("cpu MHz")
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "features": [name for name in _FEATURES if name in features],
        "mhz": round(float(mhz)) if mhz else None,
    }


def _first_processor() -> dict[str, str]:
    if not _CPUINFO.exists():
        return {}
    text = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
