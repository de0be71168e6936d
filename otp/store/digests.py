"""Derive everything the store keeps from one secret key: pure functions of bytes.

| value  | is                                                | in the store | for                     |
|--------|---------------------------------------------------|--------------|-------------------------|
| key    | 32 random bytes                                   | never        |                         |
| subkey | HMAC-SHA-256(key, label), one label per use       | never        | telling uses apart      |
| nonce  | 16 random bytes per record                        | yes          |                         |
| code   | truncate(HMAC(subkey, nonce)), RFC 4226 5.3       | never        | derived when it is sent |
| name   | HMAC(subkey, reference)                           | yes          | finding a record        |
| owner  | HMAC(subkey, receiver)                            | yes          | finding a budget        |
| mac    | HMAC(subkey, reference, receiver, params, code)   | yes          | comparing a try         |

In the MAC each field stands behind its length: plain joining makes ``a:b`` + ``c`` equal ``a`` + ``b:c``.
"""

import hashlib
import hmac
from collections.abc import Iterable

KEY_BYTES = 32
NONCE_BYTES = 16

_RFC_DIGITS = 8
"""RFC 4226 truncates to 31 bits: good for eight digits, too few for nine and ten, which take 63 bits."""


class SecretKey:
    """The server's key and what is derived from it.

    Attributes:
        fingerprint: 16 hexadecimal digits that tell two keys apart and say nothing about either.
    """

    __slots__ = ("_code", "_receiver", "_record", "_reference", "fingerprint")

    def __init__(self, key: bytes) -> None:
        """Derive the subkeys.

        Raises:
            ValueError: The key has not exactly 32 bytes.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key must have {KEY_BYTES} bytes, not {len(key)}")
        self._code = _digest(key, b"otp code")
        self._record = _digest(key, b"otp record")
        self._reference = _digest(key, b"otp reference")
        self._receiver = _digest(key, b"otp receiver")
        self.fingerprint = _digest(key, b"otp fingerprint").hex()[:16]

    def __repr__(self) -> str:
        return "<SecretKey>"

    def name(self, reference: str) -> bytes:
        """Return what a record of this reference is found by, 32 bytes."""
        return _digest(self._reference, reference.encode())

    def owner(self, receiver: str) -> bytes:
        """Return what this receiver's budget is found by, 32 bytes."""
        return _digest(self._receiver, receiver.encode())

    def code(self, nonce: bytes, digits: int) -> str:
        """Return the code that belongs to a record's nonce."""
        return truncate(_digest(self._code, nonce), digits)

    def mac(self, fields: Iterable[str], code: str) -> bytes:
        """Return the MAC of a record's fields and a code, 32 bytes."""
        return _digest(self._record, b"".join(_prefixed(field) for field in (*fields, code)))


def truncate(digest: bytes, digits: int) -> str:
    """Return a decimal code from a digest (RFC 4226, 5.3, dynamic truncation), zero-padded."""
    width = 4 if digits <= _RFC_DIGITS else 8
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + width], "big") & ((1 << (8 * width - 1)) - 1)
    return str(number % 10**digits).zfill(digits)


def same(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left, right)


def _digest(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _prefixed(field: str) -> bytes:
    data = field.encode()
    return len(data).to_bytes(4, "big") + data
