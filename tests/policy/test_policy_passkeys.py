"""`passkeys:` of the local source: what is read, and what is wrong with it, by line."""

from __future__ import annotations

import pytest

from penstock.model import Invalid, PasskeyRules
from penstock.policy import parse

MODEL = "2fc0579f-8113-47ea-b116-bb5a8db9202a"
HEAD = """\
site: bench
domain: bench.ot
overlay: 100.64.0.0/16
identity:
  sources:
    local:
      kind: local
      passkeys:
"""
PEM = 'authorities: "-----BEGIN CERTIFICATE-----"'


def written(*lines: str) -> str:
    return HEAD + "".join(f"        {line}\n" for line in lines)


def rules(*lines: str) -> PasskeyRules:
    return parse({"site.yaml": written(*lines)}).site.identity.local.passkeys


def test_without_rules_any_passkey_is_taken() -> None:
    assert rules() == PasskeyRules(allows_synced=True, aaguids=(), needs_attestation=False, authorities=None)


def test_every_rule_is_read_and_models_are_written_one_way() -> None:
    found = rules("allow_synced: false", f"aaguids: [{MODEL.upper()}]", "attestation: required", PEM)
    assert (found.allows_synced, found.aaguids, found.needs_attestation) == (False, (MODEL,), True)
    assert found.authorities == "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize(
    ("lines", "where", "why"),
    [
        (["allow_synced: maybe"], "site.yaml:9", "true or false"),
        (["aaguids: [yubikey]"], "site.yaml:9", "is no AAGUID"),
        (["aaguids: [00000000-0000-0000-0000-000000000000]"], "site.yaml:9", "the model is not told"),
        (["aaguids: []"], "site.yaml:9", "must be 1 to 200 models"),
        (["aaguids: " + MODEL], "site.yaml:9", "must be a list"),
        ([f"aaguids: [{', '.join([MODEL] * 201)}]"], "site.yaml:9", "must be 1 to 200 models"),
        (["attestation: required"], "site.yaml:9", "by nobody's word"),
        (["attestation: wanted", PEM], "site.yaml:9", "wanted"),
        ([PEM], "site.yaml:9", "have no effect without attestation"),
        (["attestation: required", "authorities: mine"], "site.yaml:10", "no certificate in PEM form"),
        (["synced: false"], "site.yaml:9", "unknown key 'synced'"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused_where_it_stands(lines: list[str], where: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        rules(*lines)
    found = [f"{problem.where} {problem.why}" for problem in refused.value.problems]
    assert any(each.startswith(where) and why in each for each in found), found
