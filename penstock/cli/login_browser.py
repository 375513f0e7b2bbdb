"""Signing in with the browser of this computer: RFC 8252 with PKCE (RFC 7636), the gate itself being the server.

A listener on loopback, for one answer: at a path that nobody else knows, from a browser that names this very address
(so that no page of the internet reaches it by a name of its own).  It must never take an answer without the state that
this program made, nor one that another user of this computer brings (the state is in the list of processes, as an
argument of the browser), and what it takes is worth nothing without the verifier, which never leaves this program.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import queue
import secrets
import socket
import threading
import time
import webbrowser
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from penstock.cli import local, output
from penstock.cli.answers import Codes
from penstock.model import Unauthenticated, Unavailable

#: How long the person may take at the portal.
WAIT_S = 600.0
#: A connection that says nothing: browsers open some in advance.
SILENCE_S = 10.0
_MAX_HOST = 64
_STEP_S = 0.2
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Penstock</title></head>
<body><h1>{title}</h1><p>{text} You can close this window.</p></body></html>
"""
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


def code(gate_url: str, *, is_again: bool, wait_s: float = WAIT_S) -> Codes:
    """The code that the browser brings back.  Raises `Unauthenticated` (refused) or `Unavailable` (nobody came)."""
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    answers: queue.Queue[dict[str, str]] = queue.Queue()
    with _Listener((local.HOST, 0), _request_class(state, answers)) as listener:
        port: int = listener.server_address[1]
        call = {"challenge": challenge_of(verifier), "state": state, "port": str(port), "host": host_name()}
        address = f"{gate_url}/client?{urlencode({**call, 'again': '1'} if is_again else call)}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            _open(address)
            answer = _first(answers, wait_s)
        except queue.Empty:
            late = Unavailable("nobody confirmed this in the browser")
            late.add_note("penstock login --device shows a code for the browser of another computer")
            raise late from None
        finally:
            listener.shutdown()
            thread.join()
    if "code" not in answer:
        raise refused()
    return Codes(code=answer["code"], verifier=verifier)


def _first(answers: queue.Queue[dict[str, str]], wait_s: float) -> dict[str, str]:
    """The first answer.  Raises `queue.Empty`.  Waits in short steps: on Windows nothing interrupts a long one."""
    ends = time.monotonic() + wait_s
    while True:
        try:
            return answers.get(timeout=max(0.0, min(_STEP_S, ends - time.monotonic())))
        except queue.Empty:
            if time.monotonic() >= ends:
                raise


def challenge_of(verifier: str) -> str:
    """The challenge of the method S256 (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def host_name() -> str:
    """What this computer calls itself, for the person to recognise."""
    return socket.gethostname()[:_MAX_HOST]


def refused() -> Unauthenticated:
    """The person said no, or somebody else was signed in at the portal."""
    error = Unauthenticated("the sign-in was refused at the portal")
    error.add_note("penstock login asks again")
    return error


def answer_of(target: str, host: str, port: int, state: str) -> dict[str, str] | None:
    """The answer in a request's target; ``None`` where it is none of ours.  Pure."""
    if host != f"{local.HOST}:{port}":
        return None
    try:
        parts = urlsplit(target)
        given = {name: values for name, values in parse_qs(parts.query, max_num_fields=4).items() if len(values) == 1}
    except ValueError:
        return None
    if (parts.scheme, parts.netloc, parts.path) != ("", "", "/") or "state" not in given:
        return None
    if not hmac.compare_digest(given["state"][0].encode(), state.encode()):
        return None
    if "code" in given:
        return {"code": given["code"][0]}
    return {"error": given["error"][0]} if "error" in given else None


class _Listener(ThreadingHTTPServer):
    """One port of loopback; the address is never shared with another program (what SO_REUSEADDR does on Windows)."""

    allow_reuse_address = False
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A browser that goes away is no error."""


def _request_class(state: str, answers: queue.Queue[dict[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Request(BaseHTTPRequestHandler):
        timeout = SILENCE_S

        def do_GET(self) -> None:
            port: int = self.connection.getsockname()[1]
            answer = answer_of(self.path, self.headers.get("Host", ""), port, state)
            if not local.may_answer(local.owner_of(self.client_address, (local.HOST, port))):
                answer = None
            if answer is None:
                self._say(404, "Nothing here", "This address was not opened by the gate.")
                return
            is_good = "code" in answer
            text = "The sign-in goes on in your terminal." if is_good else "The computer was not signed in."
            with suppress(OSError):
                self._say(200, "Confirmed" if is_good else "Refused", text)
            answers.put(answer)

        def _say(self, status: int, title: str, text: str) -> None:
            content = _PAGE.format(title=title, text=text).encode()
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def version_string(self) -> str:
            return "penstock"

        def log_message(self, *_: Any) -> None:
            """Nothing: the code is in the request line."""

    return Request


def _open(address: str) -> None:
    output.say("confirm the sign-in in your browser; if none opens, go to")
    output.say(f"  {address}")
    with suppress(webbrowser.Error):
        webbrowser.open(address)
