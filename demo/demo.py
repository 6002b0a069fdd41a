#!/usr/bin/env python3
"""Watch TaskQ work: a cluster, the operator, and the examples, until every Task has ended."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "local-cluster"))

from localcluster import ClusterError
from taskqdemo import run
from taskqdemo.kube import DemoError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="demo.py", description=__doc__)
    result.add_argument(
        "--yes", action="store_true", help="install the CRDs without asking, also in a cluster that was not made here"
    )
    result.add_argument("--stop", action="store_true", help="stop the operator that an earlier demo left running")
    result.add_argument("--api", action="store_true", help="print the address at which that operator says why")
    return result


def main() -> int:
    """Run it; what the user can mend is told in one line, without a traceback."""
    arguments = parser().parse_args()
    try:
        if arguments.stop:
            return run.stop()
        return run.api() if arguments.api else run.demo(yes=arguments.yes)
    except (ClusterError, DemoError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ndemo: interrupted; cluster and operator are left as they are, `make down` removes them", file=sys.stderr
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
