"""What is left on disks: a power cut under `at_rest = "group"`, and a crash, of real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import ccp2p
from ccp2p.devnet.process import NodeProcess
from tests.e2e.test_recovery import PATIENCE_S, VENDORS, Governors, start
from tests.node_log import unexpected_lines, until_founders_may_come


async def found(nursery: trio.Nursery, folder: Path, governors: Governors) -> list[NodeProcess]:
    """Two nodes whose disks are under the group's key."""
    keys = [(await governors.run(who, "inspect", "member"))["key"] for who in (0, 1)]
    named = [argument for key in keys for argument in ("--governor", key)]
    created = await governors.run(
        0,
        *("net", "create", "club", "--app", "kv", "--founders", "2", "--coin-length", "4096"),
        *("--at-rest", "group", *named, "--data", str(folder / "node-0")),
    )
    nodes = []
    for number, vendor in enumerate(VENDORS[:2]):
        joins = ("--join", "-") if number else ()
        node = NodeProcess(number, folder / f"node-{number}", ["--vendor", vendor], joins)
        nodes.append(await start(nursery, node, created["node_ticket"] if number else ""))
        if number == 0:
            await until_founders_may_come(node)
    for node in nodes:
        await node.wait_for("ready")
    return nodes


@pytest.mark.timeout(120)
async def test_governors_give_their_shares_after_a_power_cut_everywhere(tmp_path: Path):
    governors = Governors(tmp_path)
    async with trio.open_nursery() as nursery:
        nodes = await found(nursery, tmp_path, governors)
        text = (await governors.run(0, "invite", "create", "--uses", "5"))["ticket"]
        await governors.run(1, "net", "join", text)
        await governors.run(0, "kv", "put", "said", "before")
        for node in nodes:
            node.kill()
        nodes = [await start(nursery, node.again()) for node in nodes]
        with trio.fail_after(PATIENCE_S):
            while not all("recover --shares" in node.log_path.read_text() for node in nodes):
                await trio.sleep(0.2)
        assert (await governors.run(0, "net", "show"))["waits"] == "secret"
        first = await governors.run(0, "net", "recover", "--shares", "--yes")
        assert (first["done"], first["held"], first["needed"]) == (False, 1, 2)
        done = await governors.run(1, "net", "recover", "--shares", "--yes")
        assert (done["done"], len(done["nodes"])) == (True, 2)
        for node in nodes:
            await node.wait_for("floor")
        assert (await governors.run(0, "kv", "get", "said"))["value"] == "before"
        assert not any(unexpected_lines(node.log_path.read_text()) for node in nodes)
        nursery.cancel_scope.cancel()


async def test_no_core_is_dumped_where_native_code_crashes(tmp_path: Path):
    program = [sys.executable, "-m", "ccp2p", "node", "--json", "--data", "node", "--no-discovery"]
    process = await trio.lowlevel.open_process(
        ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(ccp2p.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with trio.fail_after(30):
        assert b'"event":' in await process.stdout.receive_some()
    process.send_signal(signal.SIGSEGV)
    _, status = await trio.to_thread.run_sync(os.waitpid, process.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGSEGV
    assert not os.WCOREDUMP(status)
