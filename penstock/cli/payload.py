"""``penstock evidence payload``: the packets that were kept beside a log: list them, and export them for an analyser.

Works offline, on the folder of a log or a copy of it.  Whatever it exports was compared with the log's record first.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from penstock.cli import output
from penstock.evidence import (
    Damage,
    FolderSource,
    PayloadFile,
    digest_of,
    format_time,
    path_of,
    payload_files,
    payload_problems,
)
from penstock.model import Invalid, Json, Problem
from penstock.observe import blocks, packet_of, preamble

DONE, NOTHING = 0, 1
#: Records that an exported file names.
MAX_NAMED = 1000


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``payload`` and its verbs to ``penstock evidence``."""
    noun = verbs.add_parser("payload", help="list and export packets that were kept")
    own = noun.add_subparsers(dest="payload_verb", required=True, metavar="VERB")
    verb = own.add_parser("ls", help="list the capture files that the log names")
    _add_selection(verb)
    verb.add_argument("--json", action="store_true")
    verb.set_defaults(run=run_ls)
    verb = own.add_parser("export", help="write packets into one capture file (pcapng)")
    _add_selection(verb)
    verb.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write, which must be new")
    verb.set_defaults(run=run_export)


def _add_selection(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", type=Path, help="the folder of the log, or a copy of it with its payload")
    verb.add_argument("--grant", type=int, help="only packets of this grant number")
    verb.add_argument("--since", metavar="ISO", help="from this time on, 2026-01-31 or 2026-01-31T12:00 (UTC)")
    verb.add_argument("--until", metavar="ISO", help="before this time")


def verify(folder: Path, source: FolderSource) -> bool:
    """Compare every capture file with the log, and say what is wrong; whether nothing is."""
    files = payload_files(source, _ignore)
    if not files:
        return True
    problems = list(payload_problems(folder, files))
    removed = sum(file.is_removed for file in files)
    output.data(f"{'payload files':24}{len(files)}, {removed} of them removed on record")
    for problem in problems:
        output.data(f"TAMPERED: {problem}")
    if problems:
        output.hint("a copy of the log alone is verified with --without-payload")
    return not problems


def run_ls(args: argparse.Namespace) -> int:
    """List the files."""
    files = list(_chosen(args))
    if args.json:
        output.data_json([_row(args.folder, file) for file in files])
        return DONE
    output.show_table(
        ("RECORD", "GRANT", "SUBJECT", "ASSET", "FROM", "UNTIL", "PACKETS", "BYTES", "FILE"),
        [
            (
                str(file.seq),
                _cell(file.grant),
                _cell(file.subject),
                _cell(file.asset),
                format_time(file.first_us),
                format_time(file.last_us),
                str(file.packets),
                str(file.bytes),
                _state(args.folder, file),
            )
            for file in files
        ],
        "no packets were kept",
    )
    return DONE


def run_export(args: argparse.Namespace) -> int:
    """Write the packets that are asked for into one file."""
    since_us, until_us = _times(args)
    files = [(file, _whole_path(args.folder, file)) for file in _chosen(args) if not file.is_removed]
    count = 0
    try:
        with open(args.output, "xb", opener=_private) as out:
            out.write(preamble("kernel path", about(args.grant, [file.seq for file, _ in files])))
            for _, path in files:
                count += _copy(path, out, since_us, until_us)
    except FileExistsError:
        hint = "name a file that is not there yet"
        raise Invalid(Problem(where=str(args.output), why="it is there already", hint=hint)) from None
    except OSError as error:
        raise Invalid(Problem(where=str(args.output), why=f"cannot be written: {error.strerror}")) from error
    output.say(f"{count} packets are in {args.output}")
    return DONE if count else NOTHING


def about(grant: int | None, records: list[int]) -> dict[str, Json]:
    """What the file says of itself: which records name its packets, as many as its comment (64 KiB) can hold."""
    return {"grant": grant, "files": len(records), "records": [*records[:MAX_NAMED]]}


def _private(path: str, flags: int) -> int:
    """For the one who exports alone, as the store is for root alone: it is what the plant said."""
    return os.open(path, flags, 0o600)


def _whole_path(folder: Path, file: PayloadFile) -> Path:
    path = path_of(folder, file)
    if path is None or digest_of(path) != file.sha256:
        why = "the file is missing" if path is None else "the file is not what the log says"
        hint = "run 'penstock evidence verify' on this folder"
        raise Invalid(Problem(where=f"record {file.seq}", why=f"{why}: {file.sha256}", hint=hint))
    return path


def _copy(path: Path, out: BinaryIO, since_us: int | None, until_us: int | None) -> int:
    data, count = path.read_bytes(), 0
    for block in blocks(data):
        found = packet_of(data, block)
        if found is None or (since_us is not None and found[0] < since_us):
            continue
        if until_us is None or found[0] < until_us:
            out.write(data[block.start : block.end])
            count += 1
    return count


def _chosen(args: argparse.Namespace) -> Iterator[PayloadFile]:
    since_us, until_us = _times(args)
    for file in payload_files(FolderSource(args.folder), _ignore):
        if args.grant is not None and file.grant != args.grant:
            continue
        if (since_us is None or file.last_us >= since_us) and (until_us is None or file.first_us < until_us):
            yield file


def _times(args: argparse.Namespace) -> tuple[int | None, int | None]:
    return _time("--since", args.since), _time("--until", args.until)


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        hint = "write 2026-01-31 or 2026-01-31T12:00:00+01:00"
        raise Invalid(Problem(where=option, why="not a time", hint=hint)) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _row(folder: Path, file: PayloadFile) -> Json:
    return {
        "seq": file.seq,
        "grant": file.grant,
        "subject": file.subject,
        "asset": file.asset,
        "first": format_time(file.first_us),
        "last": format_time(file.last_us),
        "packets": file.packets,
        "bytes": file.bytes,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "state": _state(folder, file),
    }


def _state(folder: Path, file: PayloadFile) -> str:
    path = path_of(folder, file)
    return path.name if path is not None else "removed" if file.is_removed else "missing"


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _ignore(_name: str, _damage: Damage) -> None:
    """``verify`` tells of damage."""
