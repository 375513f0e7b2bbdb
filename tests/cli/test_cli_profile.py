from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.cli.profile import FIRST_PORT, LAST_PORT, KnownGate, Profile, SignIn, of_this_person, stable_port
from penstock.model import Invalid, Unauthenticated, Unavailable

GATE = KnownGate(url="https://10.20.0.2:8443", gate="gate-1", site="riverside-water", tunnel_port=8444)
MARIA = SignIn(subject="maria", groups=("operators",), token="secret", expires_at="2026-11-23T18:00:00+00:00")


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    found = Profile(tmp_path / "state" / "penstock")
    found.remember_gate(GATE, "a certificate")
    found.remember_sign_in(MARIA, b"a key", "a certificate")
    return found


def test_what_is_remembered_is_read_again(profile: Profile) -> None:
    assert (profile.gate(), profile.ca_pem(), profile.sign_in()) == (GATE, "a certificate", MARIA)


def test_folder_and_files_are_for_their_owner_alone(profile: Profile) -> None:
    assert stat.S_IMODE(profile.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in profile.folder.iterdir()} == {0o600}


def test_a_write_leaves_no_draft_behind(profile: Profile) -> None:
    names = {path.name for path in profile.folder.iterdir()}
    assert names == {"ca.pem", "gate.json", "key.pem", "certificate.pem", "sign-in.json"}


@pytest.mark.parametrize("name", ["sign-in.json", "key.pem"])
def test_a_file_that_others_may_read_is_refused_with_the_remedy(profile: Profile, name: str) -> None:
    (profile.folder / name).chmod(0o644)
    with pytest.raises(Invalid) as caught:
        profile.sign_in() if name == "sign-in.json" else profile.credential().__enter__()
    (problem,) = caught.value.problems
    assert problem.where.endswith(name)
    assert "others may read it (mode 0644)" in problem.why
    assert problem.hint.startswith("chmod 600")


def test_a_folder_that_others_may_write_is_refused(profile: Profile) -> None:
    profile.folder.chmod(0o770)
    with pytest.raises(Invalid, match="others may write it"):
        profile.sign_in()


def test_a_symbolic_link_is_refused(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes((profile.folder / "sign-in.json").read_bytes())
    (profile.folder / "sign-in.json").unlink()
    (profile.folder / "sign-in.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Invalid, match="cannot be opened"):
        profile.sign_in()


def test_a_profile_of_somebody_else_is_refused(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: profile.folder.stat().st_uid + 1)
    with pytest.raises(Invalid, match="belongs to somebody else"):
        profile.sign_in()


def test_a_damaged_file_is_named(profile: Profile) -> None:
    (profile.folder / "gate.json").write_text("{")
    with pytest.raises(Invalid, match=r"gate\.json"):
        profile.gate()


def test_an_expired_sign_in_is_no_sign_in(profile: Profile) -> None:
    assert profile.live_sign_in(datetime(2026, 11, 23, 17, 59, tzinfo=UTC)) == MARIA
    with pytest.raises(Unauthenticated, match="expired") as caught:
        profile.live_sign_in(datetime(2026, 11, 23, 18, 0, tzinfo=UTC))
    assert caught.value.__notes__ == ["penstock login"]


def test_forgetting_removes_token_key_and_certificate(profile: Profile) -> None:
    profile.forget_sign_in()
    assert {path.name for path in profile.folder.iterdir()} == {"ca.pem", "gate.json"}
    with pytest.raises(Unauthenticated, match="nobody is signed in"):
        profile.live_sign_in()


def test_a_service_keeps_its_local_port_for_ever(profile: Profile) -> None:
    first = profile.port_of("plc-dosing", "modbus", lambda _: True)
    again = Profile(profile.folder).port_of("plc-dosing", "modbus", lambda _: False)
    assert first == again
    assert FIRST_PORT <= first <= LAST_PORT


def test_the_port_depends_on_the_name_alone_where_nothing_is_in_the_way(tmp_path: Path) -> None:
    ports = [Profile(tmp_path / name).port_of("plc-dosing", "modbus", lambda _: True) for name in ("one", "two")]
    assert ports[0] == ports[1]


def test_a_port_that_is_promised_or_in_use_is_stepped_over() -> None:
    wanted = stable_port("plc-dosing/modbus", {}, lambda _: True)
    assert stable_port("plc-dosing/modbus", {"other": wanted}, lambda port: port != wanted + 1) == wanted + 2


def test_ports_wrap_around_and_run_out_with_an_error() -> None:
    assert stable_port("x", {}, lambda port: port == FIRST_PORT) == FIRST_PORT
    with pytest.raises(Unavailable, match="no local port"):
        stable_port("x", {}, lambda _: False)


def test_what_holds_a_port_is_told_while_it_does(profile: Profile) -> None:
    with profile.announced(21234, "plc-dosing", "modbus"):
        found = profile.listening(21234)
        assert found is not None
        assert (found.asset, found.service) == ("plc-dosing", "modbus")
    assert profile.listening(21234) is None


def test_the_profile_is_where_the_person_or_the_desktop_says() -> None:
    assert of_this_person({"PENSTOCK_HOME": "/h", "XDG_STATE_HOME": "/x"}).folder == Path("/h")
    assert of_this_person({"XDG_STATE_HOME": "/x"}).folder == Path("/x/penstock")
    assert of_this_person({}).folder == Path.home() / ".local/state/penstock"
