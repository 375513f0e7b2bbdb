"""Pure: the complete table as one transaction that replaces whatever stands in its place, elements included.

Stands beside `render`, whose script leaves a running table's elements alone.  This one is for a table that somebody
else has touched or removed, and for one that an earlier version made differently.  No packet meets half of it.
"""

from __future__ import annotations

from penstock.kernel.chains import DYNAMIC_SETS
from penstock.kernel.element_text import Elements, filling
from penstock.kernel.render import TABLE, render
from penstock.model import Ruleset


def whole(ruleset: Ruleset, elements: Elements, now_s: float) -> str:
    """The nft script.  `elements` are those of the dynamic sets at `now_s` on the monotonic clock.

    Raises `Invalid` as `render` does.
    """
    known = {name: held for name, held in elements.items() if name in DYNAMIC_SETS}
    lines = (
        f"table inet {TABLE} {{ }}",  # so that there is one to delete
        f"delete table inet {TABLE}",
        render(ruleset).rstrip("\n"),
        *filling(TABLE, DYNAMIC_SETS, known, now_s),
    )
    return "\n".join(lines) + "\n"
