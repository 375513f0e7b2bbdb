"""The gate's certificate for OPC UA: there before a policy that needs it is in force."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from control_world import DOCUMENTS, SITE, World, play
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from penstock.model import RecordKind, Tampered, Unavailable


def server_pem() -> str:
    """The certificate of some server."""
    key, start = rsa.generate_private_key(65537, 2048), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc-1")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(start).not_valid_after(start + dt.timedelta(days=3650))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def ending() -> dict[str, str]:
    """The site with a service whose channels the gate ends."""
    pem = server_pem().strip().replace("\n", "\\n")
    services = f'services: {{modbus: 502, opcua: {{port: 4840, server_certificate: "{pem}"}}}}}}'
    line = "address: 10.20.10.11, services: {modbus: 502}}"
    assert line in SITE
    return {"site.yaml": SITE.replace(line, f"address: 10.20.10.11, {services}")}


def made(world: World) -> list[str]:
    return [str(record.detail["fingerprint"]) for record in world.recorder.of(RecordKind.CERTIFICATE_ISSUED)]


def test_a_site_that_ends_no_channels_needs_no_key(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        assert not (world.folder / "keys" / "opcua.key").exists()
        assert made(world) == []

    play(world, scenario)


def test_the_certificate_is_made_and_on_record_before_a_worker_hears_of_the_policy(world: World) -> None:
    async def scenario(world: World) -> None:
        world.steps.clear()
        documents = ending()
        await world.gate.revisions.apply(documents, "uid 0")
        steps = world.steps
        assert steps.index("record certificate.issued") < steps.index("record revision.applied")
        assert steps.index("record certificate.issued") < steps.index("worker PublishRevision")
        shown = x509.load_der_x509_certificate((world.folder / "keys" / "opcua.der").read_bytes())
        assert made(world) == [shown.fingerprint(hashes.SHA1()).hex()]
        await world.gate.revisions.apply({"site.yaml": documents["site.yaml"] + "# again\n"}, "uid 0")
        assert len(made(world)) == 1

    play(world, scenario)


def test_a_key_that_others_can_read_lets_no_such_policy_into_force(world: World) -> None:
    async def scenario(world: World) -> None:
        documents, before = ending(), world.gate.state.now.revision
        key: Path = world.folder / "keys" / "opcua.key"
        key.write_bytes(b"stolen")
        key.chmod(0o644)
        with pytest.raises(Tampered):
            await world.gate.revisions.apply(documents, "uid 0")
        assert world.gate.state.now.revision == before

    play(world, scenario)


def test_a_gate_that_starts_with_such_a_site_has_its_key(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.start(ending())
        assert len(made(world)) == 1
        assert (world.folder / "keys" / "opcua.der").exists()

    play(world, scenario, is_started=False)


def test_a_certificate_that_is_not_on_record_is_not_used(world: World) -> None:
    async def scenario(world: World) -> None:
        world.recorder.is_healthy = False
        documents = ending()
        with pytest.raises(Unavailable):
            await world.gate.revisions.apply(documents, "uid 0")
        assert not (world.folder / "keys" / "opcua.der").exists()
        world.recorder.is_healthy = True
        await world.gate.revisions.apply(documents, "uid 0")
        assert len(made(world)) == 1

    play(world, scenario)
