"""What every command is handed, and what it hands back."""

import argparse
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bench.machine import Cores
from bench.report import Table
from bench.selection import Selection

LONGEST: Final = 3600
"""Seconds that anything can be told to take."""


@dataclass(frozen=True, slots=True)
class Context:
    """Who is measured, and where."""

    selection: Selection
    cores: Cores
    quick: bool = False


class Measurement(Protocol):
    """A command at work. What it has so far can be shown at any time, also after an interruption."""

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""

    def measure_all(self) -> None:
        """Take every figure; progress goes to standard error."""

    def tables(self) -> list[Table]:
        """Return the tables of what has been measured."""

    def document(self) -> dict[str, Any]:
        """Return everything that has been measured, for the JSON file."""


def how_many(text: str) -> int:
    """Read a count from a command line.

    Raises:
        argparse.ArgumentTypeError: It is no whole number from 1 on.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def how_long(text: str) -> float:
    """Read seconds from a command line.

    Raises:
        argparse.ArgumentTypeError: It is no number above 0, or more than an hour.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:  # not a number is neither
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0, up to {LONGEST}")
    return seconds
