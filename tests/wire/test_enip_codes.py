"""The tables of codes are the project's taxonomy, neither more nor less."""

from __future__ import annotations

from typing import Any

from taxonomy import many, taxonomy

from penstock.wire.enip.codes import BY_CLASS, COMMANDS, COMMON_SERVICES, PCCC, TAG, TAG_CLASSES
from penstock.wire.enip.names import PCCC_FUNCTIONS, service_name


def classes(entry: dict[str, Any]) -> tuple[str, ...]:
    return () if entry.get("carries") else tuple(many(entry["class"]))


def test_commands() -> None:
    expected = {(each["command"], each["name"], classes(each)) for each in taxonomy("enip_cip")["commands"]}
    assert {(code, name, tuple(map(str, found))) for code, name, found in COMMANDS} == expected


def test_common_services() -> None:
    expected = {(s, classes(each)) for each in taxonomy("enip_cip")["common_services"] for s in many(each["service"])}
    assert {(s, tuple(map(str, found))) for services, found in COMMON_SERVICES for s in services} == expected


def test_services_by_class() -> None:
    """A symbolic path and the symbol and template classes share their services."""
    expected: set[tuple[int, int, tuple[str, ...]]] = set()
    for entry in taxonomy("enip_cip")["by_class"]:
        numbers = list(TAG_CLASSES) if entry["class"] == "tag" else many(entry["class"])
        for each in entry["services"]:
            expected |= {(number, s, classes(each)) for number in numbers for s in many(each["service"])}
    ours = {
        (number, s, tuple(map(str, found)))
        for numbers, services in BY_CLASS
        for each, found in services
        for number in numbers
        for s in each
    }
    assert ours == expected


def test_pccc() -> None:
    expected = {
        (each["command"], f, classes(each)) for each in taxonomy("enip_cip")["pccc"] for f in many(each["function"])
    }
    assert {(command, f, tuple(map(str, found))) for command, functions, found in PCCC for f in functions} == expected


def test_every_code_has_a_name() -> None:
    for numbers, services in BY_CLASS:
        for each, _ in services:
            assert all(service_name(number, s) for number in numbers for s in each), (numbers, each)
    assert all(service_name(TAG, s) for services, _ in COMMON_SERVICES for s in services)
    assert all(PCCC_FUNCTIONS[command].get(f) for command, functions, _ in PCCC for f in functions)
