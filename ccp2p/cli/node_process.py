"""What a node asks of its process: of the interpreter, the C library and the system."""

import ctypes
import gc
import resource
import sys
import threading
from typing import Final

from ccp2p.cli import console
from ccp2p.model.errors import unexpected

# While events execute in a worker thread, ordering must not wait a whole default interval (5 ms)
# for the interpreter lock at each of a round's many steps.
_SWITCH_INTERVAL_S: Final = 0.0005

# A turn of execution makes some ten objects an event, none of them in cycles: at Python's own 700
# the living ones would be looked through several times a turn.
_OBJECTS_PER_COLLECTION: Final = 50_000

_M_ARENA_MAX: Final = -8  # of glibc's malloc.h

_PR_SET_DUMPABLE: Final = 4  # of Linux's prctl.h

_OPEN_FILES: Final = 8192  # every connection is one; many systems start a process with 1,024


def prepare() -> None:
    """Make this process a node's; once, before it opens anything."""
    gc.freeze()  # modules stay; a second time, it would keep what epochs and networks leave behind
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _share_memory()
    _allow_files()
    _dump_no_core()


def conceal_lost_errors() -> None:
    """Of an error that reaches no caller, tell where it arose, not what it says."""
    sys.unraisablehook = lambda lost: _tell(lost.exc_value)
    threading.excepthook = lambda lost: _tell(lost.exc_value)


def _tell(error: BaseException | None) -> None:
    console.say(f"error: {unexpected(error or RuntimeError())}")


def _share_memory() -> None:
    """Let all threads allocate from one arena, where the C library would give each its own.

    Each arena grows to what its thread needed at its busiest: over sixteen epochs a process of two
    nodes came to 135 MB instead of 89. Threads that wait for the interpreter lock gain nothing by
    arenas of their own.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def _allow_files() -> None:
    """Raise the soft limit on open files, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _dump_no_core() -> None:
    """Keep keys and state off the disk if native code crashes.

    The limit holds where the kernel writes cores itself; one that hands them to a program asks
    only whether the process is dumpable.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
