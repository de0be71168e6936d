r"""Read an INI file by the rules of PHP's ``parse_ini_file``, which existing files were written for.

| written               | read       | why                                                           |
|-----------------------|------------|---------------------------------------------------------------|
| ``a = x `` and blanks | ``x``      | blanks around an unquoted value go                            |
| ``a = x ; note``      | ``x``      | ``;`` begins a comment wherever it stands outside quotes      |
| ``a = On``            | ``1``      | true, on, yes are ``1``; false, off, no, none, null are empty |
| ``a = "on ; x"``      | ``on ; x`` | quotes keep everything                                        |
| ``a = "\"\\"``         | ``"\``     | the two escapes, between double quotes only                   |
| ``a = C:\cache``      | the same   | backslashes are literal                                       |
| ``a = 100%``          | ``100%``   | nothing is interpolated with ``%``                            |
| ``a = ${HOME}/x``     | ``/root/x``| environment variables are, except in single quotes            |

Two things are kinder here: what PHP calls a syntax error in an unquoted value (``=``, ``!``, ``(``, ``"``) is
taken as it stands, and an environment variable that is not set is an error instead of nothing.

See https://www.php.net/manual/en/function.parse-ini-file.php.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from otp.publisher.errors import ConfigError

_TRUE = frozenset({"true", "on", "yes"})
_FALSE = frozenset({"false", "off", "no", "none", "null"})
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SECTION = re.compile(r"\[([^\]]*)\]\s*(?:;.*)?")


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """A value and where it came from.

    Attributes:
        value: The text, after PHP's rules.
        where: ``otp.ini, line 12`` or the name of an environment variable, for messages.
    """

    value: str
    where: str


@dataclass(frozen=True, slots=True, repr=False)
class Ini:
    """What a file says.

    Attributes:
        sections: Entries by section and key; names are case-sensitive as in PHP. ``""`` holds what stands
            before the first section.
        warnings: What was passed over, one sentence each.
    """

    sections: dict[str, dict[str, Entry]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def parse(text: str, source: str, environment: Mapping[str, str]) -> Ini:
    """Read the text of an INI file. A key that is repeated counts as written last.

    Args:
        text: The file's text; a byte order mark is passed over.
        source: The file's name, for messages.
        environment: Where ``${NAME}`` is looked up.

    Raises:
        ConfigError: A section or quote is not closed, or a variable is not set; the text names the line.
    """
    ini = Ini()
    section = ""
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line, where = raw.strip(), f"{source}, line {number}"
        if not line or line[0] in ";#":
            continue
        if line.startswith("["):
            section = _section(line, where)
            ini.sections.setdefault(section, {})
        elif "=" in line:
            key, _, value = line.partition("=")
            entries = ini.sections.setdefault(section, {})
            entries[key.strip()] = Entry(_value(value.strip(), where, environment), where)
        else:
            ini.warnings.append(f"{where}: this is neither a [section] nor key = value, and was passed over.")
    return ini


def _section(line: str, where: str) -> str:
    found = _SECTION.fullmatch(line)
    if found is None:
        raise ConfigError(f"{where}: a section must look like [NAME].")
    return found[1].strip()


def _value(text: str, where: str, environment: Mapping[str, str]) -> str:
    if text.startswith("'"):
        return _quoted(text, where, text.find("'", 1))
    if text.startswith('"'):
        inner = _quoted(text, where, _closing(text))
        return _expand(re.sub(r'\\(["\\])', r"\1", inner), where, environment)
    bare = text.partition(";")[0].rstrip()
    if bare.lower() in _TRUE:
        return "1"
    return "" if bare.lower() in _FALSE else _expand(bare, where, environment)


def _closing(text: str) -> int:
    r"""Return where a double-quoted value ends: at the first ``"`` without ``\``, else at the last.

    PHP reads ``"C:\cache\"`` as ``C:\cache\`` and so do we.
    """
    unescaped = re.search(r'(?<!\\)(?:\\\\)*"', text[1:])
    return unescaped.end() if unescaped else text.rfind('"', 1)


def _quoted(text: str, where: str, end: int) -> str:
    if end <= 0:
        raise ConfigError(f"{where}: the quote is not closed on this line.")
    rest = text[end + 1 :].strip()
    if rest and not rest.startswith(";"):
        raise ConfigError(f"{where}: there is text after the closing quote.")
    return text[1:end]


def _expand(text: str, where: str, environment: Mapping[str, str]) -> str:
    def look_up(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise ConfigError(f"{where}: the environment variable {found[1]} is not set.")
        return environment[found[1]]

    return _VARIABLE.sub(look_up, text)
