"""Pure: which elements belong to which grant.

Stands beside the enforcer, so that closing a grant needs no search in the kernel.  A service of one source belongs to
one grant at a time: the latest.  Closing the earlier one must leave it to the later one.
"""

from __future__ import annotations

from penstock.kernel.elements import ADMITTING


class HeldKeys:
    """The keys that every open grant holds, by its number."""

    def __init__(self) -> None:
        self._keys: dict[int, dict[str, list[bytes]]] = {}
        self._owners: dict[tuple[str, bytes], int] = {}

    def hold(self, number: int, keys: dict[str, list[bytes]]) -> None:
        """A grant was opened with these keys; what another grant admitted with one of them is its own now."""
        for name, key in _admitting(keys):
            earlier = self._owners.get((name, key), number)
            if earlier != number:
                self._keys[earlier][name].remove(key)
            self._owners[name, key] = number
        self._keys[number] = {name: list(held) for name, held in keys.items()}

    def add(self, number: int, name: str, key: bytes) -> None:
        """One element that was found in the kernel."""
        self._keys.setdefault(number, {}).setdefault(name, []).append(key)
        if name in ADMITTING:
            self._owners[name, key] = number

    def is_held(self, name: str, key: bytes) -> bool:
        """Whether this element that admits somebody is an open grant's."""
        return (name, key) in self._owners

    def release(self, number: int) -> dict[str, list[bytes]] | None:
        """The keys of a grant that ends, which are nobody's then; ``None`` for a grant that is not known."""
        keys = self._keys.pop(number, None)
        for owned in _admitting(keys or {}):
            del self._owners[owned]
        return keys


def _admitting(keys: dict[str, list[bytes]]) -> list[tuple[str, bytes]]:
    return [(name, key) for name in ADMITTING for key in keys.get(name, ())]
