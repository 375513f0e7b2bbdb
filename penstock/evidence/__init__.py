"""The evidence: an append-only log of records that anyone with the public key can verify.

Stands after the decision: what was decided and what happened goes in and is never changed.  It must never decide.
"""

from penstock.evidence.checkpoint import Checkpoint, VerifyingKey
from penstock.evidence.folder import FolderSource
from penstock.evidence.keys import PUBLIC_KEY_NAME, load_key, load_or_make_key, load_verifying_key, publish_key
from penstock.evidence.line import Entry, encode, format_time, gap_record
from penstock.evidence.log import Log
from penstock.evidence.payload import PayloadFile, digest_of, path_of, payload_files, payload_problems
from penstock.evidence.performed import (
    Old,
    Outcome,
    PerformedOperation,
    RecordedOperation,
    SummedOperations,
    expand,
    expand_matching,
    expand_matching_sums,
)
from penstock.evidence.proof import MAX_PROOF_BYTES, check_proof, prove
from penstock.evidence.query import Search, find_record, search
from penstock.evidence.report import Finding, Gap, Report
from penstock.evidence.segment import Damage
from penstock.evidence.source import Source
from penstock.evidence.verify import verify_log
from penstock.evidence.writer import Timing, Writer

__all__ = [
    "MAX_PROOF_BYTES",
    "PUBLIC_KEY_NAME",
    "Checkpoint",
    "Damage",
    "Entry",
    "Finding",
    "FolderSource",
    "Gap",
    "Log",
    "Old",
    "Outcome",
    "PayloadFile",
    "PerformedOperation",
    "RecordedOperation",
    "Report",
    "Search",
    "Source",
    "SummedOperations",
    "Timing",
    "VerifyingKey",
    "Writer",
    "check_proof",
    "digest_of",
    "encode",
    "expand",
    "expand_matching",
    "expand_matching_sums",
    "find_record",
    "format_time",
    "gap_record",
    "load_key",
    "load_or_make_key",
    "load_verifying_key",
    "path_of",
    "payload_files",
    "payload_problems",
    "prove",
    "publish_key",
    "search",
    "verify_log",
]
