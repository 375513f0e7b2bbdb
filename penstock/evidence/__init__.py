"""The evidence: an append-only log of records that anyone with the public key can verify.

Stands after the decision: what was decided and what happened goes in and is never changed.  It must never decide.
"""
