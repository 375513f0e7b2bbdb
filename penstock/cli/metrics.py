"""``penstock metrics``: what a monitoring system reads of the gate, in the Prometheus text format."""

from __future__ import annotations

import argparse
import sys

from penstock.cli import admin


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``metrics``."""
    parser = subparsers.add_parser("metrics", help="print the gate's metrics in the Prometheus text format")
    admin.add_socket(parser)
    parser.set_defaults(run=metrics)


def metrics(arguments: argparse.Namespace) -> int:
    """Print the page as it is: its line ends and escapes are part of the format."""
    with admin.opened(arguments) as http:
        sys.stdout.write(http.metrics())
        sys.stdout.flush()
    return 0
