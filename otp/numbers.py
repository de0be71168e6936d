"""Read receivers: tell a mail address from a number, and write one number one way.

| policy    | ``0812-6666 666`` in region ID | ``*77#12``  | an impossible number |
|-----------|--------------------------------|-------------|----------------------|
| normalise | ``+628126666666``              | ``*77#12``  | stripped             |
| strict    | ``+628126666666``              | refused     | refused              |
| raw       | ``0812-6666 666``              | ``*77#12``  | unchanged            |

A number becomes E.164 only when ``phonenumbers`` calls it valid. Everything else keeps its digits and only
loses blanks, dots, dashes, slashes and brackets: machine-to-machine numbers and short codes exist that no
numbering plan knows. Without a region, numbers in national form stay national.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType

from otp import fields
from otp.errors import InvalidInput, MissingExtra

_FILLERS = re.compile(r"[\s.\-/()\[\]\u2010-\u2015\u2212\uff0d]+")
_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_ATOM = r"[^@\s<>,;:\"\\()\[\]]+"
_ADDRESS = re.compile(rf"{_ATOM}@{_ATOM}")
_LOCAL_PART = 64
_ADDRESS_LENGTH = 254
_UNKNOWN_REGION = "ZZ"


class NumberPolicy(StrEnum):
    """What becomes of a number that is not E.164."""

    NORMALISE = "normalise"
    STRICT = "strict"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The rules for receivers.

    Attributes:
        policy: See the table above.
        region: Where national numbers belong: ``"ID"``, or its calling code ``"62"``; ``None`` for nowhere.
    """

    policy: NumberPolicy = NumberPolicy.NORMALISE
    region: str | None = None

    def __post_init__(self) -> None:
        """Read the policy and the region.

        Raises:
            InvalidInput: There is no such policy or region.
            MissingExtra: A region, or the policy ``strict``, needs ``phonenumbers``, which is not installed.
        """
        object.__setattr__(self, "policy", _policy(self.policy))
        object.__setattr__(self, "region", _region(self.region))
        if self.policy is NumberPolicy.STRICT:
            _phonenumbers()

    def wire(self, receiver: object) -> str:
        """Return a receiver as it is sent.

        Raises:
            InvalidInput: Not a receiver at all, a malformed mail address, or not valid under ``strict``.
        """
        found = fields.receiver(receiver)
        if is_email(found):
            return email(found)
        if self.policy is NumberPolicy.RAW:
            return found
        valid = _e164(found, self.region)
        if valid is None and self.policy is NumberPolicy.STRICT:
            raise InvalidInput(f"receiver is not a valid telephone number{self._in_region()}.")
        return valid or _stripped(found)

    def key(self, receiver: object) -> str:
        """Return the one spelling that limits, block lists and codes go by, whatever the policy.

        Mail addresses ignore case here and have their domain as mail servers do (IDNA 2008), numbers are E.164 where
        valid, and a leading ``00`` counts as ``+``.

        Raises:
            InvalidInput: Not a receiver at all, or a malformed mail address.
        """
        found = fields.receiver(receiver)
        if is_email(found):
            return _address_key(email(found))
        return _e164(found, self.region) or _international(_stripped(found))

    def calling_code(self) -> str:
        """Return the calling code of the region, such as ``62``; empty without a region."""
        return str(_phonenumbers().country_code_for_region(self.region)) if self.region else ""

    def trunk_prefix(self) -> str:
        """Return what national numbers of the region begin with at home only, such as ``0``; empty where nothing."""
        if not self.region:
            return ""
        metadata = _phonenumbers().PhoneMetadata.metadata_for_region(self.region)
        return str(metadata.national_prefix or "")

    def _in_region(self) -> str:
        return f" (region {self.region})" if self.region else "; without a region it must start with + and a country"


def is_email(receiver: str) -> bool:
    """Tell a mail address from a number: it has an ``@``."""
    return "@" in receiver


def email(address: str) -> str:
    """Check a mail address and return it unchanged: one address, no name, no list, no quoting.

    Raises:
        InvalidInput: It is something else.
    """
    local = address.partition("@")[0]
    if not _ADDRESS.fullmatch(address) or len(local) > _LOCAL_PART or len(address) > _ADDRESS_LENGTH:
        raise InvalidInput("receiver is not a mail address of the form name@example.com.")
    return address


def _address_key(address: str) -> str:
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        domain = _ascii_domain(domain)
    return f"{local}@{domain.removesuffix('.')}".casefold()


def _ascii_domain(domain: str) -> str:
    """Return a domain as it is looked up; unchanged where it cannot exist, or without the library, part of ``[pi]``."""
    try:
        return str(import_module("idna").encode(domain, uts46=True), "ascii")
    except (ImportError, UnicodeError):
        return domain


def mask(receiver: str) -> str:
    """Return a receiver for a log line: enough to recognise it, not enough to call or write to it."""
    if is_email(receiver):
        local, _, domain = receiver.partition("@")
        return f"{local[:1]}***@{domain}"
    return f"{receiver[:-5][:5]}***{receiver[-2:]}" if len(receiver) > len("+6281") else "***"


def strip(number: str) -> str:
    """Return a number without blanks, dots, dashes, slashes and brackets, its digits as ASCII."""
    return _FILLERS.sub("", _ascii_digits(number))


@lru_cache(maxsize=1024)
def _e164(number: str, region: str | None) -> str | None:
    """Return a valid number as E.164, ``None`` when it is not valid.

    Remembered, because a parse takes 50 us and making and verifying one code asks three times: the store does
    2,100 such pairs a second on one core with it, 1,700 without.
    """
    stripped = _international(strip(number))
    if not _NUMBER.fullmatch(stripped) or (region is None and not stripped.startswith("+")):
        return None
    library = _phonenumbers()
    try:
        parsed = library.parse(stripped, region)
    except library.NumberParseException:
        return None
    if not library.is_valid_number(parsed):
        return None
    return str(library.format_number(parsed, library.PhoneNumberFormat.E164))


def _stripped(number: str) -> str:
    """Return the stripped form, unless nothing is left of it."""
    stripped = strip(number)
    if not stripped.strip("+"):
        raise InvalidInput("receiver has no digits.")
    return stripped


def _international(number: str) -> str:
    return "+" + number[2:] if number.startswith("00") else number


def _ascii_digits(text: str) -> str:
    """Write the digits of every script as 0 to 9, and a full-width plus as plus."""
    if text.isascii():
        return text
    text = text.replace("\uff0b", "+")
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def _policy(value: str) -> NumberPolicy:
    try:
        return NumberPolicy(value)
    except ValueError:
        raise InvalidInput("number policy must be normalise, strict or raw.") from None


def _region(value: str | None) -> str | None:
    """Return an upper-case ISO region from a region or a calling code."""
    text = str(value or "").strip().lstrip("+").upper()
    if not text:
        return None
    library = _phonenumbers()
    region = library.region_code_for_country_code(int(text)) if text.isdecimal() else text
    if region == _UNKNOWN_REGION or region not in library.SUPPORTED_REGIONS:
        raise InvalidInput("region must be two letters such as ID, or a calling code such as 62.")
    return str(region)


@cache
def _phonenumbers() -> ModuleType:
    """Import ``phonenumbers`` when the first number is read: who only sends mail does without."""
    try:
        return import_module("phonenumbers")
    except ImportError:
        raise MissingExtra(
            "Reading telephone numbers needs phonenumbers: pip install 'wsmessagebroker[publisher]'"
        ) from None
