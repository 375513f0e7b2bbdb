"""The notice of a site on the command line: shown, accepted, and never passed by."""

from __future__ import annotations

from typing import Any

import pytest
from fake_gate import FakeGate

NOTICE = {"title": "Notice and consent", "text": "Control network.\n\nEverything is recorded.", "sha256": "ab" * 32}
LOGIN = ("login", "--as", "maria", "--password-stdin")
TYPED = "correct horse battery\n123456\n"


def known_by(gate: FakeGate) -> tuple[str, ...]:
    return ("--gate", gate.url, "--fingerprint", gate.authority.fingerprint)


@pytest.fixture
def noticed(gate: FakeGate) -> FakeGate:
    status, about = gate.answers.routes["GET", "/api/gate"]
    gate.answers.routes["GET", "/api/gate"] = (status, {**about, "notice": NOTICE})
    return gate


def test_a_script_that_does_not_accept_the_notice_sends_nothing(noticed: FakeGate, cli: Any, capsys: Any) -> None:
    assert cli(*LOGIN, *known_by(noticed), typed=TYPED) == 2
    told = capsys.readouterr().err
    assert "Everything is recorded." in told
    assert "--accept-notice" in told
    assert not [asked for asked in noticed.answers.asked if asked.path == "/api/sign-ins"]


def test_the_very_notice_that_was_shown_is_accepted(noticed: FakeGate, cli: Any) -> None:
    assert cli(*LOGIN, *known_by(noticed), "--accept-notice", typed=TYPED) == 0
    (sent,) = [asked for asked in noticed.answers.asked if asked.path == "/api/sign-ins"]
    assert sent.body["notice"] == NOTICE["sha256"]


def test_a_site_without_a_notice_asks_for_nothing(gate: FakeGate, cli: Any) -> None:
    assert cli(*LOGIN, *known_by(gate), typed=TYPED) == 0
    (sent,) = [asked for asked in gate.answers.asked if asked.path == "/api/sign-ins"]
    assert "notice" not in sent.body
