"""Turn whatever ends a command into one line for a human and an exit code; never into a traceback."""

from typing import Any

import typer
from typer.core import TyperGroup

from broker.logs import describe
from otp.errors import OtpError
from otp.pi.cli.output import FAILED, USAGE, fail
from otp.pi.config import ConfigError
from otp.roads import errors as roads

INTERRUPTED = 130
"""Exit code after INT, as a shell has it: 128 and the number of the signal."""


class Commands(TyperGroup):
    """The group of all commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise  # typer knows what these are
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 - a traceback may quote a message, and helps no operator
            raise fail(*explain(error)) from None


def explain(error: Exception) -> tuple[str, int]:
    """Return what is said about an error, and the exit code."""
    if isinstance(error, ConfigError | roads.ConfigError):
        return str(error), USAGE
    if isinstance(error, (OtpError, *_told())):
        return str(error), FAILED
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}", FAILED
    return f"this is a fault of otp-pi itself: {describe(error)}", FAILED


def _told() -> tuple[type[Exception], ...]:
    """Return errors whose text is for humans; not imported above, since with them comes half of the service."""
    from otp.pi.control import NotRunningError  # noqa: PLC0415
    from otp.pi.importing import ImportFault  # noqa: PLC0415
    from otp.pi.journal import StorageError  # noqa: PLC0415

    return NotRunningError, ImportFault, StorageError
