"""``penstock evidence payload``, and ``verify`` on the capture files: a real log, real files, a real analyser."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penstock.cli.payload import MAX_NAMED, about
from penstock.evidence import PUBLIC_KEY_NAME, Log, PayloadFile, path_of, payload_problems, publish_key
from penstock.model import Record, RecordKind
from penstock.observe.pcapng import about_of, packet_block, preamble

STORED = RecordKind.PAYLOAD_STORED
S = 1_000_000
T0 = 1_790_000_000 * S  # 2026-09-21T14:13:20Z
ORACLE = Path(__file__).parents[2] / "tools" / "verify_evidence.py"


def packet(number: int) -> bytes:
    """A whole UDP packet from .12 to .50."""
    udp = (40000 + number).to_bytes(2, "big") + (502).to_bytes(2, "big") + b"\0\x0c\0\0data"
    head = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + b"\0\1\0\0\x40\x11\0\0\xc0\xa8\x0a\x0c\xc0\xa8\x0a\x32"
    return head + udp


class Kept:
    """A log with records of two capture files, the second of another grant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "payload"
        self.store.mkdir(parents=True)
        key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        publish_key(folder, key, "gate-1")
        self._log = Log.open(folder, key, "gate-1", lambda: T0 + 100 * S)
        self.paths = [self._keep(42, 0, 10), self._keep(43, 5, 3)]
        self._close()

    def remove(self, number: int, *, is_recorded: bool) -> None:
        name = self.paths[number].name.removesuffix(".pcapng")
        self.paths[number].unlink()
        if is_recorded:
            key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
            self._log = Log.open(self.folder, key, "gate-1", lambda: T0 + 200 * S)
            detail: dict[str, Any] = {"sha256": name, "size_bytes": 1, "why": "the store is limited"}
            self._log.append([Record(kind=RecordKind.PAYLOAD_REMOVED, at_us=T0 + 200 * S, detail=detail)])
            self._close()

    def _keep(self, grant: int, first_s: int, count: int) -> Path:
        times = [T0 + (first_s + number) * S for number in range(count)]
        packets = [packet_block(at_us, packet(number), len(packet(number))) for number, at_us in enumerate(times)]
        data = preamble("kernel path", {"grant": grant}) + b"".join(packets)
        name = hashlib.sha256(data).hexdigest()
        path = self.store / f"{name}.pcapng"
        path.write_bytes(data)
        detail: dict[str, Any] = {
            "sha256": name,
            "first_us": times[0],
            "last_us": times[-1],
            "packets": count,
            "bytes": count * len(packet(0)),
            "size_bytes": len(data),
            "was_recovered": False,
        }
        record = Record(
            kind=RecordKind.PAYLOAD_STORED,
            at_us=times[-1],
            grant=grant,
            subject="scada-1",
            asset="plc-1",
            detail=detail,
        )
        self._log.append([record])
        return path

    def _close(self) -> None:
        self._log.checkpoint()
        self._log.close()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "evidence")


def test_files_are_listed_with_whose_they_are_and_from_when(kept: Kept, cli: Any, capsys: Any) -> None:
    assert cli("evidence", "payload", "ls", str(kept.folder)) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["RECORD", "GRANT", "SUBJECT", "ASSET", "FROM", "UNTIL", "PACKETS", "BYTES", "FILE"]
    assert first.split()[1:4] == ["42", "scada-1", "plc-1"]
    assert second.split()[-3:] == ["3", str(3 * len(packet(0))), kept.paths[1].name]
    assert cli("evidence", "payload", "ls", str(kept.folder), "--grant", "43", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["grant"], row["packets"], row["state"]) == (43, 3, kept.paths[1].name)


def test_packets_of_a_grant_and_a_time_are_exported_for_an_analyser(
    kept: Kept, cli: Any, capsys: Any, tmp_path: Path
) -> None:
    """Seconds 2 to 6 of grant 42, as tshark reads them."""
    out = tmp_path / "export.pcapng"
    words = ["evidence", "payload", "export", str(kept.folder), "--grant", "42", "--output", str(out)]
    times = ["--since", "2026-09-21T14:13:22", "--until", "2026-09-21T16:13:27+02:00"]
    assert cli(*words, *times) == 0
    assert "5 packets are in" in capsys.readouterr().err
    assert out.stat().st_mode & 0o777 == 0o600
    fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "ip.src", "-e", "udp.srcport"]
    lines = subprocess.run(
        ["tshark", "-n", "-r", str(out), *fields], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split("\t")[1:] for line in lines] == [["192.168.10.12", str(40000 + n)] for n in range(2, 7)]
    assert [float(line.split("\t")[0]) for line in lines] == [T0 // S + n for n in range(2, 7)]
    assert cli(*words, *times) == 2, "a file that is there is not overwritten"
    assert "it is there already" in capsys.readouterr().err


def test_a_file_out_of_very_many_still_says_what_it_is_made_of() -> None:
    """A comment of a capture file has 64 KiB at most."""
    seqs = [10**12 + number for number in range(40_000)]
    said = about_of(preamble("kernel path", about(None, seqs)))
    assert (said["files"], said["records"]) == (40_000, seqs[:MAX_NAMED])


def test_a_changed_file_is_not_exported(kept: Kept, cli: Any, capsys: Any, tmp_path: Path) -> None:
    data = bytearray(kept.paths[0].read_bytes())
    data[-10] ^= 1
    kept.paths[0].write_bytes(bytes(data))
    out = tmp_path / "export.pcapng"
    assert cli("evidence", "payload", "export", str(kept.folder), "--output", str(out)) == 2
    assert "the file is not what the log says" in capsys.readouterr().err
    assert not out.exists()


def test_verify_is_content_with_whole_files_and_with_removals_on_record(kept: Kept, cli: Any, capsys: Any) -> None:
    assert cli("evidence", "verify", str(kept.folder)) == 0
    assert "payload files           2, 0 of them removed" in capsys.readouterr().out
    kept.remove(0, is_recorded=True)
    assert cli("evidence", "verify", str(kept.folder)) == 0
    assert "payload files           2, 1 of them removed" in capsys.readouterr().out
    assert cli("evidence", "payload", "ls", str(kept.folder)) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("removed")


def test_verify_finds_a_missing_and_a_changed_file(kept: Kept, cli: Any, capsys: Any) -> None:
    data = bytearray(kept.paths[1].read_bytes())
    data[200] ^= 1
    kept.paths[1].write_bytes(bytes(data))
    kept.remove(0, is_recorded=False)
    assert cli("evidence", "verify", str(kept.folder)) == 1
    said = capsys.readouterr().out
    assert f"record 1: the payload file {kept.paths[0].stem} is missing" in said
    assert f"record 2: the payload file {kept.paths[1].name} was changed" in said
    assert cli("evidence", "verify", str(kept.folder), "--without-payload") == 0


def test_the_store_does_not_disturb_the_independent_verifier(kept: Kept) -> None:
    done = subprocess.run(
        [sys.executable, str(ORACLE), str(kept.folder), str(kept.folder / PUBLIC_KEY_NAME)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", ""])
def test_a_log_that_names_no_digest_leads_to_no_file(tmp_path: Path, name: str) -> None:
    """A log that somebody forged may name anything; where the names lead there are files."""
    (tmp_path / "log" / "payload").mkdir(parents=True)
    (tmp_path / "elsewhere.pcapng").write_bytes(b"not of the store")
    if "/" not in name:
        (tmp_path / "log" / "payload" / f"{name}.pcapng").write_bytes(b"not of the store")
    values: dict[str, Any] = {"grant": 1, "subject": "s", "asset": "a", "first_us": 1, "last_us": 2}
    file = PayloadFile(seq=3, sha256=name, packets=1, bytes=1, size_bytes=1, **values)
    assert path_of(tmp_path / "log", file) is None
    assert "missing" in next(payload_problems(tmp_path / "log", [file]))
