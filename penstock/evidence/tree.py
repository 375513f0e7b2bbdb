"""The Merkle tree of RFC 6962 section 2.1 (the same in RFC 9162 section 2.1), over SHA-256.

Pure.  Stands under everything else in this package: the log appends leaves to a `Frontier`, the verifier recomputes it,
a proof shows one leaf without the others.  It must never see a record: only hashes and the exact bytes of an entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from penstock.model import Malformed

HASH_BYTES = 32
#: The root of a tree without leaves: the hash of nothing (RFC 6962 section 2.1).
EMPTY_ROOT = sha256().digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry: SHA-256 over a zero byte and the entry."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256 over a one byte and both children."""
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """A tree that only grows: the roots of its complete subtrees, largest first; memory is logarithmic in its size."""

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size < 0 or len(hashes) != size.bit_count() or any(len(value) != HASH_BYTES for value in hashes):
            raise Malformed(f"a tree of {size} leaves has one hash of {HASH_BYTES} bytes for each bit set in its size")
        self.size = size
        self._hashes = list(hashes)

    def append(self, leaf: bytes) -> None:
        """Grow by one leaf, given its hash."""
        carry = leaf
        for _ in range((self.size ^ (self.size + 1)).bit_length() - 1):
            carry = node_hash(self._hashes.pop(), carry)
        self._hashes.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._hashes:
            return EMPTY_ROOT
        *rest, root = self._hashes
        for left in reversed(rest):
            root = node_hash(left, root)
        return root

    def copy(self) -> Frontier:
        """An independent tree of the same leaves."""
        return Frontier(self.size, self._hashes)

    def to_bytes(self) -> bytes:
        """The hashes one after another; with the size they are the whole state."""
        return b"".join(self._hashes)

    @classmethod
    def from_bytes(cls, size: int, state: bytes) -> Frontier:
        """The tree whose `to_bytes` gave `state`.  Raises `Malformed` when the length does not fit the size."""
        return cls(size, [state[start : start + HASH_BYTES] for start in range(0, len(state), HASH_BYTES)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The leaves from `first` up to and without `end`: one subtree whose root stands in a proof."""

    first: int
    end: int


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The subtrees whose roots prove leaf `index` among `size`, nearest first (RFC 9162 section 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    spans, first, end = [], 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            spans.append(Span(first=middle, end=end))
            end = middle
        else:
            spans.append(Span(first=first, end=middle))
            first = middle
    return spans[::-1]


def consistency_spans(old: int, new: int) -> list[Span]:
    """The subtrees whose roots prove that a tree of `old` leaves is the beginning of one of `new` (section 2.1.4.1)."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {old} leaves is not the beginning of one of {new}")
    spans, first, end, is_old_root = [], 0, new, True
    while old != end - first:
        middle = _split(end - first)
        if old <= middle:
            spans.append(Span(first=first + middle, end=end))
            end = first + middle
        else:
            spans.append(Span(first=first, end=first + middle))
            first, old, is_old_root = first + middle, old - middle, False
    if not is_old_root:
        spans.append(Span(first=first, end=end))
    return spans[::-1]


def roots_of(spans: Sequence[Span], leaves: Iterable[bytes], start: Frontier | None = None) -> list[bytes]:
    """The root of each of the disjoint `spans`, in their order, in one pass over `leaves` (hashes, from leaf 0 on).

    Memory is logarithmic.  With `start`, `leaves` go on after it, and no span may reach into it.  Raises `ValueError`
    when there are too few leaves.
    """
    trees: dict[int, bytes] = {}
    numbered = enumerate(leaves, start.size if start else 0)
    for span in sorted(spans, key=lambda span: span.first):
        trees[span.first] = _root_between(span, numbered)
    return [trees[span.first] for span in spans]


def is_included(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that `leaf` (a hash) is number `index` under `root` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def is_consistent(*, old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the tree `old_root` is the beginning of `new_root` (RFC 9162 section 2.1.4.2)."""
    if old == new:
        return not path and old_root == new_root
    if not 0 < old < new or not path:
        return False
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    from_old = from_new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            from_old, from_new = node_hash(sibling, from_old), node_hash(sibling, from_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            from_new = node_hash(from_new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and from_old == old_root and from_new == new_root


def _split(size: int) -> int:
    """The largest power of two below `size` (at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def _root_between(span: Span, numbered: Iterator[tuple[int, bytes]]) -> bytes:
    tree = Frontier()
    for index, leaf in numbered:
        if index < span.first:
            continue
        tree.append(leaf)
        if index + 1 == span.end:
            return tree.root()
    raise ValueError(f"the leaves end before number {span.end}")
