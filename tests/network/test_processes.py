"""What only real processes show: a frozen peer, a killed peer, a quiet and light import."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import trio

from ccp2p.network import Connected

from .stage import frame_of, next_of, reason_of, start

# A node in a process of its own: it prints its address and sends back every frame.
NODE = """
import os, trio
from tests.network.stage import network
from ccp2p.network import FrameReceived

async def main():
    node = network()
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        print(node.addresses[0], flush=True)
        async for event in node.events:
            if isinstance(event, FrameReceived):
                node.send(event.node, event.frame)

trio.run(main)
"""


@contextmanager
def node_process():
    """A running node and its address; ended in any case."""
    process = subprocess.Popen(
        [sys.executable, "-W", "default", "-c", NODE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


async def test_a_frozen_peer_is_noticed_and_reached_again(nursery):
    [one] = await start(nursery, 1)
    with node_process() as (process, address):
        node = await one.dial(address)
        one.keep(node, address)
        assert one.send(node, b"awake")
        assert await frame_of(one) == b"awake"
        process.send_signal(signal.SIGSTOP)
        assert await reason_of(one) == "silent"
        assert not one.send(node, b"gone")
        process.send_signal(signal.SIGCONT)
        await next_of(one, Connected)
        assert one.send(node, b"awake again")
        assert await frame_of(one) == b"awake again"


async def test_a_killed_peer_is_noticed_without_waiting_for_its_silence(nursery):
    [one] = await start(nursery, 1)
    with node_process() as (process, address):
        await one.dial(address)
        process.kill()
        assert await reason_of(one) != "silent"


async def test_an_honest_run_writes_nothing_to_stderr(nursery):
    [one] = await start(nursery, 1)
    with node_process() as (process, address):
        node = await one.dial(address)
        assert one.send(node, b"hello")
        assert await frame_of(one) == b"hello"
        one.disconnect(node, "done")
        await trio.sleep(0.2)
        process.terminate()
        assert process.communicate(timeout=60)[1] == ""


def test_importing_the_network_does_not_load_libp2p():
    script = "import sys, ccp2p.network; print('libp2p' in sys.modules)"
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert (finished.stdout.strip(), finished.stderr) == ("False", "")
