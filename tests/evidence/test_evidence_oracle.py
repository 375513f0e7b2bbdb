"""Two verifiers that share no code say the same of the same log."""

import importlib.util
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_fakes import KEY, ORIGIN, open_log, record, verified

from penstock.evidence.keys import publish_key

SCRIPT = Path(__file__).parents[2] / "tools" / "verify_evidence.py"


@pytest.fixture(scope="module")
def script() -> Callable[[str, str], int]:
    spec = importlib.util.spec_from_file_location("verify_evidence", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    main: Callable[[str, str], int] = module.main
    return main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for run in range(2):
        with open_log(tmp_path, segment_bytes=3000) as log:
            for index in range(23):
                log.append([record(index + part) for part in range(1 + index % 3)])
                if index % (4 + run) == 0:
                    log.checkpoint()
    publish_key(tmp_path, KEY, ORIGIN)
    return tmp_path


def test_both_verify_an_untouched_log(folder: Path, script: Callable[[str, str], int]) -> None:
    assert verified(folder).is_verified
    assert script(str(folder), str(folder / "evidence.pub")) == 0


def test_both_find_every_altered_byte(folder: Path, script: Callable[[str, str], int]) -> None:
    chance = random.Random(5)
    paths = [*folder.glob("records-*.log"), folder / "checkpoint", folder / "checkpoints"]
    for path in sorted(paths):
        whole = path.read_bytes()
        for _ in range(25):
            data = bytearray(whole)
            at = chance.randrange(len(data))
            data[at] = (data[at] + chance.randrange(1, 256)) % 256
            path.write_bytes(data)
            answers = verified(folder).is_verified, script(str(folder), str(folder / "evidence.pub"))
            assert answers == (False, 1), (path.name, at, whole[at], data[at])
        path.write_bytes(whole)


def test_both_find_removed_files(folder: Path, script: Callable[[str, str], int]) -> None:
    path = sorted(folder.glob("records-*.log"))[2]
    path.unlink()
    assert not verified(folder).is_verified
    assert script(str(folder), str(folder / "evidence.pub")) == 1


def test_both_accept_a_torn_end_that_nobody_signed(folder: Path, script: Callable[[str, str], int]) -> None:
    path = max(folder.glob("records-*.log"))
    whole = path.read_bytes()
    at = whole.rindex(b"#frame ")
    for end in range(at + 1, len(whole), 7):
        path.write_bytes(whole[:end])
        assert verified(folder).is_verified, end
        assert script(str(folder), str(folder / "evidence.pub")) == 0, end


def test_script_refuses_what_it_cannot_use(tmp_path: Path, script: Callable[[str, str], int]) -> None:
    (tmp_path / "key").write_text("no key")
    assert script(str(tmp_path), str(tmp_path / "key")) == 2
