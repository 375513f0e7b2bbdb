"""``penstock crypto --probe``: what it finds out by shaking hands, and what it must not claim to have."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fake_gate import TestAuthority

from penstock.cli.crypto import _probe
from penstock.model import Json

#: Python warns of it, and asking for it is the point of a probe.
pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")


@contextmanager
def listener(context: ssl.SSLContext) -> Iterator[str]:
    """Shakes hands with everybody, and says nothing; its address."""

    class Hands(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True) as tls:
                tls.recv(1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hands) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def probed(context: ssl.SSLContext, *versions: str) -> dict[str, Json]:
    with listener(context) as address:
        is_asked = context.verify_mode is ssl.CERT_REQUIRED
        return _probe({"address": address, "versions": [*versions], "asks_for_certificate": is_asked})


def test_a_listener_of_tls_1_3_refuses_everything_older(tmp_path: Path) -> None:
    context = TestAuthority().server_context(tmp_path)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    found = probed(context, "TLSv1.3")
    assert str(found["TLSv1.1"]).startswith("refused (")
    assert str(found["TLSv1.2"]).startswith("refused (")
    assert str(found["TLSv1.3"]).startswith("TLS_AES_")


def test_a_listener_that_wants_a_certificate_first_is_not_said_to_refuse_tls_1_2(tmp_path: Path) -> None:
    authority = TestAuthority()
    context = authority.server_context(tmp_path)
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    assert "certificate" in str(probed(context, "TLSv1.2", "TLSv1.3")["TLSv1.2"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert str(probed(context, "TLSv1.3")["TLSv1.2"]).startswith("refused (")


def test_a_listener_on_every_address_is_probed_on_loopback_and_one_that_is_gone_is_told(tmp_path: Path) -> None:
    with listener(TestAuthority().server_context(tmp_path)) as address:
        everywhere = address.replace("127.0.0.1", "0.0.0.0")
        assert str(_probe({"address": everywhere})["TLSv1.2"]).startswith("ECDHE-")
    assert set(map(str, _probe({"address": address}).values())) == {"refused ([Errno 111] Connection refused)"}
