"""The Merkle tree against published vectors and a naive reference."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.evidence.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_spans,
    inclusion_spans,
    is_consistent,
    is_included,
    leaf_hash,
    roots_of,
)
from penstock.model import Malformed

# The inputs and roots that the certificate-transparency project publishes with its Merkle tree tests.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word, over entries."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def entries(count: int) -> list[bytes]:
    return [b"entry %d" % index for index in range(count)]


def grown(leaves: list[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def test_empty_tree_has_the_hash_of_nothing_as_root() -> None:
    expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert EMPTY_ROOT.hex() == Frontier().root().hex() == expected


@pytest.mark.parametrize("count", range(1, 9))
def test_published_roots_are_computed(count: int) -> None:
    assert grown(INPUTS[:count]).root().hex() == ROOTS[count - 1]


def test_published_inclusion_proof_is_made_and_holds() -> None:
    """Leaf 5 of 8 (counted from 0), from the vectors of certificate-transparency."""
    path = roots_of(inclusion_spans(5, 8), map(leaf_hash, INPUTS))
    assert [value.hex() for value in path] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    root = bytes.fromhex(ROOTS[7])
    assert is_included(leaf=leaf_hash(INPUTS[5]), index=5, size=8, path=path, root=root)


def test_published_consistency_proof_is_made_and_holds() -> None:
    """From 6 to 8 leaves, from the vectors of certificate-transparency."""
    path = roots_of(consistency_spans(6, 8), map(leaf_hash, INPUTS))
    assert [value.hex() for value in path] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    old, new = bytes.fromhex(ROOTS[5]), bytes.fromhex(ROOTS[7])
    assert is_consistent(old=6, new=8, old_root=old, new_root=new, path=path)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 130))
def test_growing_tree_has_the_root_of_the_definition(count: int) -> None:
    assert grown(entries(count)).root() == naive_root(entries(count))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100), st.integers(0, 40))
def test_tree_goes_on_from_its_bytes(before: int, after: int) -> None:
    tree = grown(entries(before))
    tree = Frontier.from_bytes(before, tree.to_bytes())
    for entry in entries(before + after)[before:]:
        tree.append(leaf_hash(entry))
    assert tree.root() == naive_root(entries(before + after))


def test_bytes_that_do_not_fit_the_size_are_refused() -> None:
    with pytest.raises(Malformed):
        Frontier.from_bytes(3, bytes(32))
    with pytest.raises(Malformed):
        Frontier.from_bytes(1, bytes(31))


def test_every_leaf_of_every_small_tree_is_proven_and_no_other() -> None:
    for size in range(1, 34):
        leaves = [leaf_hash(entry) for entry in entries(size)]
        root = naive_root(entries(size))
        for index in range(size):
            path = roots_of(inclusion_spans(index, size), leaves)
            assert is_included(leaf=leaves[index], index=index, size=size, path=path, root=root)
            assert not is_included(leaf=leaf_hash(b"other"), index=index, size=size, path=path, root=root)
            assert not is_included(leaf=leaves[index], index=index, size=size, path=[*path, root], root=root)
            if size > 1:
                assert not is_included(leaf=leaves[index], index=index ^ 1, size=size, path=path, root=root)
                assert not is_included(leaf=leaves[index], index=index, size=size, path=path[:-1], root=root)


def test_every_small_tree_is_proven_to_be_the_beginning_of_every_larger_one() -> None:
    for new in range(1, 26):
        leaves = [leaf_hash(entry) for entry in entries(new)]
        new_root = naive_root(entries(new))
        for old in range(1, new + 1):
            old_root = naive_root(entries(old))
            path = roots_of(consistency_spans(old, new), leaves)
            assert is_consistent(old=old, new=new, old_root=old_root, new_root=new_root, path=path)
            assert not is_consistent(old=old, new=new, old_root=bytes(32), new_root=new_root, path=path)
            assert not is_consistent(old=old, new=new, old_root=old_root, new_root=bytes(32), path=path)
            assert not is_consistent(old=old, new=new, old_root=old_root, new_root=new_root, path=[*path, new_root])


def test_proofs_that_cannot_be_are_refused() -> None:
    root = naive_root(entries(4))
    assert not is_included(leaf=root, index=4, size=4, path=[], root=root)
    assert not is_consistent(old=0, new=4, old_root=EMPTY_ROOT, new_root=root, path=[root])
    assert not is_consistent(old=5, new=4, old_root=root, new_root=root, path=[root])
    with pytest.raises(ValueError, match="no leaf 4"):
        inclusion_spans(4, 4)
    with pytest.raises(ValueError, match="not the beginning"):
        consistency_spans(0, 4)
    with pytest.raises(ValueError, match="end before number 4"):
        roots_of(inclusion_spans(0, 4), [leaf_hash(b"")] * 3)
