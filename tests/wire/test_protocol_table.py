"""docs/reference/protocols/README.md shows the tables that the code and the journeys make; each protocol has its page.

``PENSTOCK_REGENERATE=1`` writes the tables anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from protocol_table import enforced, recognised

from penstock.wire import KNOWN, PROTOCOLS, Known, WireProtocol

PAGES = Path(__file__).parents[2] / "docs/reference/protocols"
README = PAGES / "README.md"
PEERS = json.loads((PAGES / "peers.json").read_text())
END = "<!-- end of the table -->\n"
TABLES = {
    "<!-- enforced protocols: generated, do not edit -->\n": enforced(PEERS),
    "<!-- recognised protocols: generated, do not edit -->\n": recognised(),
}


@pytest.mark.parametrize("begin", TABLES)
def test_the_tables_of_the_document_are_those_of_the_code_and_of_the_journeys(begin: str) -> None:
    before, found, rest = README.read_text().partition(begin)
    table, end, after = rest.partition(END)
    assert found
    assert end
    if os.environ.get("PENSTOCK_REGENERATE") == "1":
        README.write_text(before + found + TABLES[begin] + end + after)
        table = TABLES[begin]
    assert table == TABLES[begin]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=[each.name for each in PROTOCOLS])
def test_a_protocol_says_how_it_refuses_and_what_it_does_not_see_and_has_a_page(protocol: WireProtocol) -> None:
    assert protocol.refusal
    assert all(protocol.unseen)
    assert (PAGES / f"{protocol.name}.md").read_text().startswith("# ")


@pytest.mark.parametrize("known", KNOWN, ids=[each.name for each in KNOWN])
def test_every_known_protocol_has_a_row(known: Known) -> None:
    assert README.read_text().count(f"`{known.name}` |") == 1


def test_what_real_peers_did_is_of_protocols_that_are_enforced_and_shows_three_refusals_of_each() -> None:
    assert set(PEERS) <= {each.name for each in PROTOCOLS}
    assert all(set(peer["shows"]) == {"value", "object", "operation"} for peer in PEERS.values())
