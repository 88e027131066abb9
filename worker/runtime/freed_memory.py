"""Keeps freed memory in this process. A decoder frees and allocates a picture of some megabytes many times a second.

By default the C library returns blocks of this size to the system, which clears them page by page for the next picture.
That took a twentieth of the processor time of a whole job.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# Options of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
MAPPED_FROM = 16 << 20
"""Size in bytes from which a block is returned separately. A picture for the networks takes at most 5 MB."""
KEPT = 64 << 20
"""Bytes of free memory that are kept at the end of each heap. Threads have heaps of their own."""


def keep_freed_memory() -> None:
    """Keep up to `KEPT` bytes in each heap. C libraries without this option, such as musl, work as before."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        # Setting one threshold also stops glibc from adjusting both.
        libc.mallopt(_MMAP_THRESHOLD, MAPPED_FROM)
        libc.mallopt(_TRIM_THRESHOLD, KEPT)
