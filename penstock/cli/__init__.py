"""The command line: one file per noun, listed in `penstock.cli.main`.

Stands at the rim: it talks HTTP to a gate (`client`), keeps what a sign-in left behind (`profile`), and prints.
It must never decide anything that the gate decides.
"""

from penstock.cli.main import main

__all__ = ["main"]
