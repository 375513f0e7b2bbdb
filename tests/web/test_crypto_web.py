"""The inventory of cryptography over the administrator's socket."""

from __future__ import annotations

from browser import admin
from control_world import World, play

from penstock.model import RecordKind


def test_the_inventory_names_every_listener_as_its_own_context_is(world: World) -> None:
    async def scenario(world: World) -> None:
        async with admin(world) as http:
            answer = (await http.get("/admin/crypto")).json()
        rows = {row["name"]: row for row in answer["listeners"]}
        assert rows.keys() == {"portal", "tunnel"}
        assert {row["asks_for_certificate"] for row in rows.values()} == {False, True}
        assert all(row["versions"] == ["TLSv1.3"] for row in rows.values())
        assert answer["modules"]["ssl_module"].startswith("OpenSSL")

    play(world, scenario)


def test_the_check_of_fips_mode_is_recorded_with_what_was_not_as_wanted(world: World) -> None:
    async def scenario(world: World) -> None:
        async with admin(world) as http:
            answer = (await http.post("/admin/crypto/fips-check")).json()
        (record,) = world.recorder.of(RecordKind.CRYPTO_CHECKED)
        wrong = [each["what"] for each in answer["findings"] if each["wanted"] != each["found"]]
        assert record.detail["wrong"] == wrong
        assert record.detail["by"] == "uid 0"
        assert answer["is_on"] == (not wrong)

    play(world, scenario)
