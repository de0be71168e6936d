"""Make text that SQLite can store of whatever JSON brought."""


def storable(text: str) -> str:
    """Return the text with halves of surrogate pairs written out: they have no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
