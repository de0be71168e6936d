"""A broker to try things with: 127.0.0.1:9000, one generated account, two commands to paste.

The account lives in `run/.htpasswd` and stays; its password is shown once, when it is made.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from examples.stage import make_accounts, paint, say

FOLDER: Final = Path("run")
USER: Final = "demo"
PORT: Final = "9000"


def main() -> None:
    """Make the account if there is none, say how to use it, and become the broker."""
    file = FOLDER / ".htpasswd"
    FOLDER.mkdir(exist_ok=True)
    if file.exists():
        password = "PASSWORD"  # noqa: S105 - a place holder, only its hash is stored
        say("account", f"{USER}, made earlier; for a new password remove {file} and start again")
    else:
        password = make_accounts(file, [USER])[USER]
        say(
            "account",
            f"user {paint('good', USER)} password {paint('good', password)} (shown once; its hash is in {file})",
        )
    tool = shutil.which("wsbroker", path=str(Path(sys.executable).parent)) or "wsbroker"
    tool = os.path.relpath(tool)
    url = f"ws://{USER}:{password}@127.0.0.1:{PORT}/ws?topic=sms"
    say("listen", f"in a second terminal: {tool} sub --url '{url}'")
    say("publish", f"in a third:           {tool} pub --url '{url}' 'hello'")
    say("stop", "Ctrl-C here")
    arguments = [tool, "serve", "--host", "localhost", "--port", PORT, "--password-file", str(file), *sys.argv[1:]]
    os.execv(tool, arguments)  # noqa: S606 - our own program


if __name__ == "__main__":
    main()
