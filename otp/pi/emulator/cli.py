"""Run emulated modems as a program: print where they are, then what they send."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

import typer

from otp.pi.emulator.arrived import Arrived, Part
from otp.pi.emulator.knobs import MAKERS, CmsAt, DropAt, Knobs, SilentAt, Ussd, UssdFormat
from otp.pi.emulator.modem import Emulator

MOST_MODEMS = 64

_MAKER_HELP = f"Whose modems they are: {', '.join(MAKERS)}."


def emulate(
    modems: Annotated[int, typer.Option(min=1, max=MOST_MODEMS, help="How many.")] = 1,
    link_dir: Annotated[
        Path | None, typer.Option(file_okay=False, help="Directory for links modem1, modem2, ... that stay the same.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print messages as JSON, one a line.")] = False,
    outbox: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to which every SMS is appended as JSON before it is confirmed."),
    ] = None,
    maker: Annotated[str, typer.Option(help=_MAKER_HELP)] = "huawei",
    delay: Annotated[float, typer.Option(min=0, help="Seconds that the network takes for an SMS.")] = 0.0,
    late_result: Annotated[float, typer.Option(min=0, help="Seconds by which +CMGS comes late; inf is never.")] = 0.0,
    no_prompt: Annotated[bool, typer.Option("--no-prompt", help="Wait for the body without a prompt.")] = False,
    silent_at: Annotated[SilentAt, typer.Option(help="Where they go deaf.")] = "",
    drop_at: Annotated[DropAt, typer.Option(help="Where they are unplugged, once.")] = "",
    replug_after: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which an unplugged modem comes back.")
    ] = None,
    lost: Annotated[
        bool, typer.Option("--lost", help="What they were silent or dropped over did not reach the network.")
    ] = False,
    cms: Annotated[int, typer.Option(min=0, help="Code of +CMS ERROR; 0 is a plain ERROR.")] = 0,
    cms_times: Annotated[int, typer.Option(min=-1, help="How many SMS fail with it; -1 is all.")] = 0,
    cms_at: Annotated[CmsAt, typer.Option(help="Whether instead of the prompt, or after the body.")] = "body",
    cms_part: Annotated[int, typer.Option(min=0, help="Only this part of long messages fails; 0 is any SMS.")] = 0,
    pin: Annotated[str, typer.Option(help="PIN of the cards; empty asks for none.")] = "",
    no_sim: Annotated[bool, typer.Option("--no-sim", help="No card is in them.")] = False,
    unregistered: Annotated[bool, typer.Option("--unregistered", help="No network takes them in.")] = False,
    roaming: Annotated[bool, typer.Option("--roaming", help="The network is another's.")] = False,
    signal_strength: Annotated[int, typer.Option("--signal", min=0, max=99, help="As +CSQ tells it.")] = 18,
    noise: Annotated[list[str] | None, typer.Option(help="Line that comes in the middle; may be repeated.")] = None,
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Do not repeat what is received.")] = False,
    chunk: Annotated[int, typer.Option(min=0, help="Octets in a write to the port; 0 is no limit.")] = 0,
    ussd: Annotated[list[str] | None, typer.Option(help="CODE=ANSWER, as *123#=Hello; may be repeated.")] = None,
    ussd_format: Annotated[UssdFormat, typer.Option(help="How answers are written.")] = "text",
    no_reports: Annotated[bool, typer.Option("--no-reports", help="The network sends no delivery reports.")] = False,
    report_status: Annotated[int, typer.Option(min=0, max=255, help="TP-Status in delivery reports.")] = 0,
    report_delay: Annotated[float, typer.Option(min=0, help="Seconds until a delivery report comes.")] = 0.0,
) -> None:
    """Emulate GSM modems: print their ports, then every message they send, until TERM or INT."""
    if maker not in MAKERS:
        raise typer.BadParameter(f"{maker} is not known; {', '.join(MAKERS)} are.", param_hint="--maker")
    knobs = Knobs(
        maker=maker,
        delay=delay,
        late_result=late_result,
        no_prompt=no_prompt,
        silent_at=silent_at,
        drop_at=drop_at,
        replug_after=replug_after,
        lost=lost,
        cms=cms,
        cms_times=cms_times,
        cms_at=cms_at,
        cms_part=cms_part,
        pin=pin,
        sim=not no_sim,
        registered=not unregistered,
        roaming=roaming,
        signal=signal_strength,
        noise=tuple(noise or ()),
        echo=not no_echo,
        chunk=chunk,
        ussd=dict(map(_ussd, ussd or ())),
        ussd_format=ussd_format,
        reports=not no_reports,
        report_status=report_status,
        report_delay=report_delay,
    )
    main(modems, link_dir, as_json=as_json, outbox=outbox, knobs=knobs)


def main(
    modems: int, link_dir: Path | None, *, as_json: bool = False, outbox: Path | None = None, knobs: Knobs | None = None
) -> None:
    """Run emulated modems until TERM or INT.

    Args:
        modems: How many; they are called modem1, modem2, ...
        link_dir: Directory for links of these names; made where missing. ``None`` prints the ptys themselves.
        as_json: Print messages as JSON.
        outbox: File to which every SMS is appended as JSON before its ``+CMGS``.
        knobs: How all of them behave; each gets its own copy.

    Raises:
        SystemExit: 2, with a sentence on standard error, when directory or file cannot be written.
    """
    try:
        if link_dir is not None:
            link_dir.mkdir(parents=True, exist_ok=True)
        asyncio.run(_serve(modems, link_dir, as_json=as_json, outbox=outbox, knobs=knobs or Knobs()))
    except OSError as error:
        print(f"cannot use {error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201  (a program's own words)
        raise SystemExit(2) from error


def _ussd(text: str) -> tuple[str, Ussd]:
    code, separator, answer = text.partition("=")
    if not (code and separator):
        raise typer.BadParameter(f"{text} is not CODE=ANSWER, such as *123#=Hello.", param_hint="--ussd")
    return code, Ussd(answer)


async def _serve(modems: int, link_dir: Path | None, *, as_json: bool, outbox: Path | None, knobs: Knobs) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    printer = _Printer(stop, as_json=as_json)
    async with AsyncExitStack() as stack:
        box = None if outbox is None else stack.enter_context(_Outbox(outbox, stop))
        for place in range(1, modems + 1):
            emulator = _emulator(place, link_dir, replace(knobs), printer.message, box.append if box else None)
            await stack.enter_async_context(emulator)
            printer.line(emulator.port)
        await stop.wait()
        if box is not None and box.failure is not None:
            raise box.failure


def _emulator(
    place: int,
    link_dir: Path | None,
    knobs: Knobs,
    on_message: Callable[[Arrived], None],
    on_part: Callable[[Part], None] | None,
) -> Emulator:
    name = f"modem{place}"
    return Emulator(
        name=name,
        imei=_with_check_digit(f"8600000000{place:04}"),
        imsi=f"51010123456{place:04}",
        iccid=_with_check_digit(f"89621000123456{place:04}"),
        knobs=knobs,
        link=None if link_dir is None else link_dir / name,
        on_message=on_message,
        on_part=on_part,
    )


def _with_check_digit(digits: str) -> str:
    """Add the Luhn digit that IMEIs and ICCIDs end in."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


class _Printer:
    """Standard output, a flushed line at a time; when its reader is gone, the program is over."""

    def __init__(self, stop: asyncio.Event, *, as_json: bool) -> None:
        self._stop = stop
        self._as_json = as_json

    def message(self, message: Arrived) -> None:
        if self._as_json:
            self.line(message.to_json())
        else:
            self.line(f"{message.modem} -> {message.receiver}: {_printable(message.text)}")

    def line(self, text: str) -> None:
        try:
            # Bytes, because the terminal's encoding may lack what a message has.
            os.write(sys.stdout.fileno(), text.encode() + b"\n")
        except BrokenPipeError:
            self._stop.set()


def _printable(text: str) -> str:
    """Keep a message on its line, and its control characters out of the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


class _Outbox:
    """A file of JSON lines; each is one write, so that it is whole even when the program is killed.

    Attributes:
        failure: Why it could not be written, which is the end of the program.
    """

    def __init__(self, path: Path, stop: asyncio.Event) -> None:
        self._path = path
        self._stop = stop
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.failure: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, part: Part) -> None:
        try:
            os.write(self._descriptor, part.to_json().encode() + b"\n")
        except OSError as error:
            self.failure = OSError(error.errno, error.strerror, str(self._path))
            self._stop.set()
