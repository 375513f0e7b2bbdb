"""Protocols on the wire: bytes to frames and operations.  Pure; imports `model` only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from penstock.wire.decoder import Decoder, Frame, Side, WrongProtocol
from penstock.wire.modbus import ModbusDecoder, ModbusFrame

#: The protocols whose flows can be inspected, and what makes a decoder for one flow.
DECODERS: Mapping[str, Callable[[], Decoder]] = MappingProxyType({"modbus": ModbusDecoder})

__all__ = ["DECODERS", "Decoder", "Frame", "ModbusDecoder", "ModbusFrame", "Side", "WrongProtocol"]
