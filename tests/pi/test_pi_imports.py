"""The import graph of the OTP path is its table of contents: arrows point one way, each library has its place."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = (
    {"model", "settings", "counts", "supervisor", "recent"},
    {"journal", "config", "emulator", "inputs", "callbacks"},
    {"guards", "modems", "mail", "emulated"},
    {"answers"},
    {"events", "telephony", "sending", "status", "importing"},
    {"inbox", "webhook", "housekeeping", "commands", "metrics"},
    {"receivers", "outbox", "rest"},
    {"control"},
    {"service"},
    {"run"},
    {"cli"},
    {"__main__"},
)
"""Modules and packages of `otp.pi` from the lowest to the highest; each imports from the layers below its own."""

OTP_LAYERS = (
    {"codes", "limits"},
    {"errors", "throttle"},
    {"fields", "json_reader"},
    {"templates", "numbers", "results", "expiry"},
    {"messages", "store"},
    {"incoming", "issuing"},
    {"accounts", "roads"},
    {"http"},
    {"publisher", "pi"},
)
"""The same of `otp`."""

FROM_THE_BROKER = {"broker.units", "broker.notify", "broker.logs", "broker.version"}
"""What the OTP path takes from the broker: words and tools, no relay."""

ONLY_IN = {
    "sqlite3": {"journal"},
    "cryptography": {"journal"},
    "serialx": {"modems"},
    "aiosmtplib": {"mail"},
    "aio_pika": {"inputs"},
    "aiormq": {"inputs"},
    "redis": {"inputs"},
    "paho": {"inputs"},
    "prometheus_client": {"metrics"},
    "typer": {"cli", "emulator"},
    "rich": {"cli"},
    "uvloop": {"run"},
}
"""Which parts of `otp.pi` may import a library that has one face here."""


@cache
def imports(package: str, part: str) -> frozenset[str]:
    """Return the full names of everything that a module or package imports, wherever in it."""
    place = ROOT / package / part
    files = list(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    names: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file} imports relatively"
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


@cache
def parts(package: str) -> list[str]:
    """Return the modules and packages of a package, without itself."""
    entries = (ROOT / package).iterdir()
    names = {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").exists()}
    return sorted(names - {"__init__"})


def neighbours(package: str, part: str) -> set[str]:
    """Return the other parts of its package that a part imports."""
    prefix = package.replace("/", ".") + "."
    named = {name.removeprefix(prefix).partition(".")[0] for name in imports(package, part) if name.startswith(prefix)}
    return (named & set(parts(package))) - {part}


CASES = [("otp", part) for part in parts("otp")] + [("otp/pi", part) for part in parts("otp/pi")]


@pytest.mark.parametrize(("package", "layers"), [("otp", OTP_LAYERS), ("otp/pi", LAYERS)])
def test_every_part_has_one_layer(package: str, layers: tuple[set[str], ...]) -> None:
    """A new module takes its place in the table, a removed one leaves it."""
    assert sorted(part for layer in layers for part in layer) == parts(package)


@pytest.mark.parametrize(("package", "part"), CASES)
def test_part_imports_from_lower_layers_only(package: str, part: str) -> None:
    """No arrow points upward or sideways, so there is no circle either."""
    layers = LAYERS if package == "otp/pi" else OTP_LAYERS
    level = {name: number for number, layer in enumerate(layers) for name in layer}
    assert {name for name in neighbours(package, part) if level[name] >= level[part]} == set()


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_library_is_imported_in_its_place_only(library: str) -> None:
    """One face per library, and one that is not configured stays out of the process."""
    found = {part for part in parts("otp/pi") if any(_top(name) == library for name in imports("otp/pi", part))}
    assert found <= ONLY_IN[library]


@pytest.mark.parametrize(("package", "part"), CASES)
def test_otp_path_takes_words_and_tools_from_the_broker(package: str, part: str) -> None:
    """The relay is the broker's own; publisher and OTP-Pi know each other only by what they send."""
    names = imports(package, part)
    taken = {".".join(name.split(".")[:2]) for name in names if _top(name) == "broker"}
    assert taken <= FROM_THE_BROKER
    if package == "otp/pi":
        assert not any(name.startswith("otp.publisher") for name in names)


def test_emulator_knows_nothing_of_the_driver_it_tests() -> None:
    """A mistake in the driver's tables cannot be in the emulator's as well."""
    assert not any(name.startswith("otp.pi.modems") for name in imports("otp/pi", "emulator"))


def _top(name: str) -> str:
    return name.partition(".")[0]
