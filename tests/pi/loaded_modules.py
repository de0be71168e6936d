"""Be ``otp-pi``, and write in the end which modules were loaded: ``python -m tests.pi.loaded_modules FILE run ...``."""

import atexit
import json
import sys
from pathlib import Path

from otp.pi.cli import main


def _tell(file: Path) -> None:
    file.write_text(json.dumps(sorted(sys.modules)))


if __name__ == "__main__":
    atexit.register(_tell, Path(sys.argv.pop(1)))
    main()
