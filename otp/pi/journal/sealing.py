"""Seal bodies, and digest what must be recognised but not read: pure functions of bytes and one key.

| use         | how                                                        | stored                     |
|-------------|------------------------------------------------------------|----------------------------|
| body        | ChaCha20-Poly1305 (RFC 8439), bound to its receiver        | while the message waits    |
| digest      | HMAC-SHA-256 of the text                                   | as long as the row         |
| duplicate   | HMAC-SHA-256 of the fields that make two messages the same | for a day or longer        |
| fingerprint | HMAC-SHA-256 of nothing, 16 hexadecimal digits             | always: tells keys apart   |

A bare SHA-256 of "Your code is 123456" falls to a million guesses in a second, hence the key. In every MAC each field
stands behind its length: plain joining makes ``a`` + ``bc`` equal ``ab`` + ``c``.
"""

import hashlib
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LENGTH_BYTES: Final = 4


class DamagedError(Exception):
    """A sealed body was changed, or belongs to another receiver or key."""


class Sealer:
    """Everything that needs the journal's key.

    Attributes:
        fingerprint: 16 hexadecimal digits that tell two keys apart and say nothing about either.
    """

    __slots__ = ("_aead", "_digest", "_duplicate", "fingerprint")

    def __init__(self, key: bytes) -> None:
        """Derive the subkeys from 32 bytes."""
        self._aead = ChaCha20Poly1305(_mac(key, b"journal body"))
        self._digest = _mac(key, b"journal digest")
        self._duplicate = _mac(key, b"journal duplicate")
        self.fingerprint = _mac(key, b"journal fingerprint").hex()[:16]

    def __repr__(self) -> str:
        return "<Sealer>"

    def seal(self, subject: str, text: str, receiver: str) -> bytes:
        """Return subject and text sealed, of any size, to be opened for this receiver only."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, _prefixed(subject) + _bytes(text), _bytes(receiver))

    def open(self, sealed: bytes, receiver: str) -> tuple[str, str]:
        """Return subject and text.

        Raises:
            DamagedError: It is not what was sealed for this receiver under this key.
        """
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            data = self._aead.decrypt(nonce, rest, _bytes(receiver))
        except (InvalidTag, ValueError):
            raise DamagedError("a body was changed since it was stored") from None
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
        return _text(data[_LENGTH_BYTES:end]), _text(data[end:])

    def digest(self, data: bytes) -> str:
        """Return 32 hexadecimal digits by which the same text is recognised."""
        return _mac(self._digest, data).hex()[:32]

    def digest_of(self, text: str) -> str:
        """Return the digest of a text."""
        return self.digest(_bytes(text))

    def recognise(self, *fields: str) -> bytes:
        """Return 32 bytes that are the same for the same fields."""
        return _mac(self._duplicate, b"".join(_prefixed(field) for field in fields))


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _prefixed(field: str) -> bytes:
    data = _bytes(field)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _bytes(text: str) -> bytes:
    # JSON may bring half a surrogate pair; the encoder for SMS decides what becomes of it, not the journal.
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
