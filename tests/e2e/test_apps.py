"""The app of docs/apps.md: its code as the page has it, in a copy of the program."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import ccp2p
from ccp2p.client.receipts import REQUESTS
from ccp2p.execution.apps import APPS
from ccp2p.model.genesis import AppName

PAGE = Path(__file__).parents[2] / "docs" / "apps.md"
TABLES = {
    "ccp2p/model/genesis.py": [('Literal["kv", ', 'Literal["ballot", "kv", ')],
    "ccp2p/execution/apps/__init__.py": [
        ("import Kv\n", "import Kv\nfrom ccp2p.execution.apps.ballot import Ballot\n"),
        ('{"kv": Kv', '{"ballot": Ballot, "kv": Kv'),
    ],
    "ccp2p/client/receipts.py": [
        ("apps import kv_protocol", "apps import ballot_protocol, kv_protocol"),
        ('    "kv": kv', '    "ballot": ballot_protocol.Request,\n    "kv": kv'),
    ],
}


def listings(page: str) -> dict[str, str]:
    """The page's Python code, by the file that the paragraph before names."""
    found = re.findall(r"`([\w/]+\.py)`[^\n]*:\n\n```python\n(.*?)```", page, re.DOTALL)
    return dict(found)


def test_every_table_knows_every_app():
    assert set(get_args(AppName)) == set(APPS) == set(REQUESTS)


class Program:
    """A copy of the program with the page's app, and one person's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(Path(ccp2p.__file__).parent, folder / "ccp2p")
        for name, code in listings(PAGE.read_text()).items():
            (folder / name).write_text(code)
        for name, changes in TABLES.items():
            text = (folder / name).read_text()
            for old, new in changes:
                assert text.count(old) == 1, (name, old)
                text = text.replace(old, new)
            (folder / name).write_text(text)
        self.environment = os.environ | {
            "PYTHONPATH": str(folder),
            "CCP2P_HOME": str(folder / "home"),
            "CCP2P_ALLOW_SIMULATED": "1",
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Python with this program."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> str:
        """What a command printed; it has to succeed."""
        process = self.start(*command)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return said


def test_the_app_of_the_page_runs(tmp_path: Path):
    program = Program(tmp_path)
    program.run("-m", "ccp2p", "net", "create", "polls", "--app", "ballot", "--data", "node")
    node = program.start("-m", "ccp2p", "node", "--json", "--data", "node")
    try:
        assert node.stdout is not None
        assert any('"ready"' in line for line in node.stdout)
        (promised,) = re.findall(r"It prints `([^`]+)`", PAGE.read_text())
        assert program.run("vote.py").strip() == promised
        invited = json.loads(program.run("-m", "ccp2p", "invite", "create", "--json"))
        program.environment["CCP2P_HOME"] = str(tmp_path / "second")
        program.run("-m", "ccp2p", "net", "join", invited["ticket"])
    finally:
        node.terminate()
        assert node.wait(timeout=30) == 0
