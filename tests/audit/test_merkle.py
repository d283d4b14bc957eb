"""The Merkle tree, against the reference vectors of Certificate Transparency and against mutated proofs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle

# The leaves, roots and paths of certificate-transparency's merkle tests, which RFC 6962 implementations share.
BODIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATH_0_OF_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
CONSISTENCY_6_TO_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]
LEAVES = [merkle.leaf_hash(body) for body in BODIES]


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(number.to_bytes(4)) for number in range(count)]


def naive_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word by word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(hashes[:split]) + naive_root(hashes[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]


def test_paths_are_those_of_the_reference() -> None:
    node = merkle.nodes_of(LEAVES)
    assert [hash_.hex() for hash_ in merkle.inclusion_proof(0, 8, node)] == PATH_0_OF_8
    assert [hash_.hex() for hash_ in merkle.consistency_proof(6, 8, node)] == CONSISTENCY_6_TO_8


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 127, 128, 129, 300])
def test_every_proof_of_a_tree_verifies(size: int) -> None:
    hashes = leaves(size)
    node = merkle.nodes_of(hashes)
    root = naive_root(hashes)
    assert merkle.root(hashes) == root
    assert merkle.frontier_at(size, node).root() == root
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, node)
        assert merkle.verify_inclusion(index, size, hashes[index], proof, root)
    for old in range(1, size + 1):
        proof = merkle.consistency_proof(old, size, node)
        assert merkle.verify_consistency(old, size, proof, naive_root(hashes[:old]), root)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 100])
def test_a_frontier_goes_on_where_it_was_left(size: int) -> None:
    hashes = leaves(size + 20)
    frontier = merkle.frontier_at(size, merkle.nodes_of(hashes))
    for leaf in hashes[size:]:
        frontier.append(leaf)
    assert frontier.root() == naive_root(hashes)


def test_a_frontier_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="subtrees"):
        merkle.Frontier(3, [bytes(32)])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_there_is_no_proof_of_a_leaf_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_proof(index, size, merkle.nodes_of(leaves(5)))
    assert not merkle.verify_inclusion(index, size, bytes(32), [], bytes(32))


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5)])
def test_there_is_no_consistency_proof_backwards_or_from_nothing(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="consistency"):
        merkle.consistency_proof(old, new, merkle.nodes_of(leaves(5)))


def test_everything_is_consistent_with_the_empty_tree_and_with_itself_only_by_its_root() -> None:
    root = naive_root(leaves(5))
    assert merkle.verify_consistency(0, 5, [], merkle.EMPTY_ROOT, root)
    assert not merkle.verify_consistency(0, 5, [], bytes(32), root)
    assert merkle.verify_consistency(5, 5, [], root, root)
    assert not merkle.verify_consistency(5, 5, [], bytes(32), root)
    assert not merkle.verify_consistency(5, 4, [], root, root)


def mutated(data: st.DataObject, proof: list[bytes]) -> list[bytes]:
    """Return the proof with one thing wrong: a flipped bit, or a hash too many, too few or in the wrong place."""
    kinds = ["add"] + (["flip", "drop"] if proof else []) + (["swap"] if len(set(proof)) > 1 else [])
    kind = data.draw(st.sampled_from(kinds))
    changed = list(proof)
    at = data.draw(st.integers(0, max(len(proof) - 1, 0)))
    if kind == "flip":
        raw = bytearray(changed[at])
        raw[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
        changed[at] = bytes(raw)
    elif kind == "drop":
        del changed[at]
    elif kind == "swap":
        changed = changed[1:] + changed[:1]
    else:
        changed.insert(at, data.draw(st.binary(min_size=0, max_size=33)))
    return changed


@settings(max_examples=500)
@given(st.data(), st.integers(1, 200))
def test_a_mutated_inclusion_proof_is_never_accepted(data: st.DataObject, size: int) -> None:
    hashes = leaves(size)
    node, root = merkle.nodes_of(hashes), merkle.root(hashes)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, node)
    forged = mutated(data, proof)
    assert forged == proof or not merkle.verify_inclusion(index, size, hashes[index], forged, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index) if size > 1 else st.just(size))
    assert not merkle.verify_inclusion(other, size, hashes[index], proof, root)
    assert not merkle.verify_inclusion(index, size, merkle.leaf_hash(b"another"), proof, root)


@settings(max_examples=500)
@given(st.data(), st.integers(2, 200))
def test_a_mutated_consistency_proof_is_never_accepted(data: st.DataObject, size: int) -> None:
    hashes = leaves(size)
    node, root = merkle.nodes_of(hashes), merkle.root(hashes)
    old = data.draw(st.integers(1, size - 1))
    proof, old_root = merkle.consistency_proof(old, size, node), merkle.root(hashes[:old])
    forged = mutated(data, proof)
    assert forged == proof or not merkle.verify_consistency(old, size, forged, old_root, root)
    edited = [merkle.leaf_hash(b"edited"), *hashes[1:]]
    assert not merkle.verify_consistency(old, size, proof, old_root, merkle.root(edited))
    again = merkle.consistency_proof(old, size, merkle.nodes_of(edited))
    assert not merkle.verify_consistency(old, size, again, old_root, merkle.root(edited))
