"""The right port is found among many, each is asked once, and nobody's port is touched."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import serialx

from otp.pi import settings
from otp.pi.emulator import Emulator, Knobs
from otp.pi.modems import identity
from otp.pi.modems.identity import REMEMBERED, Finder, Identity
from otp.pi.modems.port import PortError

ONE = "860000000000017"
TWO = "860000000000025"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ONE, ONE, True),
        (ONE, ONE[:14], True),
        (ONE, ONE[:14] + "09", True),
        (ONE, TWO, False),
        ("", ONE, False),
        ("123", "123", True),
    ],
)
def test_device_is_told_by_its_first_fourteen_digits(one: str, other: str, same: bool) -> None:
    """Check digit and software version do not matter."""
    assert identity.same_device(one, other) is same


def test_identity_empty_numbers_match_any() -> None:
    """What is not asked for need not match."""
    found = Identity(ONE, "510")
    assert found.matches("", "510")
    assert found.matches(ONE, "")
    assert not found.matches(ONE, "511")


class Bench:
    """Sockets with modems and silence in them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 0.0
        self.finder = Finder(
            at_timeout=0.2,
            candidates=lambda: sorted(map(str, directory.iterdir())),
            monotonic=lambda: self.now,
        )
        self.plugged: dict[str, Emulator] = {}

    async def find(self, *, imei: str = "", imsi: str = "", port: str = "") -> str:
        path = await self.finder.find(settings.Modem(name="x", port=port, imei=imei, imsi=imsi))
        return Path(path).name


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    async with AsyncExitStack() as stack:
        for name, imei, imsi, knobs in (
            ("a-silent", "", "", Knobs(silent_at="idle")),
            ("b-two", TWO, "510102222222222", Knobs()),
            ("c-one", ONE, "510101111111111", Knobs()),
        ):
            modem = Emulator(name=name, imei=imei, imsi=imsi, knobs=knobs, link=tmp_path / name)
            bench.plugged[name] = await stack.enter_async_context(modem)
        yield bench


async def test_finder_skips_silent_ports_and_remembers(bench: Bench) -> None:
    """Silent ports are passed over, and no port is asked twice for two modems, nor for the same number."""
    assert await bench.find(imei=ONE) == "c-one"
    assert bench.finder.asked == 3
    assert await bench.find(imsi="510102222222222") == "b-two"
    assert bench.finder.asked == 3
    bench.now += REMEMBERED
    assert await bench.find(imei=ONE) == "c-one"
    assert bench.finder.asked == 6


async def test_finder_asks_a_replugged_device_anew(bench: Bench) -> None:
    """A device that came back is not who it was before."""
    await bench.find(imei=ONE)
    bench.plugged["c-one"].unplug()
    with pytest.raises(PortError):
        await bench.find(imei=ONE)
    bench.plugged["c-one"].replug()
    bench.finder.forget()
    assert await bench.find(imei=ONE) == "c-one"


async def test_finder_leaves_held_and_reserved_ports_alone(bench: Bench) -> None:
    """A port that a modem has, or that the settings give to one, is never asked."""
    held = str(bench.directory / "c-one")
    bench.finder.reserve(str(bench.directory / "b-two"))
    with bench.finder.hold(held):
        for imei in (ONE, TWO):
            with pytest.raises(PortError, match="answers with this imei"):
                await bench.find(imei=imei)
        with pytest.raises(PortError, match="belongs to another modem"), bench.finder.hold(held):
            pass
    assert not bench.plugged["b-two"].commands
    assert not bench.plugged["c-one"].commands
    assert await bench.find(imei=ONE) == "c-one"


async def test_finder_asks_one_port_at_a_time(bench: Bench) -> None:
    """Two modems that look at once share what is found."""
    assert tuple(await asyncio.gather(bench.find(imei=ONE), bench.find(imei=TWO))) == ("c-one", "b-two")
    assert bench.finder.asked == 3


async def test_finder_says_what_is_missing(bench: Bench) -> None:
    """Nothing found: the reason says what was looked for, and what a locked card does not tell."""
    (bench.directory / "d-no-port").write_text("")
    (bench.directory / "e-gone").symlink_to(bench.directory / "nowhere")
    with pytest.raises(PortError, match=r"none of 5 ports answers with this imei: plug the modem in$"):
        await bench.find(imei="111111111111111")
    with pytest.raises(PortError, match="waits for its PIN"):
        await bench.find(imei=ONE, imsi="1")


async def test_finder_takes_a_given_port_as_it_is(bench: Bench) -> None:
    """A port in the settings is used without asking anybody."""
    assert await bench.find(port="/dev/serial/by-id/usb-x") == "usb-x"
    assert bench.finder.asked == 0


async def test_identity_of_a_locked_card_has_no_imsi(bench: Bench) -> None:
    """A modem whose card wants its PIN is still found by its IMEI."""
    bench.plugged["c-one"].knobs.pin = "1234"
    assert await bench.find(imei=ONE) == "c-one"


def test_candidates_are_usb_modems_with_lasting_names_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in serial ports are left alone: they may be consoles."""

    def port(device: str, resolved: str) -> serialx.SerialPortInfo:
        return serialx.SerialPortInfo(device, resolved, None, None, None, None, None, None, None, None)

    ports = [
        port("/dev/ttyUSB1", "/dev/ttyUSB1"),
        port("/dev/serial/by-id/usb-huawei-if00", "/dev/ttyUSB0"),
        port("/dev/ttyS0", "/dev/ttyS0"),
        port("/dev/ttyACM0", "/dev/ttyACM0"),
    ]
    monkeypatch.setattr(serialx, "list_serial_ports", lambda: ports)
    assert identity.candidate_ports() == ["/dev/serial/by-id/usb-huawei-if00", "/dev/ttyACM0", "/dev/ttyUSB1"]
