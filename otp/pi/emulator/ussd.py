"""Answer USSD codes, menus included (27.007, 7.15)."""

from collections.abc import Callable

from otp.pi.emulator.alphabet import characters, pack, septets_of, unpack
from otp.pi.emulator.knobs import Knobs, Ussd
from otp.pi.emulator.refusals import RefusedError
from otp.pi.emulator.session import Session
from otp.pi.emulator.timers import Timers

_DONE, _MORE, _NOT_SUPPORTED = 0, 1, 4
_GSM, _UCS2 = 15, 72


class UssdDialogue:
    """The one USSD session that a modem can have."""

    def __init__(self, knobs: Knobs, timers: Timers, emit: Callable[[str], None]) -> None:
        self._knobs = knobs
        self._timers = timers
        self._emit = emit
        self._menu: dict[str, Ussd] | None = None

    def cancel(self) -> None:
        """End the session."""
        self._menu = None

    def ask(self, code: str, session: Session) -> None:
        """Take a code, or the reply to a menu; the answer comes as ``+CUSD`` of its own.

        Raises:
            RefusedError: This modem takes codes packed, and this is none.
        """
        code = self._read(code)
        known = self._knobs.ussd if self._menu is None else self._menu
        answer = known.get(code)
        self._menu = dict(answer.menu) if answer is not None and answer.menu else None
        if session.ussd:
            line = self._line(answer, session)
            self._timers.later(self._knobs.ussd_delay, lambda: self._emit(line))

    def _read(self, code: str) -> str:
        if self._knobs.ussd_format != "packed":
            return code
        try:
            octets = bytes.fromhex(code)
        except ValueError as error:
            raise RefusedError from error
        # Seven octets hold eight septets, of which the last may be fill: 0 or CR.
        return characters(unpack(octets, len(octets) * 8 // 7)).rstrip("@\r")

    def _line(self, answer: Ussd | None, session: Session) -> str:
        if answer is None:
            return f"+CUSD: {_NOT_SUPPORTED}"
        text, scheme = self._write(answer.text, session)
        return f'+CUSD: {_MORE if answer.menu else _DONE},"{text}",{scheme}'

    def _write(self, text: str, session: Session) -> tuple[str, int]:
        septets = [septets_of(character) for character in text]
        if self._knobs.ussd_format == "ucs2" or not all(septets):
            return text.encode("utf-16-be").hex().upper(), _UCS2
        if self._knobs.ussd_format == "packed":
            packed = pack(septet for pair in septets for septet in pair or ())
            return packed.hex().upper(), _GSM
        if session.charset == "UCS2":
            return text.encode("utf-16-be").hex().upper(), _GSM
        return text, _GSM
