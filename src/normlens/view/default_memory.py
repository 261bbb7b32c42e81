"""How much memory the explorer may use, unless somebody says."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LEAST, MOST = 2**30, 2**32
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def default_memory(limit: Path = _LIMIT) -> int:
    """An eighth of the machine's memory, or of its container's, from 1 to 4 GiB.

    Parameters
    ----------
    limit
        The file in which Linux keeps a container's limit.
    """
    sizes = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has no such settings
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ValueError, OSError):  # "max" without a limit
        sizes.append(int(limit.read_text()))
    return min(max(LEAST, min(sizes, default=0) // 8), MOST)
