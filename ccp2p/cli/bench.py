"""`ccp2p bench`: what the native core and whole networks can do on this machine."""

import click

from ccp2p.cli.bench_native import native_command
from ccp2p.cli.bench_network import network_command


@click.group()
def bench() -> None:
    """Measure the native core, or a network of real processes."""


bench.add_command(native_command)
bench.add_command(network_command)
