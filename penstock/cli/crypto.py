"""``penstock crypto``: the inventory of the gate's cryptography, and whether FIPS mode is on."""

from __future__ import annotations

import argparse
import socket
import ssl

from penstock.cli import admin, output
from penstock.model import Json

_OFF = 1
_PATIENCE_S = 3.0
_VERSIONS = (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``crypto``."""
    parser = subparsers.add_parser("crypto", help="what the gate's listeners and modules use; is FIPS mode on")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--fips-check", action="store_true", help="try what FIPS mode must refuse; exit status 1 if not on"
    )
    what.add_argument("--probe", action="store_true", help="shake hands with every listener, with each version of TLS")
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=crypto)


def crypto(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    with admin.opened(arguments) as http:
        if arguments.fips_check:
            return _fips(http.check_fips(), as_json=arguments.json)
        answer = http.look("crypto")
    if arguments.probe:
        probed = [{**row, "probed": _probe(row)} for row in admin.rows_of(answer, "listeners")]
        return _show_probe(probed, as_json=arguments.json)
    if arguments.json:
        output.data_json(answer)
    else:
        _show(answer)
    return 0


def _show(answer: dict[str, Json]) -> None:
    rows = []
    for row in admin.rows_of(answer, "listeners"):
        shown = row.get("certificate")
        made = shown if isinstance(shown, dict) else {}
        who = "needed" if row.get("asks_for_certificate") else "not asked for"
        rows.append((_text(row, "name"), _text(row, "address"), _text(row, "versions"), who, _certificate(made)))
    output.show_table(
        ("LISTENER", "ADDRESS", "TLS", "CLIENT CERTIFICATE", "OWN CERTIFICATE"), rows, nothing="no listener"
    )
    suites = {name for row in admin.rows_of(answer, "listeners") for name in _list(row, "suites")}
    modules = answer.get("modules")
    found = modules if isinstance(modules, dict) else {}
    output.show_table(
        ("WHAT", "HOW IT IS"),
        [
            ("suites", ", ".join(sorted(suites))),
            ("groups", _text(found, "groups")),
            ("hybrid post-quantum key exchange", "on" if found.get("has_hybrid") else "not with this OpenSSL"),
            ("module of the listeners", _text(found, "ssl_module")),
            ("module of signatures and sealing", _text(found, "cryptography_module")),
            ("FIPS mode of the listeners' module", "on" if found.get("is_fips") else "off"),
            ("FIPS mode of the other module", "on" if found.get("is_cryptography_fips") else "off"),
            ("passwords", _text(found, "password_hash")),
        ],
        nothing="",
    )
    output.hint("penstock crypto --fips-check tries it, --probe shakes hands with the listeners")


def _fips(answer: dict[str, Json], *, as_json: bool) -> int:
    is_on = answer.get("is_on") is True
    if as_json:
        output.data_json(answer)
        return 0 if is_on else _OFF
    rows = [
        (
            _text(row, "what"),
            _text(row, "wanted"),
            _text(row, "found"),
            "" if row.get("is_right") else "<- not as wanted",
        )
        for row in admin.rows_of(answer, "findings")
    ]
    output.show_table(("TRIED", "FIPS MODE", "FOUND", ""), rows, nothing="nothing was tried")
    if is_on:
        output.say(f"FIPS mode is on; the provider is {_text(answer, 'module')}, as this site installed it")
        return 0
    output.say("FIPS mode is not on")
    output.hint("docs/guides/cryptography.md says how the system's OpenSSL provider is installed and switched on")
    return _OFF


def _probe(row: dict[str, Json]) -> dict[str, Json]:
    """What becomes of a handshake with each version: the suite, or why not."""
    host, _, port = str(row.get("address")).rpartition(":")
    host = "127.0.0.1" if host == "0.0.0.0" else host.strip("[]")  # noqa: S104  an address to dial, not to listen on
    found = dict[str, Json]()
    for version in _VERSIONS:
        name = version.name.replace("_", ".", 1).replace("_", ".")
        found[name] = _handshake(host, int(port), version)
        is_hidden = name in _list(row, "versions") and row.get("asks_for_certificate")
        if is_hidden and version < ssl.TLSVersion.TLSv1_3:
            found[name] = "not known: it takes a client certificate first"
    return found


def _handshake(host: str, port: int, version: ssl.TLSVersion) -> str:
    """Without a certificate of our own, and believing nobody: nothing is sent on it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1", "penstock/1"])
    try:
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        with (
            socket.create_connection((host, port), _PATIENCE_S) as dialled,
            context.wrap_socket(dialled, server_hostname=host) as tls,
        ):
            suite = tls.cipher()
            return suite[0] if suite else "no suite"
    except ssl.SSLError as error:
        return f"refused ({(error.reason or 'closed').lower().replace('_', ' ')})"
    except (OSError, ValueError) as error:
        return f"refused ({error})"


def _show_probe(rows: list[dict[str, Json]], *, as_json: bool) -> int:
    if as_json:
        output.data_json({"listeners": list[Json](rows)})
        return 0
    shown = []
    for row in rows:
        probed = row.get("probed")
        for version, found in (probed if isinstance(probed, dict) else {}).items():
            shown.append((_text(row, "name"), _text(row, "address"), version, str(found)))
    output.show_table(("LISTENER", "ADDRESS", "TLS", "HANDSHAKE"), shown, nothing="no listener")
    return 0


def _list(row: dict[str, Json], key: str) -> list[str]:
    found = row.get(key)
    return [str(each) for each in found] if isinstance(found, list) else []


def _text(row: dict[str, Json], key: str) -> str:
    found = row.get(key)
    return ", ".join(map(str, found)) if isinstance(found, list) else "" if found is None else str(found)


def _certificate(made: dict[str, Json]) -> str:
    until, days = _text(made, "not_after")[:10], _text(made, "lifetime_days")
    return f"{_text(made, 'key')}, by {_text(made, 'issuer')}, {days} days, until {until}"
