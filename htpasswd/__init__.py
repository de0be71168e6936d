"""Password files in Apache's htpasswd format: verify, load, edit.

The pure part is `htpasswd.hashes` (one stored hash) and `htpasswd.lines` (the text of a file);
`htpasswd.file` touches the disk and `htpasswd.cli` the terminal.
"""

from htpasswd.file import PasswordFile, PasswordFileError, edit, load
from htpasswd.hashes import Scheme, dummy_like, hash_password, scheme, verify
from htpasswd.lines import Accounts, Content, Problem, name_fault, parse

__all__ = [
    "Accounts",
    "Content",
    "PasswordFile",
    "PasswordFileError",
    "Problem",
    "Scheme",
    "dummy_like",
    "edit",
    "hash_password",
    "load",
    "name_fault",
    "parse",
    "scheme",
    "verify",
]
