"""`ccp2p dev` as a stranger runs it: the conversation, what a host sees, and its end."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from ccp2p.model.ticket import parse_ticket
from tests.node_log import unexpected_lines


def nodes_of(folder: Path) -> int:
    """How many processes run with a data folder below this one."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().split(b"\0"))
        except OSError:
            continue
    return sum(b"node" in command and bytes(folder) in b" ".join(command) for command in commands)


def take_tour(folder: Path, ending: signal.Signals) -> tuple[dict[str, object], str, int]:
    """Its one JSON object, what it said, and its exit code once it was told to end."""
    command = [sys.executable, "-m", "ccp2p", "dev", "--data", str(folder / "net"), "--json"]
    said = folder / "said"
    with said.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
    assert process.stdout is not None
    shown = json.loads(process.stdout.readline())
    assert nodes_of(folder / "net") == 4
    process.send_signal(ending)
    code = process.wait(timeout=60)
    assert process.stdout.read() == b""
    process.stdout.close()
    return shown, said.read_text(), code


def test_the_tour_is_told_again_in_a_network_that_was_cut_short(tmp_path: Path):
    for start, ending, expected in ((0, signal.SIGKILL, -9), (3, signal.SIGTERM, 130)):
        shown, text, code = take_tour(tmp_path, ending)
        assert code == expected
        deadline = time.monotonic() + 60
        while nodes_of(tmp_path / "net"):
            assert time.monotonic() < deadline, "nodes outlive the program that started them"
            time.sleep(0.1)
        assert (shown["schema"], shown["nodes"], shown["tee"]) == ("dev-network/1", 4, "simulated")
        assert len(parse_ticket(str(shown["ticket"])).addresses) == 4
        names = ["<alice>", "<bob>", "<alice>"]
        lines = [line.split()[:2] for line in text.splitlines() if line.startswith("  ")]
        spoken = [line for line in lines if line[1] in names]
        assert spoken == [[str(start + number), name] for number, name in enumerate(names)]
        assert text.startswith("SIMULATED TEE: NOT CONFIDENTIAL")
        assert text.count("not there") == 3
        assert "FOUND" not in text
        assert not unexpected_lines(text)
