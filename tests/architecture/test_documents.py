"""What the documents say exists, exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changes").glob("*.md")])
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"make ([a-z]+)", README))
    assert {"demo", "story", "test", "bench"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_every_system_package_of_the_readme_is_one_that_the_script_installs_and_the_other_way_round() -> None:
    script = (ROOT / "scripts/system-packages").read_text()
    installed = set(re.findall(r"need \S+ (\S+?)[;\s]", script)) | set(re.findall(r"missing\+=\((\S+)\)", script))
    text = README.split("**What gets installed", 1)[1].split("The demo itself", 1)[0]
    named = {word for span in re.findall(r"`([^`]+)`", text) for word in span.split()} - {"./.venv"}
    assert named == installed - {'"$2"'}


def test_the_readme_s_offline_verbs_answer_as_it_says(tmp_path: Path) -> None:
    site = (ROOT / "penstock/lab/site.yaml").read_text()
    (tmp_path / "site.yaml").write_text(site)
    commands = [line.split()[1:] for line in README.splitlines() if line.startswith("penstock policy")]
    statuses = [
        subprocess.run(
            [sys.executable, "-m", "penstock", *words], cwd=tmp_path, capture_output=True, check=False
        ).returncode
        for words in commands
    ]
    assert statuses == [0, 1], "check accepts the document; explain denies the value"


def test_the_conduit_in_the_readme_is_the_demo_s_own() -> None:
    quoted = re.search(r"```yaml\nconduits:\n(.*?)```", README, re.DOTALL)
    assert quoted
    assert quoted.group(1).strip() in (ROOT / "penstock/lab/site.yaml").read_text()
