"""An operating system lock on a folder: one process at a time has it.

The lock goes with the process, however it ends; LMDB by itself would let a second process write.
"""

import fcntl
import os
from pathlib import Path

from ccp2p.model.errors import LocalFault

_LOCK_NAME = "in-use.lock"


class FolderLock:
    """Takes the lock when made, or raises LocalFault `in-use`."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(
            folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise LocalFault(
                "in-use", f"another process has {folder} open: stop it, or use another folder"
            ) from None

    def release(self) -> None:
        """Give the lock back; harmless the second time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
