"""The C library's allocator, told to keep what a training step will want again.

glibc gives blocks of more than 32 MB back to the system when they are freed and gets them anew,
page by page, in the next step.  Keeping them makes training on a CPU faster (see
docs/performance.md).
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h.


def keep_freed_memory() -> bool:
    """Let this process keep freed memory of up to 1 GB a block; for programs, not libraries.

    Returns:
        Whether the C library is glibc and did so; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # Another C library.
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 2**30)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
