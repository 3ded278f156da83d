"""`python recipes/studies/significance.py --comparisons 500`: false-gain rates and power of both
significance tests.

Every cell simulates fresh data and models. At 500 comparisons about 13 minutes of processor time.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from calibration.figures import draw, table, too_many
from calibration.rates import Rate, jobs, measure_all
from rich.console import Console
from rich.progress import track


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python recipes/studies/significance.py", description=__doc__
    )
    parser.add_argument(
        "--comparisons", type=int, default=500, help="simulated comparisons per cell (default 500)"
    )
    parser.add_argument(
        "--level", type=float, default=0.05, help="one-sided level of both tests (default 0.05)"
    )
    parser.add_argument(
        "--only", default="", help="only settings with this in their name, e.g. regression"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument(
        "--plot", type=Path, help="write a plot as PNG; needs matplotlib (extra dev)"
    )
    args = parser.parse_args(argv)
    work = jobs(args.comparisons, args.level, args.only)
    if not work:
        raise SystemExit(f"No setting has '{args.only}' in its name.")
    console = Console(stderr=True)
    cells = track(measure_all(work, args.workers), "cells", total=len(work), console=console)
    done = {(rate.test, rate.setting, rate.n, rate.gain): rate for rate in cells}
    rates = [done[job.test, job.setting, job.n, job.gain] for job in work]
    sys.stdout.write(f"{table(rates)}\n{_verdict(rates)}\n")
    if args.out:
        args.out.write_text(
            json.dumps({"rates": [asdict(rate) for rate in rates]}, indent=1) + "\n"
        )
    if args.plot:
        draw(rates, args.plot)


def _verdict(rates: list[Rate]) -> str:
    above = too_many(rates)
    cells = sum(rate.gain == 0 for rate in rates)
    if not above:
        return (
            f"No false-gain rate of {cells} is above the level of {rates[0].level:g} beyond its "
            "95% interval."
        )
    names = "; ".join(f"{rate.test}, {rate.setting}, n = {rate.n}" for rate in above)
    return (
        f"Above the level of {rates[0].level:g} beyond its 95% interval, {len(above)} of "
        f"{cells}: {names}."
    )


if __name__ == "__main__":
    main()
