"""Read the Dockerfile and .dockerignore as far as this project uses them; anything else is an error, not a guess."""

import fnmatch
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Stage:
    """One stage: its base image and its instructions in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        return [rest for word, rest in self.instructions if word == keyword]

    def last(self, keyword: str) -> str:
        return self.all(keyword)[-1]

    def environment(self) -> dict[str, str]:
        pairs = (pair.partition("=") for line in self.all("ENV") for pair in line.split())
        return {name: value for name, _, value in pairs}

    def command(self, keyword: str) -> list[str]:
        """Return an instruction in its exec form, such as `["wsbroker"]`."""
        found = re.search(r"\[.*\]", self.last(keyword))
        assert found, f"{keyword} is not in exec form: a shell would not hand on the signals"
        words = json.loads(found[0])
        assert isinstance(words, list)
        return [str(word) for word in words]


def read_dockerfile() -> list[Stage]:
    """Return the stages of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages: list[Stage] = []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append(Stage(rest))
        elif stages and word:
            stages[-1].instructions.append((word, " ".join(rest.split())))
    return stages


def allowed_paths() -> list[str]:
    """Return what .dockerignore lets through; it must begin by shutting everything out."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    shut_out = [line for line in lines[1:] if not line.startswith("!")]
    assert shut_out == ["**/__pycache__"]
    return [line[1:] for line in lines[1:] if line.startswith("!")]


def copy_build_context(target: Path) -> None:
    """Copy what `docker build` would see, so that a forgotten file fails here as it would there."""
    for name in allowed_paths():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=lambda _, names: fnmatch.filter(names, "__pycache__"))
        elif source.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
