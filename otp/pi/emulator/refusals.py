"""Name the ways in which a modem says no."""

_NOTHING_MORE = "ERROR"
_WORDS = {
    3: "operation not allowed",
    10: "SIM not inserted",
    11: "SIM PIN required",
    12: "SIM PUK required",
    16: "incorrect password",
    50: "incorrect parameters",
}


class RefusedError(Exception):
    """A command is refused with the final result code ``ERROR``."""

    def final(self, detail: int) -> str:
        """Return the final result code, at a ``+CMEE`` of ``detail``."""
        return _NOTHING_MORE


class CmeError(RefusedError):
    """A command is refused by equipment or card (27.007, 9.2): as much as ``+CMEE`` allows is said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def final(self, detail: int) -> str:
        """Return ERROR alone, a number or words, as ``detail`` is 0, 1 or 2."""
        if not detail:
            return _NOTHING_MORE
        return f"+CME ERROR: {self.code if detail == 1 else _WORDS[self.code]}"


class CmsError(RefusedError):
    """An SMS command is refused (27.005, 3.2.5): the number is always said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def final(self, detail: int) -> str:
        """Return the number; code 0 stands for a plain ERROR."""
        return f"+CMS ERROR: {self.code}" if self.code else _NOTHING_MORE
