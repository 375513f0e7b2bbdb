"""What the browser brings back from a provider: state, issuer, error or code (RFC 6749 section 4.1.2, RFC 9207).  Pure.

It must never look at a code before it knows that the answer belongs to this detour and comes from this provider.
"""

from __future__ import annotations

import hmac
import re
from urllib.parse import parse_qsl

from penstock.identity.oidc.asking import Pending
from penstock.identity.oidc.discovery import Provider
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.model import Unavailable

MAX_QUERY = 8 << 10
_MAX_FIELDS = 20
#: RFC 6749 section 4.1.2.1: words of errors, as far as they go into the evidence.
_WORD = re.compile(r"[a-z_]{1,64}\Z")
_SILENT = frozenset({"server_error", "temporarily_unavailable"})


def state_of(query: str) -> str | None:
    """The `state` of an answer, before anything else is known of it; ``None`` where there is no single one."""
    try:
        return _fields(query).get("state")
    except NotProved:
        return None


def code_of(query: str, pending: Pending, provider: Provider) -> str:
    """The code in the answer `query` to `pending`.

    Raises `NotProved`, and `Unavailable` where the provider says that it cannot answer now.
    """
    fields = _fields(query)
    if not hmac.compare_digest(fields.get("state", "").encode(), pending.state.encode()):
        raise NotProved(Flaw.STATE)
    issuer = fields.get("iss")
    if (issuer is None and provider.names_itself) or (issuer is not None and issuer != provider.issuer):
        raise NotProved(Flaw.OTHER_PROVIDER, "it does not say who answers" if issuer is None else "")
    error = fields.get("error")
    if error in _SILENT:
        raise Unavailable("the identity provider says that it cannot answer now")
    if error is not None:
        raise NotProved(Flaw.PROVIDER_REFUSED, error if _WORD.match(error) else "an error that is no word")
    code = fields.get("code", "")
    if not code:
        raise NotProved(Flaw.ANSWER, "neither code nor error")
    return code


def _fields(query: str) -> dict[str, str]:
    if len(query) > MAX_QUERY:
        raise NotProved(Flaw.ANSWER, "too long")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise NotProved(Flaw.ANSWER, "not readable") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NotProved(Flaw.ANSWER, "a parameter twice")
    return fields
