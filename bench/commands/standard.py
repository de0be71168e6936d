"""`standard`: the shapes everyone asks about first, against everyone; what `python -m bench` does by itself."""

import argparse

from bench.commands.fanout import Fanout, add_pace, pace_of, unfit
from bench.context import Context
from bench.runs import Pace
from bench.shapes import BASE

BUDGET = 600.0
QUICK_BUDGET = 240.0
PACE = Pace(rounds=16, seconds=0.3, warm_up=0.4)

add_arguments = add_pace


def prepare(context: Context, options: argparse.Namespace) -> Fanout:
    """Set the measurement up for the options given."""
    return Fanout(context, BASE, pace_of(options, PACE))


__all__ = ["BUDGET", "QUICK_BUDGET", "add_arguments", "prepare", "unfit"]
