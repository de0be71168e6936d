"""Password hashes as they stand in a password file: judge, verify and make them.

What verifies, and what one check costs (microseconds of one core, libpass 1.9, bcrypt 5, CPython 3.11):

    ========  ==============  ===========================  =====================
    prefix    name            made by                      cost of one check
    ========  ==============  ===========================  =====================
    $2y$ ...  bcrypt          htpasswd -B, this package    65 * 2**cost
    $6$       sha512-crypt    htpasswd -5, openssl -6      1.3 * rounds
    $5$       sha256-crypt    htpasswd -2, openssl -5      0.9 * rounds
    $apr1$    apr1            htpasswd -m, openssl -apr1   900
    $1$       md5-crypt       openssl -1                   900
    {SHA}     sha1            htpasswd -s                  14
    (none)    plain           only when explicitly allowed 2
    ========  ==============  ===========================  =====================

Three rules keep the door shut:

1. What claims to be a hash and is not a well-formed one of the table never verifies, and never counts as
   plain text: otherwise whoever reads the file logs in with the hash itself.
2. DES crypt is refused: it looks at eight characters of a password.
3. No text made here ever holds a hash or a password, in whole or in part.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import bcrypt
from passlib.context import CryptContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEFAULT_COST = 10
"""bcrypt cost of a new hash, log2 of its rounds: 68 ms a check. OWASP's Password Storage Cheat Sheet asks
for 10 or more; 12 takes 211 ms, several times that on a small ARM board, for each account that returns
after a restart."""

LOWEST_COST, HIGHEST_COST = 4, 17
"""bcrypt costs accepted: those of Apache's ``htpasswd -C``. 17 takes 8 s, and each step doubles that: one
line of cost 31 would hold a thread for a day and more."""

BCRYPT_BYTES = 72
"""bcrypt looks at no more bytes of a password. Checking cuts there, as Apache does; writing refuses."""

_HIGHEST_ROUNDS = 5_000_000  # SHA-crypt: about as slow as HIGHEST_COST
_LONGEST_SECRET = 4096  # bytes; what libpass takes. An HTTP header holds less than that in base64 anyway

_BCRYPT, _PLAIN, _UNKNOWN = "bcrypt", "plain", "unknown"

# Never with `plaintext` in it: libpass' own htpasswd context ends with it, and there an unknown hash logs in.
_CONTEXT = CryptContext(schemes=["sha512_crypt", "sha256_crypt", "apr_md5_crypt", "md5_crypt", "ldap_sha1"])


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a stored hash is; it holds nothing of the hash itself."""

    name: str
    """As in the table above; ``des-crypt`` or ``unknown`` for what cannot be used."""
    cost: int = 0
    """bcrypt: log2 of the rounds. SHA-crypt and MD5-crypt: rounds. 0 where there are none."""
    effort: float = 0.0
    """Estimated microseconds of one verification: it orders schemes, it promises nothing."""
    reason: str | None = None
    """Why no password can match, in words; None when the hash is usable."""

    @property
    def usable(self) -> bool:
        """Whether a password can match."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class _Format:
    """One hash format: how to recognise it, whether it is whole, and what it costs."""

    name: str
    prefixes: tuple[str, ...]
    pattern: re.Pattern[str]  # of a whole hash, with the groups cost, salt and digest where it has them
    effort: Callable[[int], float]
    costs: range  # accepted
    implied_cost: int  # where the text names none
    last: str = "."  # a character that may end every salt and digest of this format

    def judge(self, stored: str) -> Scheme:
        """Return the scheme of `stored`, which starts with one of our prefixes."""
        match = self.pattern.fullmatch(stored)
        if match is None:
            return Scheme(self.name, reason=f"malformed {self.name} hash (cut short or altered)")
        cost = int(match.groupdict().get("cost") or self.implied_cost)
        if cost not in self.costs:
            limits = f"{self.costs.start} to {self.costs.stop - 1}"
            return Scheme(self.name, cost, reason=f"{self.name} cost {cost} is not within {limits}")
        return Scheme(self.name, cost, self.effort(cost))

    def scramble(self, stored: str) -> str:
        """Return `stored` with a random salt and digest: same work to check, no known password."""
        match = self.pattern.fullmatch(stored)
        if match is None:
            raise ValueError(f"not a well-formed {self.name} hash")
        text = list(stored)
        for group in {"salt", "digest"} & match.groupdict().keys():
            start, end = match.span(group)
            if end > start:  # SHA-crypt and MD5-crypt may do without salt
                text[start : end - 1] = [secrets.choice(_ALPHANUMERIC) for _ in range(start, end - 1)]
                text[end - 1] = self.last
        return "".join(text)


_ALPHANUMERIC = string.ascii_letters + string.digits  # the common part of all three base64 alphabets below
_H64 = "[./0-9A-Za-z]"
_ROUNDS = r"(?:rounds=(?P<cost>[1-9][0-9]{0,8})\$)?"
_MD5 = rf"(?P<salt>{_H64}{{0,8}})\$(?P<digest>{_H64}{{21}}[./01])"

# The last character of a salt or digest carries fewer than six bits: the classes below hold exactly the
# values it can have, so that a damaged hash is found when the file is read and not when its user stands at
# the door.
_FORMATS = (
    _Format(
        _BCRYPT,
        ("$2y$", "$2b$", "$2a$"),
        re.compile(
            rf"\$2[aby]\$(?P<cost>[0-9]{{2}})\$"
            rf"(?P<salt>{_H64}{{21}}[.Oeu])(?P<digest>{_H64}{{30}}[.CGKOSWaeimquy26])"
        ),
        lambda cost: 65.0 * 2**cost,
        range(LOWEST_COST, HIGHEST_COST + 1),
        implied_cost=0,
    ),
    _Format(
        "sha512-crypt",
        ("$6$",),
        re.compile(rf"\$6\${_ROUNDS}(?P<salt>{_H64}{{0,16}})\$(?P<digest>{_H64}{{85}}[./01])"),
        lambda rounds: 1.3 * rounds,
        range(1000, _HIGHEST_ROUNDS + 1),
        implied_cost=5000,
    ),
    _Format(
        "sha256-crypt",
        ("$5$",),
        re.compile(rf"\$5\${_ROUNDS}(?P<salt>{_H64}{{0,16}})\$(?P<digest>{_H64}{{42}}[./0-9A-D])"),
        lambda rounds: 0.9 * rounds,
        range(1000, _HIGHEST_ROUNDS + 1),
        implied_cost=5000,
    ),
    _Format(
        "apr1",
        ("$apr1$",),
        re.compile(rf"\$apr1\${_MD5}"),
        lambda rounds: 0.9 * rounds,
        range(1000, 1001),
        implied_cost=1000,
    ),
    _Format(
        "md5-crypt",
        ("$1$",),
        re.compile(rf"\$1\${_MD5}"),
        lambda rounds: 0.9 * rounds,
        range(1000, 1001),
        implied_cost=1000,
    ),
    _Format(
        "sha1",
        ("{SHA}",),
        re.compile(r"\{SHA\}(?P<digest>[0-9A-Za-z+/]{26}[AEIMQUYcgkosw048])="),
        lambda _: 14.0,
        range(1),
        implied_cost=0,
        last="A",
    ),
)

_CLAIMS_TO_BE_HASHED = re.compile(r"\$[0-9A-Za-z,=-]*\$|\{[0-9A-Za-z-]+\}")
_DES = re.compile(rf"{_H64}{{13}}|_{_H64}{{19}}")
_HTDIGEST = re.compile(r".*:[0-9a-fA-F]{32}")


def scheme(stored: str, *, allow_plaintext: bool = False) -> Scheme:
    """Identify a stored hash and say whether it is usable.

    Args:
        stored: what stands after the colon of a line, blanks trimmed.
        allow_plaintext: take what does not look like a hash as a password in plain text. Thirteen characters
            of ``[./0-9A-Za-z]`` look like DES crypt and stay refused.

    Returns:
        The scheme; its `reason` tells why a malformed, unknown, refused or far too costly one is unusable.
    """
    for known in _FORMATS:
        if stored.startswith(known.prefixes):
            return known.judge(stored)
    if reason := _refusal(stored):
        return Scheme("des-crypt" if _DES.fullmatch(stored) else _UNKNOWN, reason=reason)
    if allow_plaintext:
        return Scheme(_PLAIN, effort=2.0)
    return Scheme(_UNKNOWN, reason="neither a known hash nor plain text that was allowed (allow_plaintext)")


def looks_hashed(text: str) -> bool:
    """Tell whether `text` starts as a hash does, of whatever scheme."""
    return _CLAIMS_TO_BE_HASHED.match(text) is not None


def verify(password: str, stored: str, *, allow_plaintext: bool = False) -> bool:
    """Tell whether `password` is the one that was stored; never raise, whatever the two strings hold.

    The comparison takes constant time. Above 72 bytes bcrypt compares the first 72, as Apache does. A
    password with a NUL, without a UTF-8 form or above 4096 bytes is a wrong password.

    Args:
        password: as the client gave it; compared byte for byte in UTF-8, without normalisation.
        stored: the hash from the file.
        allow_plaintext: as for `scheme`.
    """
    found = scheme(stored, allow_plaintext=allow_plaintext)
    secret = _utf8(password)
    if secret is None or b"\0" in secret or len(secret) > _LONGEST_SECRET or not found.usable:
        return False
    if found.name == _BCRYPT:
        return bcrypt.checkpw(secret[:BCRYPT_BYTES], stored.encode("ascii"))
    if found.name == _PLAIN:
        # Digests, because compare_digest() lets the length show.
        expected = sha256(stored.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(sha256(secret).digest(), expected)
    return bool(_CONTEXT.verify(secret, stored))


def hash_password(password: str, *, cost: int = DEFAULT_COST) -> str:
    """Hash a new password with bcrypt, in the ``$2y$`` form that every reader of such files knows.

    Args:
        password: 1 to 72 bytes of UTF-8, without control characters (RFC 7617, section 2).
        cost: log2 of the rounds, 4 to 17.

    Raises:
        ValueError: the password cannot be stored or the cost is out of range; the text says which, without
            the password.
    """
    secret = _utf8(password)
    if secret is None:
        raise ValueError("the password has no UTF-8 form: it holds half a surrogate pair")
    if not secret:
        raise ValueError("the password is empty")
    if any(character < " " or character == "\x7f" for character in password):
        raise ValueError("the password holds a control character, which HTTP Basic cannot carry (RFC 7617)")
    if len(secret) > BCRYPT_BYTES:
        raise ValueError(f"the password has {len(secret)} bytes, bcrypt reads {BCRYPT_BYTES}: shorten it")
    if not LOWEST_COST <= cost <= HIGHEST_COST:
        raise ValueError(f"bcrypt cost {cost} is not within {LOWEST_COST} to {HIGHEST_COST}")
    # Same algorithm, other letter: Apache reads $2a$ and $2y$ itself and hands $2b$ to whatever crypt()
    # there is.
    return "$2y$" + bcrypt.hashpw(secret, bcrypt.gensalt(cost)).decode("ascii").removeprefix("$2b$")


def dummy_like(stored: Iterable[str]) -> str:
    """Return a hash of no known password that takes as long to check as the costliest of `stored`.

    Verified for an unknown user, it answers no sooner than a wrong password does. It takes microseconds to
    make: only the settings are copied, salt and digest are random.

    Args:
        stored: hashes of the file; unusable ones and plain text do not count. With none left the dummy is of
            the cheapest scheme, since there is no name to protect.
    """
    floor = "{SHA}" + "A" * 27 + "="
    costliest = max(stored, key=lambda text: scheme(text).effort, default=floor)
    if not scheme(costliest).usable:
        costliest = floor
    return next(known for known in _FORMATS if costliest.startswith(known.prefixes)).scramble(costliest)


def _refusal(stored: str) -> str | None:
    """Return why `stored`, which is of no known format, is not plain text either; None when it may be."""
    if not stored:
        return "no hash after the colon"
    if looks_hashed(stored):
        return "unknown hash scheme"
    if any(prefix.startswith(stored) for known in _FORMATS for prefix in known.prefixes):
        return "hash cut short"
    if _DES.fullmatch(stored):
        return "DES crypt is refused: it looks at 8 characters of a password"
    if _HTDIGEST.fullmatch(stored):
        return "a line of an htdigest file (user:realm:hash), which works for HTTP Digest only"
    return None


def _utf8(text: str) -> bytes | None:
    """Encode `text`; None when it holds a lone surrogate."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return None
