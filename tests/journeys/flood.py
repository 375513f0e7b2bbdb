"""Sign-in attempts at a given rate from one or many loopback addresses.

A program of its own, so that the one who waits for an honest answer does not wait for it.
usage: flood.py PORT CA_FILE CSR_FILE SECONDS PER_SECOND ADDRESSES; prints what became of them as JSON.
"""

from __future__ import annotations

import asyncio
import collections
import json
import ssl
import sys
import time
from pathlib import Path

CONNECTIONS = 30


async def flood(port: int, ca: str, csr: str, seconds: float, per_s: int, addresses: int) -> dict[str, object]:
    """Keep to the rate as long as the gate takes it; an attempt that comes too late is sent all the same."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    counts: collections.Counter[str] = collections.Counter()
    begun = time.monotonic()
    next_number = iter(range(int(seconds * per_s)))

    async def one(slot: int) -> None:
        source = f"127.0.{1 + slot % addresses // 250}.{2 + slot % addresses % 250}"
        reader = writer = None
        for number in next_number:
            await asyncio.sleep(max(0.0, begun + number / per_s - time.monotonic()))
            if time.monotonic() - begun > seconds + 1:
                return
            body = json.dumps(
                {"subject": "maria", "password": f"wrong guess {number}", "totp": "000000", "csr_pem": csr}
            ).encode()
            head = f"POST /api/sign-ins HTTP/1.1\r\nhost: gate\r\ncontent-length: {len(body)}\r\n"
            try:
                if writer is None or reader is None:
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", port, ssl=context, local_addr=(source, 0)
                    )
                counts["sent"] += 1
                writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.partition(b":")[2]))
                counts[answer.split(b" ", 2)[1].decode()] += 1
            except (OSError, asyncio.IncompleteReadError, StopIteration):
                counts["broken"] += 1
                if writer is not None:
                    writer.transport.abort()
                reader = writer = None
        if writer is not None:
            writer.transport.abort()

    await asyncio.gather(*(one(slot) for slot in range(CONNECTIONS)))
    return {**counts, "seconds": time.monotonic() - begun}


if __name__ == "__main__":
    port, ca, csr, seconds, per_s, addresses = sys.argv[1:]
    print(
        json.dumps(asyncio.run(flood(int(port), ca, Path(csr).read_text(), float(seconds), int(per_s), int(addresses))))
    )
