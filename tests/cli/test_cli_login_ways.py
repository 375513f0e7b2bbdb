"""``penstock login`` by the browser, by a code, and typed; and proving again."""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from fake_gate import PROVED, Answer, Asked, FakeGate
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import login, login_device, output
from penstock.cli.answers import Codes
from penstock.cli.client import Gate
from penstock.cli.login_browser import answer_of, challenge_of
from penstock.model import PenstockError, Unauthenticated, Unavailable

STATE = "s" * 43


@pytest.fixture
def known(gate: FakeGate, cli: Any, capsys: Any) -> FakeGate:
    """A gate that this profile knows, with nobody signed in."""
    words = ("login", "--gate", gate.url, "--fingerprint", gate.authority.fingerprint, "--as", "maria")
    assert cli(*words, "--password-stdin", typed="x\n1\n") == 0
    assert cli("logout") == 0
    gate.answers.asked.clear()
    capsys.readouterr()
    return gate


def visit(port: int, target: str, host: str | None = None) -> tuple[int, str]:
    """What the listener answers to a browser."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", target, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Desktop:
    """A browser that the program opens; what it does then is the test's."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.seen: list[tuple[int, str]] = []
        self.act: Callable[[dict[str, str]], None] = lambda _: None

    def open(self, address: str) -> bool:
        self.opened.append(address)
        call = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        threading.Thread(target=self.act, args=(call,), daemon=True).start()
        return True

    def come_back(self, call: dict[str, str], **answer: str) -> None:
        query = "&".join(f"{name}={quote(value)}" for name, value in {"state": call["state"], **answer}.items())
        self.seen.append(visit(int(call["port"]), f"/?{query}"))


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    made = Desktop()
    monkeypatch.setenv("BROWSER", "a-browser")
    monkeypatch.setattr("webbrowser.open", made.open)
    monkeypatch.setattr("webbrowser.get", lambda: made)
    return made


def test_the_browser_is_opened_at_the_portal_and_its_code_is_sent_with_the_verifier(
    known: FakeGate, cli: Any, desktop: Desktop, home: Path
) -> None:
    desktop.act = lambda call: desktop.come_back(call, code="a-code")
    assert cli("login") == 0
    (address,) = desktop.opened
    assert address.startswith(f"{known.url}/client?")
    call = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert call.keys() == {"challenge", "state", "port", "host"}
    assert call["host"] == socket.gethostname()
    sent = known.answers.asked[-1]
    assert sent.path == "/api/clients/tokens"
    assert sent.body["code"] == "a-code"
    assert challenge_of(sent.body["verifier"]) == call["challenge"]
    assert sent.body["verifier"] not in address
    assert (home / "key.pem").exists()
    ((status, page),) = desktop.seen
    assert status == 200
    assert "You can close this window" in page
    with pytest.raises(ConnectionRefusedError):
        visit(int(call["port"]), "/")


def test_an_answer_that_another_user_of_the_computer_brings_is_turned_away(
    known: FakeGate, cli: Any, desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = [os.geteuid() + 1]
    monkeypatch.setattr("penstock.cli.local.owner_of", lambda *_: owner[0])

    def act(call: dict[str, str]) -> None:
        desktop.come_back(call, code="evil")
        owner[0] = os.geteuid()
        desktop.come_back(call, code="a-code")

    desktop.act = act
    assert cli("login", "--browser") == 0
    assert [status for status, _ in desktop.seen] == [404, 200]
    assert known.answers.asked[-1].body["code"] == "a-code"


def test_answers_that_are_not_the_portals_are_turned_away_and_the_real_one_still_counts(
    known: FakeGate, cli: Any, desktop: Desktop
) -> None:
    def act(call: dict[str, str]) -> None:
        port = int(call["port"])
        idle = socket.create_connection(("127.0.0.1", port))
        for target in ("/?code=x&state=wrong", "/?code=x", f"/other?code=x&state={call['state']}", "/favicon.ico"):
            desktop.seen.append(visit(port, target))
        desktop.seen.append(visit(port, f"/?code=evil&state={call['state']}", host="attacker.example"))
        desktop.come_back(call, code="a-code")
        idle.close()

    desktop.act = act
    assert cli("login", "--browser") == 0
    assert [status for status, _ in desktop.seen] == [404] * 5 + [200]
    assert known.answers.asked[-1].body["code"] == "a-code"


@pytest.mark.usefixtures("known")
def test_a_refusal_at_the_portal_ends_the_program_with_its_reason(cli: Any, desktop: Desktop, capsys: Any) -> None:
    desktop.act = lambda call: desktop.come_back(call, error="access_denied")
    assert cli("login") == 3
    said = capsys.readouterr().err
    assert "penstock: the sign-in was refused at the portal\nhint: penstock login asks again" in said


@pytest.mark.usefixtures("known", "desktop")
def test_a_browser_that_nobody_uses_is_given_up(cli: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("penstock.cli.login_browser.code.__kwdefaults__", {"wait_s": 0.05})  # ten minutes in earnest
    assert cli("login") == 4
    said = capsys.readouterr().err
    assert "nobody confirmed this in the browser" in said
    assert "hint: penstock login --device" in said


@given(st.text(max_size=200), st.text(max_size=40))
def test_whatever_arrives_at_the_listener_is_an_answer_or_none(target: str, host: str) -> None:
    assert answer_of(target, host, 43210, STATE) is None
    assert answer_of(target, "127.0.0.1:43210", 43210, STATE) is None


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (f"/?code=c&state={STATE}", {"code": "c"}),
        (f"/?error=access_denied&state={STATE}", {"error": "access_denied"}),
        (f"/?code=c&code=d&state={STATE}", None),
        (f"/?code=c&state={STATE}&state={STATE}", None),
        (f"/?state={STATE}", None),
        (f"http://evil.example/?code=c&state={STATE}", None),
        (f"//evil.example/?code=c&state={STATE}", None),
        (f"/?code=c&state={STATE}" + "&x=1" * 9, None),
        ("//[::1", None),
    ],
)
def test_an_answer_is_taken_from_one_path_with_this_state_once(target: str, answer: dict[str, str] | None) -> None:
    assert answer_of(target, "127.0.0.1:43210", 43210, STATE) == answer


def pending(gate: FakeGate, *words: str) -> None:
    """The gate answers these, then lets the program in."""
    left = list(words)
    keep = gate.answers.routes["POST", "/api/clients/tokens"]
    assert callable(keep)

    def answer(asked: Asked) -> Answer:
        return (400, {"error": left.pop(0), "problems": []}) if left else keep(asked)

    gate.answers.routes["POST", "/api/clients/tokens"] = answer


def test_a_code_is_shown_and_asked_for_at_the_gates_pace(
    known: FakeGate, cli: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(login_device.wait, "__defaults__", (slept.append, lambda: 0.0))
    pending(known, "authorization_pending", "slow_down", "authorization_pending")
    assert cli("login", "--device") == 0
    assert slept == [5, 5, 10, 10]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"open {known.url}/device in any browser, and type the code\n\n  WDJB-MJHT\n" in printed.err
    assert "read it to nobody" in printed.err
    assert "a-device-code" not in printed.err
    assert known.answers.asked[1].body == {"host": socket.gethostname()}
    assert known.answers.asked[-1].body["device_code"] == "a-device-code"


@pytest.mark.parametrize(
    ("word", "text"),
    [("access_denied", "refused at the portal"), ("expired_token", "nobody confirmed"), ("", "nobody confirmed")],
)
def test_a_code_that_is_refused_or_over_ends_the_program(
    known: FakeGate, cli: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, word: str, text: str
) -> None:
    monkeypatch.setattr(login_device.wait, "__defaults__", (lambda _: None, lambda: 0.0))
    pending(known, word)
    assert cli("login", "--device") == 3
    said = capsys.readouterr().err
    assert text in said
    assert "hint: penstock login" in said


def test_waiting_ends_with_the_code_and_survives_a_gate_that_is_away_for_a_while(known: FakeGate, capsys: Any) -> None:
    times = iter([0.0, 0.0, 300.0, 599.0, 600.0])
    asked: list[Codes] = []

    def away(codes: Codes) -> None:
        asked.append(codes)
        raise Unavailable("the gate does not answer")

    with Gate(known.url, known.authority.pem) as gate, pytest.raises(Unauthenticated, match="nobody confirmed"):
        login_device.wait(gate, known.url, away, lambda _: None, lambda: next(times))
    assert len(asked) == 3
    assert capsys.readouterr().err.count("still waiting") == 1


def test_a_picture_on_the_terminal_holds_no_code(
    known: FakeGate, cli: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pictured: list[str] = []

    class Picture:
        def terminal(self, **_: Any) -> None:
            return

    monkeypatch.setattr(login_device.wait, "__defaults__", (lambda _: None, lambda: 0.0))
    monkeypatch.setattr("segno.make", lambda text, **_: pictured.append(text) or Picture())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli("login", "--device") == 0
    assert pictured == [f"{known.url}/device"]
    assert "WDJB-MJHT" in capsys.readouterr().err


def test_a_site_that_has_no_such_way_says_what_helps(known: FakeGate, cli: Any, capsys: Any) -> None:
    problem = {"where": "--device", "why": "this site does not", "hint": "penstock login --local"}
    known.answers.routes["POST", "/api/clients/devices"] = (422, {"error": "invalid", "problems": [problem]})
    assert cli("login", "--device") == 2
    assert capsys.readouterr().err == "--device: this site does not\nhint: penstock login --local\n"


def test_a_directory_is_named_to_the_gate(known: FakeGate, cli: Any) -> None:
    assert cli("login", "--source", "plant-ad", "--as", "maria", "--password-stdin", typed="pw\n123456\n") == 0
    sent = known.answers.asked[-1].body
    assert (sent["source"], sent["subject"], sent["password"], sent["totp"]) == ("plant-ad", "maria", "pw", "123456")


def chosen(*words: str, environment: dict[str, str] | None = None) -> str:
    parser = argparse.ArgumentParser()
    login.register(parser.add_subparsers())
    try:
        return str(login.way_of(parser.parse_args(["login", *words]), environment or {}))
    except PenstockError as error:
        return str(error)


def test_the_way_follows_from_what_is_there_and_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.get", lambda: None)
    monkeypatch.setattr(output, "is_interactive", lambda: True)
    assert chosen(environment={"DISPLAY": ":0"}) == "browser"
    assert chosen(environment={"BROWSER": "w3m"}) == "browser"
    assert chosen() == "device"
    assert chosen("--device", environment={"DISPLAY": ":0"}) == "device"
    for words in (("--local",), ("--as", "maria"), ("--source", "ad"), ("--password-stdin",)):
        assert chosen(*words, environment={"DISPLAY": ":0"}) == "local"
    assert "are for signing in here" in chosen("--browser", "--as", "maria")
    monkeypatch.setattr(output, "is_interactive", lambda: False)
    assert "neither a browser here nor a terminal" in chosen()


def test_proving_again_by_the_browser_keeps_the_sign_in_as_it_is(
    signed_in: FakeGate, cli: Any, desktop: Desktop, home: Path, capsys: Any
) -> None:
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    desktop.act = lambda call: desktop.come_back(call, code="a-code")
    assert cli("login", "--again") == 0
    assert parse_qs(urlsplit(desktop.opened[0]).query)["again"] == ["1"]
    sent = signed_in.answers.asked[-1]
    assert (sent.path, sent.bearer) == ("/api/clients/proofs", "Bearer a-secret-token")
    assert sent.body.keys() == {"code", "verifier"}
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    assert "maria is proved again (two: password, totp) until 2099" in capsys.readouterr().err


def test_proving_again_can_be_typed_too(signed_in: FakeGate, cli: Any) -> None:
    assert cli("login", "--again", "--password-stdin", typed="correct horse\n123456\n") == 0
    sent = signed_in.answers.asked[-1]
    assert (sent.path, sent.body["subject"]) == ("/api/sign-ins/current/proofs", "maria")
    assert PROVED["strength"] == "two"


def test_somebody_of_a_directory_proves_it_again_there_under_the_name_that_it_knows(
    known: FakeGate, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = known.answers.routes["POST", "/api/sign-ins"]
    assert callable(first)

    def of_the_directory(asked: Asked) -> Answer:
        status, body = first(asked)[:2]
        return status, {**body, "subject": f"{asked.body['subject']}@{asked.body['source']}"}

    monkeypatch.setitem(known.answers.routes, ("POST", "/api/sign-ins"), of_the_directory)
    words = ("login", "--source", "plant-ad", "--as", "maria@corp.example", "--password-stdin")
    assert cli(*words, typed="pw\n123456\n") == 0
    assert cli("login", "--again", "--password-stdin", typed="pw\n123456\n") == 0
    sent = known.answers.asked[-1].body
    assert (sent["subject"], sent["source"]) == ("maria@corp.example", "plant-ad")


def test_proving_again_without_a_sign_in_or_elsewhere_is_refused(
    gate: FakeGate, known: FakeGate, cli: Any, capsys: Any
) -> None:
    assert cli("login", "--again") == 3
    assert "hint: penstock login" in capsys.readouterr().err
    assert cli("login", "--as", "maria", "--password-stdin", typed="x\n1\n") == 0
    assert cli("login", "--again", "--gate", "https://other:8443") == 2
    assert known is gate


def test_a_stale_proof_says_what_to_do(signed_in: FakeGate, cli: Any, desktop: Desktop, capsys: Any) -> None:
    desktop.act = lambda call: desktop.come_back(call, code="a-code")
    problem = {"where": "proof", "why": "the portal's own proof is no newer", "hint": "prove it there first"}
    signed_in.answers.routes["POST", "/api/clients/proofs"] = (422, {"error": "invalid", "problems": [problem]})
    assert cli("login", "--again") == 2
    assert capsys.readouterr().err.endswith("proof: the portal's own proof is no newer\nhint: prove it there first\n")


def test_secrets_stay_out_of_representations() -> None:
    assert "secret" not in repr(Codes(code="secret", verifier="secret", device_code="secret"))
