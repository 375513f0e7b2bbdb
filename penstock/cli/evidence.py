"""``penstock evidence``: verify, search and prove from the folder of a log, on any machine, without the gate.

Stands at the end of the picture, on the auditor's side.  It reads files and prints; it must never write into the folder
of a log.  Exit codes: 0 in order, 1 the evidence does not verify, 2 the input cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from penstock.cli import output, payload
from penstock.cli.operations import (
    OPERATION_TITLES,
    cell,
    operation_cells,
    operation_document,
    sum_cells,
    sum_document,
)
from penstock.evidence import (
    MAX_PROOF_BYTES,
    PUBLIC_KEY_NAME,
    Damage,
    Entry,
    FolderSource,
    Report,
    Search,
    VerifyingKey,
    check_proof,
    expand_matching,
    expand_matching_sums,
    format_time,
    load_verifying_key,
    prove,
    search,
    verify_log,
)
from penstock.model import Invalid, Malformed, Problem, Record, RecordKind

VERIFIED, TAMPERED = 0, 1
#: Progress is shown for logs that take longer than a glance.
_PROGRESS_BYTES = 32 << 20
_DEFAULT_LIMIT = 100


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``evidence`` and its verbs to the command line."""
    noun = subparsers.add_parser("evidence", help="verify, search and prove the evidence log")
    verbs = noun.add_subparsers(dest="verb", required=True, metavar="VERB")
    _register_verify(verbs)
    _register_search(verbs)
    _register_prove(verbs)
    _register_check(verbs)
    payload.register(verbs)


def _register_verify(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser("verify", help="recompute every record, root and signature of a log")
    _add_folder(verb)
    verb.add_argument("--key", type=Path, help="the public key, got by another way than the log")
    verb.add_argument(
        "--without-payload", action="store_true", help="do not look at the capture files (a copy of the log alone)"
    )
    verb.set_defaults(run=run_verify)


def _register_search(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser("search", help="find records")
    _add_folder(verb)
    verb.add_argument("--kind", action="append", default=[], help="a kind of record, may be repeated")
    for field in ("subject", "asset", "operation", "reason"):
        verb.add_argument(f"--{field}", help=f"only records of this {field}")
    verb.add_argument("--grant", type=int, help="only records of this grant number")
    verb.add_argument("--text", help="only records with this text anywhere")
    verb.add_argument("--since", metavar="ISO", help="from this time on, 2026-01-31 or 2026-01-31T12:00 (UTC)")
    verb.add_argument("--until", metavar="ISO", help="before this time")
    verb.add_argument("--limit", type=int, default=_DEFAULT_LIMIT, help="show the newest N (0: all)", metavar="N")
    verb.add_argument("--operations", action="store_true", help="show every single operation")
    verb.add_argument("--json", action="store_true", help="one JSON object in each line")
    verb.set_defaults(run=run_search)


def _register_prove(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser("prove", help="write a proof for one record that shows no other")
    _add_folder(verb)
    verb.add_argument("seq", type=int, help="the number of the record")
    verb.add_argument("--key", type=Path, help="the public key (default: the one beside the log)")
    verb.set_defaults(run=run_prove)


def _register_check(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser("check-proof", help="check a proof that 'prove' wrote")
    verb.add_argument("file", type=Path, help="the proof")
    verb.add_argument("--key", type=Path, required=True, help="the public key, got by another way than the proof")
    verb.set_defaults(run=run_check_proof)


def _add_folder(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", type=Path, help="the folder of the log, or a copy of it")


def run_verify(args: argparse.Namespace) -> int:
    """Verify a log and print the report."""
    source = FolderSource(args.folder)
    key = _key_for(args.folder, args.key)
    total = sum(source.size_bytes(name) for name in source.names)
    report = verify_log(source, key, _progress(total))
    _print_report(report)
    is_whole = args.without_payload or payload.verify(args.folder, source)
    return VERIFIED if report.is_verified and is_whole else TAMPERED


def run_search(args: argparse.Namespace) -> int:
    """Print the records that match."""
    source, wanted = FolderSource(args.folder), _search_from(args)
    entries = search(source, wanted, _tell_damage)
    rows: Iterator[_Row] = _operation_rows(entries, wanted) if args.operations else map(_record_row, entries)
    shown, count = _newest(rows, args.limit)
    if args.json:
        for row in shown:
            output.data(json.dumps(row.document, ensure_ascii=False))
    else:
        cells = [row.cells for row in shown]
        output.show_table(_Row.titles(is_operation=args.operations), cells, "no record matches")
    if count > len(shown):
        output.say(f"the newest {len(shown)} of {count} are shown")
        output.hint("--limit 0 shows all")
    return VERIFIED


def run_prove(args: argparse.Namespace) -> int:
    """Print the proof of one record."""
    sys.stdout.write(prove(FolderSource(args.folder), args.seq, _key_for(args.folder, args.key)).decode())
    return VERIFIED


def run_check_proof(args: argparse.Namespace) -> int:
    """Check a proof and print the record that it proves."""
    key = load_verifying_key(args.key)
    try:
        with args.file.open("rb") as file:
            entry = check_proof(file.read(MAX_PROOF_BYTES + 1), key)
    except OSError as error:
        raise Invalid(Problem(where=str(args.file), why=f"the proof cannot be read: {error.strerror}")) from error
    except Malformed as error:
        raise Invalid(Problem(where=str(args.file), why=str(error))) from error
    print(json.dumps(_record_row(entry).document, indent=2))
    output.say(f"proven: record {entry.seq} is in the log {key.name}")
    return VERIFIED


class _Row:
    """One line of the answer: what a person reads, and what a program reads."""

    def __init__(self, cells: Sequence[str], document: dict[str, object]) -> None:
        self.cells, self.document = cells, document

    @staticmethod
    def titles(*, is_operation: bool) -> Sequence[str]:
        """The heads of the columns."""
        if is_operation:
            return OPERATION_TITLES
        return ("record", "time", "kind", "grant", "subject", "asset", "operation", "reason", "detail")


def _record_row(entry: Entry) -> _Row:
    record = entry.record
    time = format_time(record.at_us)
    document = {"seq": entry.seq, "time": time, "kind": record.kind.value, **_present(record)}
    cells = (
        str(entry.seq),
        time,
        record.kind.value,
        *(cell(value) for value in (record.grant, record.subject, record.asset, record.operation, record.reason)),
        _detail_cell(record),
    )
    return _Row(cells, document)


def _operation_rows(entries: Iterable[Entry], wanted: Search) -> Iterator[_Row]:
    for entry in entries:
        if entry.record.kind is not RecordKind.OPERATIONS:
            continue
        try:
            for one in expand_matching(entry, wanted):
                yield _Row(operation_cells(one), operation_document(one))
            for each in expand_matching_sums(entry, wanted):
                yield _Row(sum_cells(each), sum_document(each))
        except Malformed as error:
            output.say(str(error))


def _present(record: Record) -> dict[str, object]:
    fields = {
        "grant": record.grant,
        "subject": record.subject,
        "asset": record.asset,
        "protocol": record.protocol,
        "operation": record.operation,
        "reason": record.reason,
        "detail": record.detail or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _detail_cell(record: Record) -> str:
    if record.kind is RecordKind.OPERATIONS:
        return f"{_count_of(record)} operations"
    text = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in record.detail.items())
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004  what a wide terminal still shows


def _count_of(record: Record) -> int:
    """How many operations an `operations` record stands for."""
    rows, sums, reads = (record.detail.get(name) for name in ("rows", "sums", "reads"))
    summed = [*(sums if isinstance(sums, list) else ()), reads]
    counts = [each.get("count") for each in summed if isinstance(each, dict)]
    return sum(count for count in counts if isinstance(count, int)) + (len(rows) if isinstance(rows, list) else 0)


def _search_from(args: argparse.Namespace) -> Search:
    """The search that the arguments ask for.  Raises `Invalid` with every problem."""
    problems: list[Problem] = []
    kinds = {kind.value: kind for kind in RecordKind}
    for name in args.kind:
        if name not in kinds:
            hint = f"the kinds are {', '.join(kinds)}"
            problems.append(Problem(where="--kind", why=f"there is no kind of record {name!r}", hint=hint))
    times: dict[str, int | None] = {}
    for option in ("since", "until"):
        try:
            text = getattr(args, option)
            times[option] = None if text is None else _parse_time(text)
        except ValueError:
            why, hint = "not a time", "write 2026-01-31 or 2026-01-31T12:00:00+01:00"
            problems.append(Problem(where=f"--{option}", why=why, hint=hint))
    if problems:
        raise Invalid(*problems)
    return Search(
        kinds=frozenset(kinds[name] for name in args.kind),
        subject=args.subject,
        asset=args.asset,
        grant=args.grant,
        operation=args.operation,
        reason=args.reason,
        since_us=times["since"],
        until_us=times["until"],
        text=args.text,
    )


def _parse_time(text: str) -> int:
    """An ISO 8601 time in microseconds since the epoch; without an offset it is UTC.  Raises `ValueError`."""
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _newest(rows: Iterable[_Row], limit: int) -> tuple[Sequence[_Row], int]:
    kept: deque[_Row] = deque(maxlen=limit if limit > 0 else None)
    count = 0
    for row in rows:
        kept.append(row)
        count += 1
    return list(kept), count


def _print_report(report: Report) -> None:
    first = "-" if report.first_us is None else format_time(report.first_us)
    last = "-" if report.last_us is None else format_time(report.last_us)
    rows = [
        ("log", report.origin),
        ("records", f"{report.records} ({report.first_seq} to {report.size - 1})" if report.records else "0"),
        ("first", first),
        ("last", last),
        ("signed", f"the first {report.covered} records, by {report.checkpoints} checkpoints"),
        ("not yet signed", str(report.uncovered)),
        ("gaps", str(len(report.gaps))),
        *((f"  {kind}", str(count)) for kind, count in report.by_kind.items()),
    ]
    for name, value in rows:
        output.data(f"{name:24}{value}")
    for gap in report.gaps:
        lost = ", ".join(f"{count} {kind}" for kind, count in gap.lost.items())
        output.data(f"gap: record {gap.seq} at {format_time(gap.at_us)}: lost {lost or 'nothing'} ({gap.why})")
    for note in report.notes:
        output.data(f"note: {note}")
    for finding in report.findings:
        output.data(f"TAMPERED: {finding}")
    if report.hidden_findings:
        output.data(f"and {report.hidden_findings} more")
    output.data(_verdict(report))


def _verdict(report: Report) -> str:
    if report.is_verified:
        return f"verified: these are the {report.records} records that {report.origin} wrote, in order and unaltered"
    return f"TAMPERED: this is not what {report.origin} wrote; the first deviation: {report.findings[0]}"


def _key_for(folder: Path, path: Path | None) -> VerifyingKey:
    key = load_verifying_key(path or folder / PUBLIC_KEY_NAME)
    if path is None:
        output.say(
            f"warning: the key lies beside the log: whoever altered one could replace the other ({PUBLIC_KEY_NAME})"
        )
        output.hint("compare the fingerprint with the one that the gate shows, or give --key")
    output.say(f"key {key.name}, fingerprint {key.fingerprint}")
    return key


def _progress(total_bytes: int) -> Callable[[int], None]:
    """A percentage on stderr, for long logs and only where a person looks."""
    if total_bytes < _PROGRESS_BYTES or not sys.stderr.isatty():
        return lambda _: None
    told = -1

    def tell(done_bytes: int) -> None:
        nonlocal told
        percent = min(100, done_bytes * 100 // total_bytes)
        if percent != told:
            told = percent
            print(f"\r{percent:3} %", end="" if percent < 100 else "\n", file=sys.stderr, flush=True)  # noqa: PLR2004

    return tell


def _tell_damage(name: str, damage: Damage) -> None:
    if not damage.is_torn:
        output.say(f"warning: {name}, byte {damage.offset}: {damage.why}")
        output.hint("run 'penstock evidence verify' on this folder")
