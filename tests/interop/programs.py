"""Builds the two example clients under build/interop, with the versions that their locks pin.

`Missing` says why one cannot be had on this machine: no tool, or no registry to fetch from.
Anything else that goes wrong is an error.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

_SOURCES: Final = Path(__file__).parent
_BUILD: Final = _SOURCES.parents[1] / "build" / "interop"
_NODE: Final = (22,)
_GO: Final = (1, 26)
_PATIENCE_S: Final = 900.0  # compiling go-libp2p takes more than a minute of both cores
_UNREACHABLE: Final = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|E403|E50\d|ERR_SOCKET_TIMEOUT"
    r"|dial tcp|no such host|i/o timeout|connection refused|TLS handshake timeout|403 Forbidden"
)


class Missing(Exception):
    """This machine cannot run the program; the message says what it lacks."""


def javascript() -> dict[str, list[str]]:
    """The commands `talk` and `vectors` of the program on js-libp2p."""
    folder = _BUILD / "js"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (_SOURCES / "js").iterdir():
        shutil.copy(path, folder)
    own = shutil.which("node")
    is_new = own is not None and _version([own, "--version"]) >= _NODE
    lock = (folder / "package-lock.json").read_bytes()
    mark = folder / "installed-lock.json"
    if not mark.exists() or mark.read_bytes() != lock:
        if shutil.which("npm") is None:
            raise Missing("npm is not installed: JavaScript is NOT tested")
        omit = ["--omit=optional"] if is_new else []  # the optional packages are Node itself
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", *omit], folder, {})
        mark.write_bytes(lock)
    fetched = sorted(folder.glob("node_modules/node-*/bin/node"))
    if not is_new and not fetched:
        raise Missing("there is no Node 22 for this kind of machine: JavaScript is NOT tested")
    node = own if own is not None and is_new else str(fetched[0])
    return {name: [node, str(folder / f"{name}.mjs")] for name in ("talk", "vectors")}


def go() -> dict[str, list[str]]:
    """The commands `talk` and `vectors` of the program on go-libp2p."""
    if shutil.which("go") is None:
        raise Missing("Go is not installed: Go is NOT tested")
    found = _version(["go", "env", "GOVERSION"])
    if found < _GO:
        raise Missing(f"go-libp2p needs Go 1.26, this is {found}: Go is NOT tested")
    program = _BUILD / "go" / "interop"
    settings = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    _run(["go", "build", "-o", str(program), "."], _SOURCES / "go", settings)
    return {name: [str(program), name] for name in ("talk", "vectors")}


def _version(command: list[str]) -> tuple[int, ...]:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in re.findall(r"\d+", said)[:2])


def _run(command: list[str], folder: Path, settings: dict[str, str]) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if result.returncode == 0:
        return
    said = f"{' '.join(command[:2])}: {result.stderr.strip()[-600:]}"
    if _UNREACHABLE.search(result.stderr):
        raise Missing(f"the registry cannot be reached, so this is NOT tested. {said}")
    raise RuntimeError(said)


def parsed(output: bytes) -> dict[str, object]:
    """What a program reports: one JSON object on one line."""
    found: dict[str, object] = json.loads(output)
    return found
