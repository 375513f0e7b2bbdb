"""Numbers and ranges as people write them in a site document.

Pure text to numbers; each function returns ``None`` for what it cannot read.  It must never accept half of a text.
"""

from __future__ import annotations

import re
from typing import Final

_RANGE: Final = re.compile(r"\s*(-?[0-9]{1,10})\s*(?:(?:-|\.\.)\s*(-?[0-9]{1,10})\s*)?\Z", re.ASCII)


def read_range(text: str) -> tuple[int, int] | None:
    """``10-12``, ``5``, ``-5-10`` or ``-5..10`` as first and last; ``None`` if it is no range or backwards."""
    found = _RANGE.match(text)
    if found is None:
        return None
    first = int(found[1])
    last = first if found[2] is None else int(found[2])
    return (first, last) if first <= last else None
