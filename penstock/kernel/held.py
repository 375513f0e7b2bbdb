"""Pure: which elements of ``grants`` and ``dials`` belong to which grant.

Stands beside the enforcer, so that closing a grant needs no search in the kernel.  A service of one source belongs to
one grant at a time: the latest.  Closing the earlier one must leave it to the later one.
"""

from __future__ import annotations


class HeldKeys:
    """The keys that every open grant holds, by its number."""

    def __init__(self) -> None:
        self._keys: dict[int, dict[str, list[bytes]]] = {}
        self._owners: dict[bytes, int] = {}

    def hold(self, number: int, keys: dict[str, list[bytes]]) -> None:
        """A grant was opened with these keys; what another grant held of them in ``grants`` is its own now."""
        for key in keys["grants"]:
            earlier = self._owners.get(key, number)
            if earlier != number:
                self._keys[earlier]["grants"].remove(key)
            self._owners[key] = number
        self._keys[number] = {name: list(held) for name, held in keys.items()}

    def add(self, number: int, name: str, key: bytes) -> None:
        """One element that was found in the kernel."""
        self._keys.setdefault(number, {"grants": [], "dials": []})[name].append(key)
        if name == "grants":
            self._owners[key] = number

    def release(self, number: int) -> dict[str, list[bytes]] | None:
        """The keys of a grant that ends, which are nobody's then; ``None`` for a grant that is not known."""
        keys = self._keys.pop(number, None)
        for key in keys["grants"] if keys is not None else ():
            del self._owners[key]
        return keys
