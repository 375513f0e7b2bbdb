"""Pure: two small physical processes, and the register maps through which Modbus shows them.

A rapid gravity filter clogs until it is backwashed; a dosing pump follows its setpoint with a lag and empties a tank.
Time and chance come in as arguments, so that a run can be repeated.  Addresses are those of the wire, zero-based.

=====================  =======  ==========================================================
filter (unit 1)        table    meaning
=====================  =======  ==========================================================
0                      h, i     water level above the media, mm
1                      h, i     turbidity of the inlet, 0.01 NTU
2                      h, i     turbidity of the outlet, 0.001 NTU
3                      h, i     differential pressure over the media, 0.1 mbar
4                      h, i     flow, 0.1 m3/h
5                      h, i     minutes since the last backwash
10                     h        differential pressure that starts a backwash, 0.1 mbar
0, 1, 2                c, d     inlet valve open, outlet valve open, backwash runs
=====================  =======  ==========================================================

=====================  =======  ==========================================================
dosing (unit 1)        table    meaning
=====================  =======  ==========================================================
0                      h, i     dosing rate, ml/min
1                      h, i     level of the hypochlorite tank, mm
2                      h, i     free chlorine in the water, 0.01 mg/l
3                      h, i     speed of the pump, 0.1 %
10                     h        lowest rate that is accepted, ml/min
11                     h        setpoint of the dosing rate, ml/min
12                     h        highest rate that is accepted, ml/min
0, 1                   c, d     pump on, tank low
=====================  =======  ==========================================================

h: holding registers, i: input registers (the same measurements, read-only), c: coils, d: discrete inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

#: Addresses 0 to 15 exist in every table; beyond them a controller answers with exception 2.
TABLE_SIZE = 16
DOSING_SETPOINT = 11

_U16 = 0xFFFF
_SPEED_UP = 30.0
"""The lab's clock for slow things (clogging, emptying) runs this much faster, so that a demo sees them move."""


def u16(value: float) -> int:
    """The nearest value that a register can hold."""
    return max(0, min(_U16, round(value)))


class PlantProcess(Protocol):
    """What a simulated controller runs."""

    def step(self, elapsed_s: float, chance: float) -> None:
        """Go on by so many seconds; `chance` in [-1, 1) is this step's noise."""

    def measurements(self) -> dict[int, int]:
        """Register address to value, for holding and input registers."""

    def settings(self) -> dict[int, int]:
        """The holding registers that an operator may write."""

    def states(self) -> list[bool]:
        """Coils and discrete inputs from address 0 on."""

    def written(self, registers: dict[int, int], coils: list[bool]) -> None:
        """Take over what was written since the last step."""


@dataclass(slots=True)
class Filter:
    """A rapid gravity sand filter."""

    level_mm: float = 2000.0
    pressure_mbar: float = 90.0
    backwash_at_mbar: float = 250.0
    since_backwash_s: float = 0.0
    is_backwashing: bool = False
    _clock_s: float = 0.0
    _noise: float = 0.0

    def step(self, elapsed_s: float, chance: float) -> None:
        """The media clog slowly; a backwash cleans them fast."""
        self._clock_s += elapsed_s
        self._noise = chance
        process_s = elapsed_s * _SPEED_UP
        if self.is_backwashing:
            self.pressure_mbar -= 0.8 * process_s
            self.is_backwashing = self.pressure_mbar > 90.0
            self.since_backwash_s = 0.0
        else:
            self.pressure_mbar += 0.01 * process_s
            self.since_backwash_s += process_s
            self.is_backwashing = self.pressure_mbar >= self.backwash_at_mbar
        self.level_mm = 2000.0 + 60.0 * math.sin(self._clock_s / 7.0) + 4.0 * chance

    def measurements(self) -> dict[int, int]:
        """See the register map."""
        outlet_ntu = 0.08 + 0.0004 * max(0.0, self.pressure_mbar - 90.0)
        flow_m3h = 0.0 if self.is_backwashing else 182.0 - 0.12 * (self.pressure_mbar - 90.0) + 0.8 * self._noise
        return {
            0: u16(self.level_mm),
            1: u16(100 * (2.4 + 0.5 * math.sin(self._clock_s / 31.0) + 0.05 * self._noise)),
            2: u16(1000 * (outlet_ntu + 0.003 * self._noise)),
            3: u16(10 * (self.pressure_mbar + 0.4 * self._noise)),
            4: u16(10 * flow_m3h),
            5: u16(self.since_backwash_s / 60),
        }

    def settings(self) -> dict[int, int]:
        """Where a backwash starts."""
        return {10: u16(10 * self.backwash_at_mbar)}

    def states(self) -> list[bool]:
        """Inlet open, outlet open, backwash runs."""
        return [not self.is_backwashing, not self.is_backwashing, self.is_backwashing]

    def written(self, registers: dict[int, int], coils: list[bool]) -> None:
        """A new threshold; coil 2 starts a backwash by hand."""
        self.backwash_at_mbar = registers.get(10, u16(10 * self.backwash_at_mbar)) / 10
        if len(coils) > 2 and coils[2]:
            self.is_backwashing = True


@dataclass(slots=True)
class Dosing:
    """A hypochlorite dosing pump: first-order lag behind the setpoint."""

    setpoint_ml_min: int = 300
    lowest_ml_min: int = 0
    highest_ml_min: int = 600
    rate_ml_min: float = 300.0
    tank_mm: float = 1450.0
    chlorine_mg_l: float = 0.45
    is_on: bool = True
    _noise: float = field(default=0.0, repr=False)

    LAG_S = 4.0
    TANK_LOW_MM = 200.0
    TANK_FULL_MM = 1500.0

    def step(self, elapsed_s: float, chance: float) -> None:
        """The rate follows the setpoint, the chlorine follows the rate, the tank empties and is refilled."""
        self._noise = chance
        wanted = min(max(self.setpoint_ml_min, self.lowest_ml_min), self.highest_ml_min) if self.is_on else 0
        self.rate_ml_min += (wanted - self.rate_ml_min) * (1 - math.exp(-elapsed_s / self.LAG_S))
        self.chlorine_mg_l += (0.0015 * self.rate_ml_min - self.chlorine_mg_l) * (1 - math.exp(-elapsed_s / 15.0))
        # 300 ml/min out of a tank of 0.5 m2 is 0.6 mm/min.
        self.tank_mm -= self.rate_ml_min * 0.002 * elapsed_s * _SPEED_UP / 60
        if self.tank_mm < self.TANK_LOW_MM / 2:
            self.tank_mm = self.TANK_FULL_MM

    def measurements(self) -> dict[int, int]:
        """See the register map."""
        return {
            0: u16(self.rate_ml_min + (1.5 * self._noise if self.is_on else 0.0)),
            1: u16(self.tank_mm),
            2: u16(100 * (self.chlorine_mg_l + 0.004 * self._noise)),
            3: u16(1000 * self.rate_ml_min / 600),
        }

    def settings(self) -> dict[int, int]:
        """Lowest rate, setpoint, highest rate."""
        return {10: self.lowest_ml_min, DOSING_SETPOINT: self.setpoint_ml_min, 12: self.highest_ml_min}

    def states(self) -> list[bool]:
        """Pump on, tank low."""
        return [self.is_on, self.tank_mm < self.TANK_LOW_MM]

    def written(self, registers: dict[int, int], coils: list[bool]) -> None:
        """What an operator set; the controller itself believes every value, as controllers do."""
        self.lowest_ml_min = registers.get(10, self.lowest_ml_min)
        self.setpoint_ml_min = registers.get(DOSING_SETPOINT, self.setpoint_ml_min)
        self.highest_ml_min = registers.get(12, self.highest_ml_min)
        self.is_on = coils[0] if coils else self.is_on


PROCESSES: dict[str, type[Filter | Dosing]] = {"dosing": Dosing, "filter": Filter}
