"""The Dockerfile without Docker: its install steps in an empty environment, its health check against what they made."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.settings import Settings
from broker.version import __version__
from examples.ports import free_ports
from tests.deploy.dockerfile import ROOT, Stage, allowed_paths, copy_build_context, read_dockerfile

BUILD, FINAL = read_dockerfile()
PREFIX = "/opt/wsbroker"


@dataclass(frozen=True, slots=True)
class Image:
    """What the Dockerfile makes, below a directory instead of below /opt/wsbroker."""

    prefix: Path

    def path(self, text: str) -> str:
        return text.replace(PREFIX, str(self.prefix))

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(list(words)),
            env=self.environment() | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, words: list[str]) -> list[str]:
        return [str(self.prefix / "bin" / words[0]), *(self.path(word) for word in words[1:])]

    def environment(self) -> dict[str, str]:
        return {name: self.path(value).replace("$PATH", "/usr/bin:/bin") for name, value in FINAL.environment().items()}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Run the RUN lines of the build stage on a copy of the build context."""
    if not os.environ.get("CI") and not _reaches_the_index():
        pytest.skip("pip reaches no package index: the install steps cannot run")
    source = tmp_path_factory.mktemp("src")
    image = Image(tmp_path_factory.mktemp("opt") / "wsbroker")
    copy_build_context(source)
    [steps] = BUILD.all("RUN")
    python = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{python}:{os.environ['PATH']}"}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}  # compiling costs the test 3 s
    environment.pop("PYTHONPATH", None)
    ended = subprocess.run(
        ["bash", "-ec", image.path(steps)],
        cwd=source,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    for script in (line for line in FINAL.all("COPY") if line.startswith("--from=build /src/")):
        _, origin, target = script.split()
        Path(image.path(target)).write_bytes((source / origin.removeprefix("/src/")).read_bytes())
    return image


def _reaches_the_index() -> bool:
    words = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--retries=0", "pip"]
    return subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, check=False).returncode == 0


@contextmanager
def serving(image: Image, directory: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run ENTRYPOINT and CMD as the container would, in `directory` in place of the volume."""
    words = image.command([*FINAL.command("ENTRYPOINT"), *FINAL.command("CMD")])
    with subprocess.Popen(
        words, cwd=directory, env=image.environment() | environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if " listening " in line:
                break
        assert process.poll() is None, lines
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.stderr.read()


def test_image_has_the_command_and_nothing_for_developers(image: Image) -> None:
    """The install steps give a `wsbroker` of this version, without extras and without the test tools."""
    assert image.run("wsbroker", "--version").stdout == f"wsbroker {__version__}\n"
    missing = (
        "import importlib.util as u; print([n for n in ('pytest', 'mypy', 'aio_pika', 'redis') if u.find_spec(n)])"
    )
    assert image.run("python", "-c", missing).stdout == "[]\n"


def test_image_health_check_follows_the_broker(image: Image, tmp_path: Path) -> None:
    """The health check succeeds while the broker serves, with a proxy set in the environment, and fails after TERM."""
    port, admin = free_ports(2)
    ports = {"WSBROKER_PORT": str(port), "WSBROKER_ADMIN_PORT": str(admin)}
    check = FINAL.command("HEALTHCHECK")
    with serving(image, tmp_path, **ports) as process:
        healthy = image.run(*check, http_proxy="http://127.0.0.1:9", **ports)
    assert (healthy.returncode, healthy.stdout) == (0, f"/livez on port {admin}: 200\n")
    assert process.returncode == 0, "TERM, which is what `docker stop` sends, ends it cleanly"
    assert image.run(*check, **ports).returncode == 1


def test_image_takes_accounts_that_are_added_while_it_runs(image: Image, tmp_path: Path) -> None:
    """Started without accounts, as `docker run` does, it takes the one that `wsbroker passwd add` writes there."""
    port, admin = free_ports(2)
    with serving(image, tmp_path, WSBROKER_PORT=str(port), WSBROKER_ADMIN_PORT=str(admin)) as process:
        subprocess.run(
            image.command(["wsbroker", "passwd", "add", "--stdin", "alice"]),
            cwd=tmp_path,
            env=image.environment(),
            input="secret\n",
            text=True,
            capture_output=True,
            check=True,
        )
        assert process.stderr is not None
        assert next(line for line in process.stderr if "accounts_loaded" in line).rstrip().endswith("accounts=1")


def test_image_runs_without_root_and_says_where_it_listens() -> None:
    """The final stage has a fixed user, the volume that is its working directory, and the ports of the settings."""
    assert re.fullmatch(r"[1-9]\d+", FINAL.last("USER"))
    assert f"--uid {FINAL.last('USER')} " in FINAL.last("RUN")
    assert FINAL.command("VOLUME") == [FINAL.last("WORKDIR")]
    defaults = Settings()
    assert FINAL.last("EXPOSE").split() == [str(defaults.port), str(defaults.admin_port)]


@pytest.mark.parametrize("stage", [BUILD, FINAL], ids=["build", "final"])
def test_image_stage_starts_from_a_slim_python(stage: Stage) -> None:
    """Both stages share one slim base image, whose Python the project supports."""
    assert stage.base.split(" AS ")[0] == "python:${PYTHON}-slim"
    default = re.search(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert default is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {default[1]}" in project["classifiers"]


def test_image_context_holds_what_the_wheel_needs() -> None:
    """Every package of the wheel, the readme and the licence pass .dockerignore; secrets and history do not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], project["project"]["readme"]}
    wanted |= {"pyproject.toml", *project["project"]["license-files"]}
    assert wanted <= set(allowed_paths())
    assert not {".", ".git", ".htpasswd", "tests", "deploy"} & set(allowed_paths())


def test_image_environment_names_settings_only() -> None:
    """A variable `WSBROKER_*` that is no setting would keep the broker from starting."""
    names = [name for name in FINAL.environment() if name.startswith("WSBROKER_")]
    assert names
    assert [name for name in names if name.removeprefix("WSBROKER_").lower() not in Settings.model_fields] == []
