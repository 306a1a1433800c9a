"""`ccp2p dev` as a stranger runs it: the conversation, what a host sees, and an end by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ccp2p.model.ticket import parse_ticket


def test_the_tour_shows_a_whole_conversation_and_stays_until_it_is_ended(tmp_path: Path):
    command = [sys.executable, "-m", "ccp2p", "dev", "--data", str(tmp_path / "net"), "--json"]
    said = tmp_path / "said"
    for start in (0, 3):
        with (
            said.open("wb") as stderr,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, env=os.environ
            ) as process,
        ):
            assert process.stdout is not None
            shown = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert process.stdout.read() == b""
        assert (shown["schema"], shown["nodes"], shown["tee"]) == ("dev-network/1", 4, "simulated")
        assert len(parse_ticket(shown["ticket"]).addresses) == 4
        text = said.read_text()
        lines = [line.split()[:2] for line in text.splitlines() if line.startswith("  ")]
        names = ("<alice>", "<bob>", "<alice>")
        expected = [[str(start + number), name] for number, name in enumerate(names)]
        assert [line for line in lines if line[1] in names] == expected
        assert "NOT CONFIDENTIAL" in text
        assert text.count("not there") == 3
        assert "FOUND" not in text
        assert "Traceback" not in text
