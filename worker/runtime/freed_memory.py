"""Keeps freed memory in this process. A decoder frees and allocates a picture of some megabytes many times a second.

By default the C library gives so much memory back to the system, which clears it page by page for the next picture.
That took a twentieth of the processor time of a whole job.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# Options of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
MAPPED_FROM = 16 << 20
"""Bytes from which a block is given back by itself: a picture for the networks takes 5 MB at most."""
KEPT = 64 << 20
"""Bytes of free memory that are kept at the end of each heap. Threads have heaps of their own."""


def keep_freed_memory() -> None:
    """Keep up to `KEPT` bytes in each heap. C libraries without this option, such as musl, work as before."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        # Stating one threshold also stops glibc from moving both.
        libc.mallopt(_MMAP_THRESHOLD, MAPPED_FROM)
        libc.mallopt(_TRIM_THRESHOLD, KEPT)
