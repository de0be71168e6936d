"""`python bench/fanout.py`: the same as `python -m bench fanout`, from any folder."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # A script's own folder leads sys.path; the package is found from the folder above.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.argv[1:1] = ["fanout"]
    runpy.run_module("bench", run_name="__main__")
