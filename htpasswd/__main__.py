"""``python -m htpasswd``."""

from htpasswd.cli import main

main()
