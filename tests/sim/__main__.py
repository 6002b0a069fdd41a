"""Walk seeds in a process of its own: ``python -m sim FIRST LAST [MUTANT]``.

The process has a fixed hash seed, so that sets of names have the same order in every run. Its last line is JSON: what
the walks have seen, and the story of the first one that failed, at which it stops.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter

from sim.planted import MUTANTS
from sim.walk import WalkFailed, run


def main(first: int, last: int, mutant: str = "") -> None:
    """Walk until one fails."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        sys.exit("set PYTHONHASHSEED=0: else a seed is not the same walk each time")
    if mutant:
        MUTANTS[mutant]()
    faults, tallies, fingerprints = Counter[str](), Counter[str](), []
    story, walked = "", 0
    for seed in range(first, last):
        walked += 1
        try:
            report = run(seed)
        except WalkFailed as failure:
            story = str(failure)
            break
        faults += report.faults
        tallies += report.tallies
        fingerprints.append(hash(report.fingerprint))
    result = {"story": story, "walked": walked, "faults": faults, "tallies": tallies, "fingerprints": fingerprints}
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
