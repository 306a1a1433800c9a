import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ccp2p import __version__
from ccp2p.cli import main


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*path, name)
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]):
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert len(result.stdout.splitlines()) > 3


def test_help_lists_every_command_with_its_purpose():
    shown = CliRunner().invoke(main, ["--help"]).stdout
    for name in main.list_commands(click.Context(main)):
        line = next(line for line in shown.splitlines() if line.strip().startswith(name))
        assert len(line.split()) > 2


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_help_loads_neither_libp2p_nor_trio(arguments: list[str]):
    script = (
        "import sys\n"
        "from ccp2p.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "heavy = {'libp2p', 'trio', 'cryptography', 'lmdb', 'rich', 'nacl'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert b"loaded" not in done.stderr, done.stderr
    assert b"Usage" in done.stdout + done.stderr or __version__.encode() in done.stdout


@pytest.mark.parametrize("name", ["tail", "node"])
def test_what_goes_on_says_that_it_prints_more_than_one_object(name: str):
    shown = " ".join(CliRunner().invoke(main, [name, "--help"]).stdout.split())
    assert "line" in shown.partition("--json")[2].partition(" -")[0]


def test_the_version_is_the_packages():
    assert CliRunner().invoke(main, ["--version"]).stdout.split()[-1] == __version__
