"""What is read back of elements that come and go: a difference counts where it is there at the second look as well."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from penstock.kernel.elements import mark_bytes
from penstock.kernel.loading import Loading
from penstock.kernel.told import Element, Step, Told, Verb


class Dumps:
    """The kernel's answers for the set ``live``, one after the other; every other set is empty."""

    def __init__(self, *answers: list[int]) -> None:
        self._answers = list(answers)

    def elements(self, name: str) -> Iterator[list[Element]]:
        if name == "live":
            numbers = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            yield [Element(key=mark_bytes(number), left_ms=60_000) for number in numbers]


class Written:
    """The enforcer's elements: grants 1 to 3 live for a minute."""

    def __init__(self) -> None:
        self.told = Told()
        live = [Element(key=mark_bytes(number), left_ms=60_000) for number in (1, 2, 3)]
        self.told.note((Step(Verb.ADD, "live", each) for each in live), time.monotonic())


def loading(monkeypatch: pytest.MonkeyPatch, *answers: list[int]) -> Loading:
    monkeypatch.setattr("penstock.kernel.loading.Readback", lambda: Dumps(*answers))
    return Loading(Written(), frozenset)  # type: ignore[arg-type]  # what is asked of it is there


@pytest.mark.parametrize("first", [[1, 3], [1, 2, 2, 3], [1, 2, 3, 3, 3]])
def test_a_dump_that_was_torn_by_an_expiry_is_no_drift(monkeypatch: pytest.MonkeyPatch, first: list[int]) -> None:
    assert loading(monkeypatch, first, [1, 2, 3]).element_differences() == []


def test_what_is_missing_or_foreign_at_both_looks_is_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loading(monkeypatch, [3, 9], [1, 9], [1, 2, 3]).element_differences()
    assert [each.what for each in found] == [
        "set live: element 0x00000002 is missing",
        "set live: element 0x00000009 is not ours",
    ]
