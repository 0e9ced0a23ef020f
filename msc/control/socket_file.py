"""Where the administrative socket stands: what its two ends share, without what either is made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reachable(file: Path) -> Iterator[str]:
    """Give a socket's path in a form short enough for the kernel, which takes 107 bytes."""
    folder = os.open(file.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{file.name}"
    finally:
        os.close(folder)
