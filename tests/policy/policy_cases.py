"""What the tests of the policy share: a small plant, its subjects, and operations on it."""

from __future__ import annotations

from penstock.model import (
    Asset,
    Binding,
    Factor,
    Operation,
    OperationClass,
    Request,
    Service,
    Site,
    Subject,
    SubjectKind,
    Target,
    Zone,
)
from penstock.policy import Policy, accept, parse

INVENTORY = """\
site: plant
domain: plant.ot
overlay: 100.64.0.0/16
zones:
  control: {networks: [10.20.0.0/24], security_level: 2}
  cell: {networks: [10.20.10.0/24]}
assets:
  scada-1: {zone: control, role: scada, address: 10.20.0.12, mac: "00:1d:9c:00:00:12"}
  hmi-1: {zone: control, role: hmi, address: 10.20.0.13}
  plc-1:
    zone: cell
    role: plc
    address: 10.20.10.11
    services: {modbus: 502, web: {protocol: https, port: 443}}
  plc-2: {zone: cell, role: plc, address: 10.20.10.12, handles_cui: true, services: {modbus: 502, s7comm: 102}}
"""

CLASSES = OperationClass


def policy_of(conduits: str, revision: int = 7) -> Policy:
    """The plant with these conduits (YAML, indented by nothing)."""
    indented = "".join(f"  {line}\n" for line in conduits.splitlines())
    return accept(parse({"site.yaml": f"{INVENTORY}conduits:\n{indented}"}), revision)


def person(*groups: str, name: str = "alice", factors: tuple[Factor, ...] = (Factor.PASSWORD, Factor.TOTP)) -> Subject:
    """Somebody who signed in."""
    return Subject(name=name, kind=SubjectKind.PERSON, groups=frozenset(groups), factors=frozenset(factors))


def machine(name: str = "scada-1", role: str = "scada", zone: str = "control") -> Subject:
    """A machine of the inventory."""
    return Subject(name=name, kind=SubjectKind.MACHINE, role=role, zone=zone, factors=frozenset({Factor.ADDRESS}))


def target(
    operation_class: OperationClass,
    first: int,
    count: int = 1,
    values: tuple[int, ...] | None = None,
    table: str = "holding_registers",
) -> Target:
    """A range of one table."""
    return Target(operation_class=operation_class, table=table, first=first, count=count, values=values)


def operation(*targets: Target, classes: tuple[OperationClass, ...] = (), protocol: str = "modbus") -> Operation:
    """An operation of the classes of its targets, and of more `classes`."""
    every = tuple(dict.fromkeys([*(item.operation_class for item in targets), *classes]))
    return Operation(protocol=protocol, classes=every, code="6", name="an operation", targets=targets)


def write(first: int, *values: int, table: str = "holding_registers") -> Operation:
    """A write of these values from `first` on."""
    return operation(target(CLASSES.WRITE, first, len(values), values, table))


def read(first: int, count: int = 1, table: str = "holding_registers") -> Operation:
    """A read of a range."""
    return operation(target(CLASSES.READ, first, count, table=table))


def asking(
    subject: Subject,
    asked: Operation | None,
    asset: str = "plc-1",
    protocol: str = "modbus",
    binding: Binding = Binding.ADDRESS,
    *,
    has_tls: bool = False,
) -> Request:
    """A request."""
    return Request(subject=subject, asset=asset, protocol=protocol, operation=asked, binding=binding, has_tls=has_tls)


def bare_site() -> Site:
    """The plant without conduits, as values."""
    modbus = Service(name="modbus", protocol="modbus", port=502)
    return Site(
        name="plant",
        domain="plant.ot",
        overlay="100.64.0.0/16",
        zones=(Zone(name="cell", networks=("10.20.10.0/24",)), Zone(name="control", networks=("10.20.0.0/24",))),
        assets=(
            Asset(name="scada-1", zone="control", role="scada", address="10.20.0.12", overlay="100.64.0.12"),
            Asset(
                name="plc-1", zone="cell", role="plc", address="10.20.10.11", overlay="100.64.10.11", services=(modbus,)
            ),
            Asset(
                name="plc-2",
                zone="cell",
                role="drive",
                address="10.20.10.12",
                overlay="100.64.10.12",
                services=(modbus,),
            ),
        ),
    )


#: The certificate of an authority; its key was thrown away.
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBZzCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAaMRgwFgYDVQQDDA9SaXZlcnNp
ZGUgQ2FyZHMwIBcNMjYwMTAxMDAwMDAwWhgPMjEyNjAxMDEwMDAwMDBaMBoxGDAW
BgNVBAMMD1JpdmVyc2lkZSBDYXJkczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BD4ixTuitbnl3dHNA06xA4F6UViNEEumJhEzprseezGFTnuovKZCxGxJmPWPw3jY
vD2OJjXwzhMnhmi5+akHiuKjQjBAMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYE
FHqk//gS2x24QeoMFH36tzqPe+ziMA4GA1UdDwEB/wQEAwIBBjAKBggqhkjOPQQD
AgNIADBFAiEAoZ6rxxvzAvWg35wsr/Z24U2W+1PVQlyg32riQVF17o8CIFmjlDya
t+oeLt5pC32L7f4aQ43ChBXWd2cFUwqXgtEe
-----END CERTIFICATE-----
"""
#: The certificate of somebody who is no authority.
NO_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBFTCBvaADAgECAgECMAoGCCqGSM49BAMCMBoxGDAWBgNVBAMMD1JpdmVyc2lk
ZSBDYXJkczAgFw0yNjAxMDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowDjEMMAoG
A1UEAwwDYWRhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgjFbD6E2YXLWhh1D
oreUHoW1J1CmdTsDRfEzuqIrMGyUAFziObnG7zb/drBWqzn0dK5cST2n7A3Xzal3
6LbZcjAKBggqhkjOPQQDAgNHADBEAiAKOjpscosWDkdLARb3N5vcSdGKzdnqilUR
Gkv+h9X31gIgbFz8aA2M9L18eBB2GCiKeylQceJupa91Jz57x+5OqXg=
-----END CERTIFICATE-----
"""
#: An authority as `openssl req -x509` makes it: it does not say what its key is for.
UNSAID_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBWzCCAQGgAwIBAgIBATAKBggqhkjOPQQDAjAcMRowGAYDVQQDDBFSaXZlcnNp
ZGUgRGVmYXVsdDAgFw0yNjAxMDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowHDEa
MBgGA1UEAwwRUml2ZXJzaWRlIERlZmF1bHQwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAATKeRgUKBQ0kWROXW2hcauoYxvHaQyTWq1zJA80bpFMOnDIHsilVmKnzu9G
X0Avsz/JzTO9UeqfUWdR80vwzLu3ozIwMDAPBgNVHRMBAf8EBTADAQH/MB0GA1Ud
DgQWBBRbYR2EJtwIwceyNdamlVcYqdFmFTAKBggqhkjOPQQDAgNIADBFAiAtR6CX
jO3eYPHyz2D/Mz+hLhp8Vs9H9fTFsBgoD/2eGgIhANNeEhRj2sJI6E7eoe7yObKL
rB8XxBMiTSn97LjNX+4F
-----END CERTIFICATE-----
"""
#: The certificate of a server of OPC UA; nobody has its key.
SERVER = """\
-----BEGIN CERTIFICATE-----
MIICtTCCAZ2gAwIBAgIBBzANBgkqhkiG9w0BAQsFADAQMQ4wDAYDVQQDDAVwbGMt
MTAgFw0yNjAxMDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowEDEOMAwGA1UEAwwF
cGxjLTEwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQC6+LYfgxmgw6Xi
1HgDfiI/CWbGnBT5Kp/4UEnmLfSsIlhvFm/pBBf0BGyn2S8eLS38N1zHbvX0dRHG
IIJj+DrjFks0XxlvPoE7/HYNIUVViiBKUZLCTgXlxmqjc2J2mvRrijp/YPvFKw5c
Po555lV7oykJXfbqVnTI1nI1zNLd5m+c8mn1D0J5Z/vo4+RCtZ8DEWXq5SsmPmcp
e/ZukPQrSNrWl2NiWw3FygS5i6UC676aYLjHb9ilP5CxWMHJPtYKNFergkeV9mNA
QEXIX6WdDyxuj8SJlTAlx6dO4RLk8M9yeamI/GxsI8d9gloaf12DYjGdDztcZ0i+
63GENjILAgMBAAGjGDAWMBQGA1UdEQQNMAuGCXVybjpwbGMtMTANBgkqhkiG9w0B
AQsFAAOCAQEAj5z7FzG52ppFB37Ja/1jNWCyR3Q4jG8HCMP6Wg14Uf83aCu8lsGD
F4FFmJT1Om3Fc9ze70kWqN/UlbfEM7UEHvkiKOWKJhxykdERwzHT8F9amocCqBhN
LrZltQzwpzaBHsySietGZUpNPH1mdVpMJ5TW0f5Sry95DwSADqyJLE2n7JGUm2Mq
VzuPXEjlcTMGt+rXjyFzJwiK8BvRrvae3Yv7I4gHabirqIZlRBlbpqz0Bfnu53DW
pSqjpyPy13+jgN01UHBiNbXkfmfA0/b6gxpVBDzAEZno2lXynBrMgAlmYFZd6pTD
ucAL2DahB3JT5mjdyQaWnjaadyaJL8vCxA==
-----END CERTIFICATE-----
"""
#: One whose key is too short for any policy.
SHORT_SERVER = """\
-----BEGIN CERTIFICATE-----
MIIBsDCCARmgAwIBAgIBBzANBgkqhkiG9w0BAQsFADAQMQ4wDAYDVQQDDAVwbGMt
MTAgFw0yNjAxMDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowEDEOMAwGA1UEAwwF
cGxjLTEwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBALX3cwTcXx5PqAbzCDXs
7NEt4A2vaXl8F1fLQXoqXkGP8v/Oric1+42m0RFl3yd0NKwarw2wap+G5pBuvfGf
pOxg2xHVslbsgfMySJor/DwIsO741jsSNMFGWdVXKxbGTQqFXDMgtFDk1OZdGhX2
gxNnxozvpz7W1JxEC0JLp8UHAgMBAAGjGDAWMBQGA1UdEQQNMAuGCXVybjpwbGMt
MTANBgkqhkiG9w0BAQsFAAOBgQAsXIsCD1IGQg7m/YzVFp8TrWz8R6iiuTokkfJB
ESgfX1EY802LQgIcLKNxoC8DNLr/JsUiW5NNF3PxcDgqZRC0uztZUOr6o2awqdpl
jEqPZoiaWeqHV7FYu4qIwkq/L4h+7+4+w92w55Ry5XHktkkf8EVc3zAnDZIa25mw
n21B8g==
-----END CERTIFICATE-----
"""
