"""The import graph is the table of contents: imports point one way, and each library has its place."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = (
    # pure values and rules: no socket, no clock of their own
    {"version", "errors", "frames", "limits", "units", "deadlines", "backlog", "heap", "lines", "logs", "notify", "tls"}
    | {"kernel"},
    {"metrics", "topics", "settings", "request", "responses", "judge", "rates", "listener", "client"},
    {"census", "config"},
    # what a connection is handed
    {"accounts", "auth"},
    {"core"},
    {"drain", "linger", "admin"},
    {"connection"},
    {"handshake"},
    {"gate"},
    # the composition, and the ways to start it
    {"server"},
    {"run", "__init__"},
    {"cli"},
    {"__main__"},
)
"""Modules of `broker` from the lowest to the highest; a module imports from the layers below its own."""

HTPASSWD_LAYERS = ({"hashes"}, {"lines"}, {"file"}, {"__init__", "cli"}, {"__main__"})

ONLY_IN = {
    "prometheus_client": {"metrics"},
    "aiohttp": {"admin", "server"},
    "typer": {"cli"},
    "pydantic": {"settings", "config"},
    "uvloop": {"run"},
    "htpasswd": {"accounts", "auth", "server", "cli"},
}
"""Which modules of `broker` may import a library that has one face here."""

PURE = {"frames", "topics", "limits", "rates", "request", "deadlines", "census", "backlog"}

NEVER_IN = {
    "asyncio": PURE | {"responses", "errors", "units"},
    "websockets": {"frames", "topics", "limits", "rates", "request", "connection", "linger", "server"},
    "socket": PURE | {"responses", "judge"},
    "time": PURE,
}
"""Pure modules are handed what they need: bytes, and `now`."""


@cache
def imports(package: str, module: str) -> frozenset[str]:
    """Return the full names of everything a module imports, wherever in it."""
    tree = ast.parse((ROOT / package / f"{module}.py").read_text())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{package}/{module}.py imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def modules(package: str) -> list[str]:
    """Return the modules of a package."""
    return sorted(path.stem for path in (ROOT / package).glob("*.py"))


def neighbours(package: str, module: str) -> set[str]:
    """Return the modules of its own package that a module imports."""
    found = set()
    for name in imports(package, module):
        first, _, rest = name.partition(".")
        if first == package:
            inner = rest.partition(".")[0]
            found.add(inner if inner in modules(package) else "__init__")
    return found


def libraries(module: str) -> set[str]:
    """Return the top-level packages that a module of `broker` imports."""
    return {name.partition(".")[0] for name in imports("broker", module)}


def level(layers: tuple[set[str], ...], module: str) -> int:
    """Return the number of the layer that a module is in."""
    return next(number for number, layer in enumerate(layers) if module in layer)


@pytest.mark.parametrize(("package", "layers"), [("broker", LAYERS), ("htpasswd", HTPASSWD_LAYERS)])
def test_every_module_has_one_layer(package: str, layers: tuple[set[str], ...]) -> None:
    """A new module takes its place in the table, a removed one leaves it."""
    listed = [module for layer in layers for module in layer]
    assert sorted(listed) == modules(package)


@pytest.mark.parametrize(
    ("package", "module"),
    [(package, module) for package in ("broker", "htpasswd") for module in modules(package)],
)
def test_module_imports_from_lower_layers_only(package: str, module: str) -> None:
    """No arrow points upward or sideways, so there is no circle either."""
    layers = LAYERS if package == "broker" else HTPASSWD_LAYERS
    own = level(layers, module)
    upward = {name for name in neighbours(package, module) if level(layers, name) >= own}
    assert upward == set()


@pytest.mark.parametrize("package", ["broker", "htpasswd"])
def test_imports_have_no_circle(package: str) -> None:
    """Walked without the table: whoever is below imports nobody above."""

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join((*path, module))}"
        for name in neighbours(package, module):
            walk(name, (*path, module))

    for module in modules(package):
        walk(module, ())


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_library_is_imported_in_its_place_only(library: str) -> None:
    """One face per library: it can be changed in one place."""
    assert {module for module in modules("broker") if library in libraries(module)} <= ONLY_IN[library]


@pytest.mark.parametrize("library", sorted(NEVER_IN))
def test_pure_module_is_handed_what_it_needs(library: str) -> None:
    """No loop, no socket, no clock and no WebSocket library in what is a function of bytes and of `now`."""
    assert {module for module in NEVER_IN[library] if library in libraries(module)} == set()


@pytest.mark.parametrize("package", ["broker", "htpasswd"])
def test_relay_knows_nothing_of_otps(package: str) -> None:
    """The broker relays; what the messages mean is not its affair."""
    for module in modules(package):
        names = {name.partition(".")[0] for name in imports(package, module)}
        assert not names & {"otp", "tests", "bench", "examples"}


def test_htpasswd_knows_nothing_of_the_broker() -> None:
    """The password files stand on their own."""
    for module in modules("htpasswd"):
        assert not any(name.partition(".")[0] == "broker" for name in imports("htpasswd", module))
