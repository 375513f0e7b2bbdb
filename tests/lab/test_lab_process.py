"""The simulated processes behave as physics would have it, at least roughly."""

from __future__ import annotations

import pytest

from penstock.lab.process import DOSING_SETPOINT, PROCESSES, TABLE_SIZE, Dosing, Filter, u16


def run(process: Dosing | Filter, seconds: float, step_s: float = 0.1) -> None:
    for _ in range(round(seconds / step_s)):
        process.step(step_s, 0.0)


def test_the_dosing_rate_follows_the_setpoint_with_a_lag() -> None:
    dosing = Dosing()
    dosing.written({DOSING_SETPOINT: 500}, [True])
    run(dosing, 1)
    assert 300 < dosing.rate_ml_min < 400
    run(dosing, 30)
    assert dosing.measurements()[0] == 500


def test_the_chlorine_follows_the_rate() -> None:
    dosing = Dosing()
    before = dosing.measurements()[2]
    dosing.written({DOSING_SETPOINT: 500}, [True])
    run(dosing, 60)
    assert dosing.measurements()[2] > before * 1.5


def test_the_tank_falls_faster_at_a_higher_rate_and_is_refilled() -> None:
    slow, fast = Dosing(setpoint_ml_min=100, rate_ml_min=100), Dosing(setpoint_ml_min=500, rate_ml_min=500)
    for dosing in (slow, fast):
        run(dosing, 20)
    assert fast.tank_mm < slow.tank_mm < 1450
    run(fast, 4000, step_s=1)
    assert fast.tank_mm > Dosing.TANK_LOW_MM / 2


def test_a_pump_that_is_switched_off_stops() -> None:
    dosing = Dosing()
    dosing.written({}, [False])
    run(dosing, 60)
    assert dosing.measurements()[0] == 0
    assert dosing.states() == [False, False]


def test_the_controller_itself_believes_any_value() -> None:
    """Which is why something else has to hold the limits."""
    dosing = Dosing()
    dosing.written({DOSING_SETPOINT: 900, 12: 65535}, [True])
    run(dosing, 60)
    assert dosing.measurements()[0] == 900


def test_a_filter_clogs_until_it_is_backwashed_and_clogs_again() -> None:
    sand = Filter()
    run(sand, 300, step_s=1)
    assert sand.pressure_mbar > 150
    run(sand, 300, step_s=1)
    pressures = []
    for _ in range(60):
        sand.step(1, 0.0)
        pressures.append(sand.pressure_mbar)
    assert min(pressures) < 150


def test_during_a_backwash_the_valves_are_closed_and_nothing_flows() -> None:
    sand = Filter()
    sand.written({}, [True, True, True])
    assert sand.states() == [False, False, True]
    assert sand.measurements()[4] == 0


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_every_value_fits_its_register_and_its_table(name: str) -> None:
    process = PROCESSES[name]()
    for step in range(2000):
        process.step(1.0, (step % 21 - 10) / 10)
        shown = process.measurements() | process.settings()
        assert all(0 <= at < TABLE_SIZE and 0 <= value <= 0xFFFF for at, value in shown.items())


def test_a_register_holds_no_less_than_zero_and_no_more_than_65535() -> None:
    assert (u16(-1), u16(1.6), u16(70_000)) == (0, 2, 65535)
