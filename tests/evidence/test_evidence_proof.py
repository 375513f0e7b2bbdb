"""Proofs of single records, keys in files, and the command line."""

import argparse
import json
import stat
from pathlib import Path

import pytest
from evidence_fakes import KEY, ORIGIN, PUBLIC, MemorySource, open_log, record

from penstock.cli import evidence as cli
from penstock.evidence.checkpoint import VerifyingKey
from penstock.evidence.keys import load_key, load_or_make_key, load_verifying_key, make_key, publish_key
from penstock.evidence.proof import MAX_PROOF_BYTES, check_proof, prove
from penstock.model import Invalid, Malformed, Tampered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    with open_log(folder, segment_bytes=2000) as log:
        for index in range(30):
            log.append([record(index)])
        log.checkpoint()
        log.append([record(30)])
    publish_key(folder, KEY, ORIGIN)
    return folder


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    args = parser.parse_args(["evidence", *map(str, words)])
    code: int = args.run(args)
    return code


def test_every_signed_record_is_proven_and_shows_no_other(folder: Path) -> None:
    source = MemorySource.of(folder)
    for seq in range(31):
        document = prove(source, seq, PUBLIC)
        assert check_proof(document, PUBLIC).seq == seq
        assert document.count(b"subject-") == (1 if seq else 0)


def test_record_that_is_not_signed_yet_is_not_proven(folder: Path) -> None:
    with pytest.raises(Invalid, match="signs the records 0 to 30"):
        prove(MemorySource.of(folder), 31, PUBLIC)


def test_altered_log_proves_nothing(folder: Path) -> None:
    source = MemorySource.of(folder)
    name = source.segments[0]
    source.files[name] = source.files[name].replace(b"subject-3", b"subject-4", 1)
    with pytest.raises(Tampered):
        prove(source, 20, PUBLIC)


def test_removed_older_records_make_proofs_impossible(folder: Path) -> None:
    source = MemorySource.of(folder)
    del source.files[source.segments[0]]
    with pytest.raises(Invalid, match="older records were removed"):
        prove(source, 20, PUBLIC)


@pytest.mark.parametrize(
    ("old", "new"),
    [("subject-4", "subject-3"), ('"seq": 5', '"seq": 6'), ("penstock.example", "penstock.elsewhere")],
)
def test_altered_proof_does_not_hold(folder: Path, old: str, new: str) -> None:
    document = prove(MemorySource.of(folder), 5, PUBLIC).decode()
    assert old in document
    with pytest.raises(Tampered):
        check_proof(document.replace(old, new).encode(), PUBLIC)


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"[1]", b'{"format":"x","seq":1,"line":"","path":[],"checkpoint":""}']
)
def test_document_that_is_no_proof_is_malformed(document: bytes) -> None:
    with pytest.raises(Malformed):
        check_proof(document, PUBLIC)


def test_of_a_file_that_is_too_long_for_a_proof_no_more_is_read_than_that_takes(folder: Path, tmp_path: Path) -> None:
    """Spaces at the end make no difference to JSON, so only the length can be what is refused."""
    document = prove(MemorySource.of(folder), 5, PUBLIC)
    longest = document.ljust(MAX_PROOF_BYTES)
    assert check_proof(longest, PUBLIC).seq == 5
    with pytest.raises(Malformed, match="longer than"):
        check_proof(longest + b" ", PUBLIC)
    with (tmp_path / "endless").open("wb") as endless:
        endless.truncate(1 << 40)
    with pytest.raises(Invalid, match="longer than"):
        run("check-proof", tmp_path / "endless", "--key", folder / "evidence.pub")


def test_key_is_made_for_its_owner_alone_and_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "evidence.key"
    made = load_or_make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_key(path).private_bytes_raw() == made.private_bytes_raw()
    with pytest.raises(Invalid, match="there is a key already"):
        make_key(path)


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(Invalid, match="chmod 600"):
        load_key(tmp_path / "key")


def test_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(Invalid, match="cannot be read"):
        load_key(path)
    path.touch(mode=0o600)
    with pytest.raises(Invalid, match="no PEM file"):
        load_key(path)


def test_published_key_reads_back_and_is_never_replaced_by_another(tmp_path: Path) -> None:
    assert publish_key(tmp_path, KEY, ORIGIN) == load_verifying_key(tmp_path / "evidence.pub") == PUBLIC
    publish_key(tmp_path, KEY, ORIGIN)
    with pytest.raises(Tampered, match="holds the log of the key"):
        publish_key(tmp_path, make_key(tmp_path / "other"), ORIGIN)
    assert VerifyingKey.parse((tmp_path / "evidence.pub").read_text()) == PUBLIC


def test_verify_says_that_the_log_is_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", folder) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("verified: these are the 32 records")
    assert "not yet signed          1" in out
    assert "lies beside the log" in err
    assert PUBLIC.fingerprint in err


def test_verify_with_a_key_from_elsewhere_does_not_warn(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "mine.pub"
    key.write_text(str(PUBLIC))
    assert run("verify", folder, "--key", key) == 0
    assert "warning" not in capsys.readouterr().err


def test_verify_says_where_the_log_was_altered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = min(folder.glob("records-*.log"))
    path.write_bytes(path.read_bytes().replace(b"subject-3", b"subject-4", 1))
    assert run("verify", folder) == 1
    out = capsys.readouterr().out
    assert "TAMPERED: records-000000000000000000.log" in out
    assert "record 4" in out


def test_search_prints_a_table_and_tells_what_it_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("search", folder, "--subject", "subject-3", "--limit", 2) == 0
    out, err = capsys.readouterr()
    head, *rows = out.splitlines()
    assert head.split()[:4] == ["record", "time", "kind", "grant"]
    assert [row.split()[0] for row in rows] == ["24", "29"]
    assert "the newest 2 of 6 are shown" in err


def test_search_prints_json_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("search", folder, "--kind", "flow.closed", "--since", "2026-09-21T14:13:20.029", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["seq"] for one in found] == [30, 31]
    assert found[0]["detail"] == {"index": 29}


def test_search_tells_every_wrong_argument_at_once(folder: Path) -> None:
    with pytest.raises(Invalid) as raised:
        run("search", folder, "--kind", "no.such", "--since", "yesterday")
    assert [problem.where for problem in raised.value.problems] == ["--kind", "--since"]


def test_search_does_not_let_a_record_draw_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0, text="\x1b[2J\x9b")])
    assert run("search", tmp_path) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x9b" not in out


def test_proof_goes_through_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prove", folder, 7) == 0
    proof = tmp_path / "proof.json"
    proof.write_text(capsys.readouterr().out)
    assert run("check-proof", proof, "--key", folder / "evidence.pub") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["seq"] == 7
    assert "proven: record 7" in err


@pytest.mark.parametrize("words", [("verify", "absent"), ("search", "absent"), ("check-proof", "absent", "--key", "x")])
def test_input_that_cannot_be_used_is_invalid(words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        run(words[0], tmp_path / words[1], *words[2:])
