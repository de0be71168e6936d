"""Run ``python -m otp.pi.emulator``."""

import typer

from otp.pi.emulator.cli import emulate

if __name__ == "__main__":
    typer.run(emulate)
