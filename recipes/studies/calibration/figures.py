"""Rates as a table for people and as a plot. Plain data in, text or a PNG out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calibration.rates import GAINS, ROWS, Rate

_COLOURS = {"paired bootstrap": "tab:blue", "corrected resampled t": "tab:orange"}


def table(rates: Sequence[Rate]) -> str:
    """One line per test, setting and true gain; one column per number of rows; rates in percent
    with intervals.
    """
    cells = {(r.test, r.gain, r.setting, r.n): r for r in rates}
    lines = [
        f"{'test':<22} {'setting':<38} {'true gain':>9}"
        + "".join(f"{f'n = {n:,}':>21}" for n in ROWS)
    ]
    for test, gain, setting in dict.fromkeys(key[:3] for key in cells):
        row = "".join(f"{_percent(cells.get((test, gain, setting, n))):>21}" for n in ROWS)
        lines.append(f"{test:<22} {setting:<38} {gain:>9.2f}{row}")
    return "\n".join(lines)


def _percent(rate: Rate | None) -> str:
    if rate is None:
        return ""
    return f"{100 * rate.rate:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def too_many(rates: Sequence[Rate]) -> list[Rate]:
    """Cells without a true gain whose whole interval lies above the level."""
    return [rate for rate in rates if rate.gain == 0 and rate.low > rate.level]


def draw(rates: Sequence[Rate], path: Path) -> None:
    """False-gain rates at every number of rows, and power over rows. Needs matplotlib (extra
    `dev`).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    null = [rate for rate in rates if rate.gain == 0]
    settings = list(dict.fromkeys((rate.test, rate.setting) for rate in null))
    figure, (left, *right) = pyplot.subplots(
        1,
        1 + len(GAINS),
        figsize=(17, 5.5),
        width_ratios=[2.2, *[1] * len(GAINS)],
        constrained_layout=True,
    )
    for rate in null:
        place = -settings.index((rate.test, rate.setting)) - 0.25 * (ROWS.index(rate.n) - 1)
        left.plot([rate.low, rate.high], [place, place], color=_COLOURS[rate.test], lw=1)
        left.plot(rate.rate, place, "o", color=_COLOURS[rate.test], ms=2 + 2 * ROWS.index(rate.n))
    left.set_yticks(
        [-i for i in range(len(settings))], [setting for _, setting in settings], fontsize=8
    )
    left.axvline(null[0].level, color="black", ls=":")
    left.set(
        title=f"no true gain: share called one\n(dots: n = {', '.join(map(str, ROWS))})",
        xlim=(0, None),
    )
    for axis, gain in zip(right, GAINS, strict=True):
        for test, setting in settings:
            found = sorted(
                (r.n, r.rate) for r in rates if (r.test, r.setting, r.gain) == (test, setting, gain)
            )
            if found:
                axis.plot(*zip(*found, strict=True), "-o", ms=3, color=_COLOURS[test], alpha=0.6)
        axis.set(
            title=f"true gain {gain}: share found", xscale="log", ylim=(0, 1.02), xlabel="rows"
        )
        axis.set_xticks(ROWS, [f"{n:,}" for n in ROWS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.legend(
        [Line2D([], [], color=c) for c in _COLOURS.values()],
        list(_COLOURS),
        loc="outside lower right",
    )
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
