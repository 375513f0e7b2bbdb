"""The project's taxonomy of operations, which lies beside the captures: what the tables of every protocol must say."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from captured import CAPTURES, require_captures


@cache
def taxonomy(protocol: str) -> dict[str, Any]:
    """The part of one protocol, by its name there (``enip_cip``)."""
    require_captures()
    text = (CAPTURES.parent / "protocols" / "operations.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["protocols"][protocol]
    return found


def many(value: Any) -> list[Any]:
    """An entry that may stand for one code or list several."""
    return value if isinstance(value, list) else [value]
