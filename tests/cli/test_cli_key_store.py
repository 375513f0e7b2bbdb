"""Where token and key are kept: the system's key store where one works, files of the person's own where none does."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring.backend
import keyring.backends.SecretService
import pytest
from fake_gate import FakeGate, FakeTunnel
from keyring.errors import KeyringLocked

from penstock.cli import key_store
from penstock.cli.profile import Profile, SignIn
from penstock.model import Unauthenticated

FAR = "2099-01-01T00:00:00+00:00"
KEY = b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
DESKTOP = {"DISPLAY": ":0"}


class Desk(keyring.backend.KeyringBackend):
    """A secret service in memory, in the place of the real one."""

    priority = 5  # type: ignore[assignment]
    is_locked = forgets = False

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise KeyringLocked("the collection is locked")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.is_locked:
            raise KeyringLocked("the collection is locked")
        if not self.forgets:
            self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


Desk.__module__ = "keyring.backends.SecretService"


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desktop session with a key store."""
    made = Desk()
    monkeypatch.setattr(keyring.backend, "get_all_keyring", lambda: [made])
    monkeypatch.setenv("DISPLAY", ":0")
    yield made
    keyring.backend.KeyringBackend._classes.discard(Desk)


def profile_of(folder: Path, desk: Desk | None) -> Profile:
    return Profile(folder, lambda: None if desk is None else key_store.SystemSafe(desk, "the desk"))


def remember(profile: Profile) -> SignIn:
    sign_in = SignIn(subject="maria", groups=(), token="a-secret-token", expires_at=FAR)
    return profile.remember_sign_in(sign_in, KEY, CERTIFICATE)


def on_disk(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.iterdir())


def test_with_a_key_store_neither_token_nor_key_is_in_a_file(tmp_path: Path, desk: Desk) -> None:
    profile = profile_of(tmp_path / "home", desk)
    assert remember(profile).kept_in == "the desk"
    assert "a-secret-token" not in on_disk(profile.folder)
    assert "MIGH" not in on_disk(profile.folder)
    assert profile.live_sign_in().token == "a-secret-token"
    with profile.credential() as path:
        assert Path(path).read_bytes() == CERTIFICATE.encode() + KEY
    profile.forget_sign_in()
    assert desk.kept == {}
    assert profile.sign_in() is None


@pytest.mark.parametrize("fault", ["is_locked", "forgets"])
def test_a_key_store_that_does_not_work_is_not_relied_upon(tmp_path: Path, desk: Desk, fault: str) -> None:
    setattr(desk, fault, True)
    profile = profile_of(tmp_path / "home", desk)
    assert remember(profile).kept_in == ""
    assert (profile.folder / "key.pem").read_bytes() == KEY
    assert (profile.folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert profile.live_sign_in().token == "a-secret-token"


def test_a_key_store_that_is_locked_later_says_what_to_do(tmp_path: Path, desk: Desk) -> None:
    profile = profile_of(tmp_path / "home", desk)
    remember(profile)
    desk.is_locked = True
    with pytest.raises(Unauthenticated, match="the desk does not give the sign-in back") as caught:
        profile.live_sign_in()
    assert caught.value.__notes__ == ["penstock login"]
    assert profile.last_subject() == "maria"
    with pytest.raises(Unauthenticated):
        profile.credential().__enter__()


def test_a_sign_in_of_files_leaves_nothing_of_an_earlier_one_in_the_store(tmp_path: Path, desk: Desk) -> None:
    profile = profile_of(tmp_path / "home", desk)
    remember(profile)
    desk.forgets = True
    desk.kept = dict.fromkeys(desk.kept, "of an earlier sign-in")
    assert remember(profile).kept_in == ""
    assert desk.kept == {}


def test_two_profiles_do_not_share_an_entry(tmp_path: Path, desk: Desk) -> None:
    for name in ("one", "two"):
        remember(profile_of(tmp_path / name, desk))
    assert len(desk.kept) == 2


def test_a_secret_that_the_smallest_store_cannot_take_goes_into_files(desk: Desk) -> None:
    assert not key_store.SystemSafe(desk, "the desk").keep("x", "s" * (key_store.MAX_CHARACTERS + 1))


def test_only_stores_of_the_system_are_used_and_only_where_somebody_can_unlock_them(desk: Desk) -> None:
    found = key_store.of_this_system(DESKTOP)
    assert found is not None
    assert found.title == "the desktop's secret service"
    assert key_store.of_this_system({}) is None
    assert key_store.of_this_system({**DESKTOP, "PENSTOCK_KEYS": "files"}) is None
    desk.__class__.__module__ = "keyrings.alt.file"
    try:
        assert key_store.of_this_system(DESKTOP) is None, "it would write a file in the clear"
    finally:
        desk.__class__.__module__ = "keyring.backends.SecretService"


def test_the_stores_that_are_known_exist_in_the_library() -> None:
    assert all(importlib.util.find_spec(name) for name in key_store._TITLES)


def test_without_the_library_files_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setitem(sys.modules, "keyring.backend", None)
    assert key_store.of_this_system(DESKTOP) is None


def test_signing_in_says_where_the_key_is_and_everything_works_with_it(
    gate: FakeGate, tunnel: FakeTunnel, cli: Any, home: Path, desk: Desk, capsys: Any
) -> None:
    words = ("login", "--local", "--gate", gate.url, "--fingerprint", gate.authority.fingerprint, "--as", "maria")
    assert cli(*words, "--password-stdin", typed="correct horse\n123456\n") == 0
    assert "key and token are kept in the desktop's secret service" in capsys.readouterr().err
    assert json.loads(next(iter(desk.kept.values())))["token"] == "a-secret-token"
    assert cli("ls") == 0
    assert gate.answers.asked[-1].bearer == "Bearer a-secret-token"
    assert cli("logout") == 0
    assert desk.kept == {}
    assert tunnel.prefaces == []
    assert {path.name for path in home.iterdir() if "pem" in path.name or "sign" in path.name} == {"ca.pem"}


def test_signing_out_works_where_the_store_is_shut(
    gate: FakeGate, cli: Any, home: Path, desk: Desk, capsys: Any
) -> None:
    words = ("login", "--gate", gate.url, "--fingerprint", gate.authority.fingerprint, "--as", "maria")
    assert cli(*words, "--password-stdin", typed="correct horse\n123456\n") == 0
    desk.is_locked = True
    assert cli("logout") == 3
    said = capsys.readouterr().err
    assert "it is forgotten here, but the gate keeps it until 2099" in said
    assert not (home / "sign-in.json").exists()
