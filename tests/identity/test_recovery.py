import asyncio
import math
import secrets
from collections.abc import Sequence

import pytest

from penstock.identity import RecoveryCodes, Seal
from penstock.identity.factors import recovery


def test_ten_codes_of_more_than_64_bits_are_made() -> None:
    codes = recovery.make_codes(secrets.choice)
    assert len(set(codes)) == 10
    signs = [code.replace("-", "") for code in codes]
    assert all(len(code) * math.log2(len(set(recovery.ALPHABET))) > 64 for code in signs)
    assert all(recovery.normal(code) == plain for code, plain in zip(codes, signs, strict=True))


@pytest.mark.parametrize("typed", ["abcd-efgh-jkmn-pqrs", "ABCDEFGHJKMNPQRS", " abcd efgh jkmn pqrs "])
def test_case_spaces_and_dashes_are_forgiven(typed: str) -> None:
    assert recovery.normal(typed) == "ABCDEFGHJKMNPQRS"


@pytest.mark.parametrize(
    "typed", ["", "123456", "123 456", "ABCD-EFGH-JKMN-PQR", "ABCD-EFGH-JKMN-PQRSS", "ABCD-EFGH-JKMN-PQR1", "é" * 16]
)
def test_what_has_not_its_shape_is_no_recovery_code(typed: str) -> None:
    assert recovery.normal(typed) is None


def test_what_is_kept_is_bound_to_subject_and_gate() -> None:
    seal, other = Seal(bytes(32), secrets.token_bytes), Seal(bytes(31) + b"1", secrets.token_bytes)
    mark = seal.mark("ABCDEFGHJKMNPQRS", "ada")
    assert mark == seal.mark("ABCDEFGHJKMNPQRS", "ada")
    assert len({mark, seal.mark("ABCDEFGHJKMNPQRS", "eve"), other.mark("ABCDEFGHJKMNPQRS", "ada")}) == 3
    assert "ABCD" not in mark


def test_the_matching_mark_is_found_among_those_that_are_kept_and_nothing_else() -> None:
    kept = [secrets.token_hex(32) for _ in range(10)]
    assert recovery.matching(kept[9], kept) == kept[9]
    assert recovery.matching(secrets.token_hex(32), kept) is None
    assert recovery.matching(kept[0], []) is None
    assert recovery.matching("", kept[:3]) is None, "an empty mark is nobody's"


class Marks:
    """The store of marks in memory."""

    def __init__(self) -> None:
        self.unused: dict[str, list[str]] = {}
        self.reads: list[str] = []

    async def recovery_marks(self, subject: str) -> tuple[str, ...]:
        self.reads.append(subject)
        return tuple(self.unused.get(subject, ()))

    async def spend_recovery_code(self, subject: str, mark: str, now_us: int) -> bool:
        assert now_us
        if mark not in self.unused.get(subject, ()):
            return False
        self.unused[subject].remove(mark)
        return True

    async def replace_recovery_codes(self, subject: str, marks: Sequence[str], now_us: int) -> None:
        assert now_us
        self.unused[subject] = list(marks)


def test_a_code_is_spent_once_by_its_owner_and_the_next_ten_make_the_last_void() -> None:
    async def scenario() -> None:
        marks = Marks()
        codes = RecoveryCodes(marks, Seal(bytes(32), secrets.token_bytes))
        first, second, *_ = (recovery.normal(code) or "" for code in await codes.make("ada", 1))
        assert not await codes.spend("eve", first, 1, may=True)
        assert not await codes.spend("ada", first, 1, may=False)
        both = await asyncio.gather(codes.spend("ada", first, 1, may=True), codes.spend("ada", first, 1, may=True))
        assert both.count(True) == 1
        assert await codes.left("ada") == 9
        await codes.make("ada", 1)
        assert not await codes.spend("ada", second, 1, may=True)
        assert await codes.left("ada") == 10

    asyncio.run(scenario())
