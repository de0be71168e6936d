"""The emulator as a program of its own, and the function behind its command."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from otp.pi.emulator import cli
from otp.pi.emulator.knobs import Knobs, Ussd
from tests.pi.emulated import PATIENCE, Port, hello, part

COMMAND = (sys.executable, "-m", "otp.pi.emulator")


@contextlib.asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the program; it is ended by TERM and must end well."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().rstrip("\n")


async def test_program_prints_its_ports_and_then_what_arrives(tmp_path: Path) -> None:
    """One port a line comes first, then messages with the modem they came through; TERM ends it with 0."""
    links = tmp_path / "made" / "on the way"
    async with program("--modems", "2", "--link-dir", str(links), "--no-echo") as process:
        ports = [await line(process), await line(process)]
        assert ports == [str(links / "modem1"), str(links / "modem2")]
        async with Port(ports[1]) as port:
            assert (await port.send(*hello()))[-1] == "OK"
        assert await line(process) == "modem2 -> +6281234567890: hello"
        async with Port(ports[0]) as port:
            assert "860000000000017" in await port.ask("AT+CGSN")
            assert (await port.send(*hello(text=b"\x1b\x32\x9b\xfd\x06")))[-1] == "OK"
        assert (await line(process)).startswith("modem1 -> +6281234567890: ")
    assert process.returncode == 0
    assert not list(links.iterdir())


async def test_program_prints_json_and_ends_on_int() -> None:
    """With --json a message is an object on one line; without links the ptys themselves are printed."""
    async with program("--json", "--no-echo") as process:
        path = await line(process)
        assert path.startswith("/dev/")
        async with Port(path) as port:
            await port.send(*part(1, 2))
            await port.send(*part(2, 2))
        message = json.loads(await line(process))
        assert (message["modem"], message["text"], message["parts"]) == ("modem1", "61626162", 2)
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE)
    assert process.returncode == 0


async def test_outbox_holds_every_part_even_when_the_program_is_killed(tmp_path: Path) -> None:
    """A part that was confirmed stands in the file, which only the owner may read, and grows over restarts."""
    outbox = tmp_path / "outbox"
    for reference in (1, 2):
        async with program("--no-echo", "--outbox", str(outbox), "--link-dir", str(tmp_path)) as process:
            async with Port(await line(process)) as port:
                await port.send(*part(1, 2, reference))
            if reference == 1:
                process.kill()
                await process.wait()
    parts = [json.loads(text) for text in outbox.read_text().splitlines()]
    assert [(found["reference"], found["index"], found["total"]) for found in parts] == [(1, 1, 2), (2, 1, 2)]
    assert outbox.stat().st_mode & 0o777 == 0o600


@contextlib.asynccontextmanager
async def ending(path: str, process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Send a message through a program that ends over it, perhaps before the result is read."""
    try:
        async with Port(path) as port:
            pdu, length = hello()
            port.write(f"AT+CMGS={length}\r")
            await port.until(b"> ")
            port.write(pdu + "\x1a")
            yield
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_outbox_on_a_full_disk_ends_the_program() -> None:
    """A part that cannot be written down is no silent loss: the program says so and exits with 2."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--no-echo", "--outbox", "/dev/full", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with ending(await line(process), process):
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, errors) == (2, b"cannot use /dev/full: No space left on device\n")


async def test_program_ends_when_nobody_reads_what_it_prints() -> None:
    """A closed pipe is the end of the program, not a traceback."""
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(*COMMAND, "--no-echo", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    with os.fdopen(read) as lines:
        path = (await asyncio.to_thread(lines.readline)).strip()
    async with ending(path, process):
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, errors) == (0, b"")


async def test_message_stays_on_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Line ends and control characters are shown, not obeyed."""
    assert cli._printable("a\nb\x1b[31mé") == "a\\nb\\x1b[31mé"


def test_every_knob_of_the_command_line_reaches_the_modem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and knobs mean the same."""
    seen: list[Knobs | None] = []

    def main(
        modems: int, link_dir: Path | None, *, as_json: bool, outbox: Path | None, knobs: Knobs | None = None
    ) -> None:
        seen.append(knobs)

    monkeypatch.setattr(cli, "main", main)
    app = typer.Typer()
    app.command()(cli.emulate)
    words = (
        "--maker simcom --delay 1 --late-result 2 --no-prompt --silent-at body --drop-at result --replug-after 3 "
        "--lost --cms 38 --cms-times 2 --cms-at prompt --cms-part 1 --pin 1234 --no-sim --unregistered --roaming "
        "--signal 7 --noise ^RSSI:1 --noise ^BOOT --no-echo --chunk 3 --ussd *1#=a=b --ussd-format ucs2 --no-reports "
        "--report-status 70 --report-delay 4"
    )
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    assert seen == [
        Knobs(
            maker="simcom",
            delay=1,
            late_result=2,
            no_prompt=True,
            silent_at="body",
            drop_at="result",
            replug_after=3,
            lost=True,
            cms=38,
            cms_times=2,
            cms_at="prompt",
            cms_part=1,
            pin="1234",
            sim=False,
            registered=False,
            roaming=True,
            signal=7,
            noise=("^RSSI:1", "^BOOT"),
            echo=False,
            chunk=3,
            ussd={"*1#": Ussd("a=b")},
            ussd_format="ucs2",
            reports=False,
            report_status=70,
            report_delay=4,
        )
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["--maker", "acme"], "acme is not known"), (["--ussd", "*1#"], "is not CODE=ANSWER"), (["--modems", "0"], "")],
)
def test_option_that_makes_no_sense_is_refused(words: list[str], sentence: str) -> None:
    """The command says what was wrong and exits with 2."""
    app = typer.Typer()
    app.command()(cli.emulate)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())


def test_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that cannot be made ends the program with 2 and a sentence, no traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as error:
        cli.main(1, tmp_path / "file" / "links")
    assert error.value.code == 2
    assert "cannot use" in capsys.readouterr().err
