"""Pictures of an experiment's report, drawn from the figures that its JSON holds: learning curves
with every seed, the arms side by side, and where teams stop. Needs matplotlib (extra `dev`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiment_figures.figures import Figures, by_seed, figures
from experiment_figures.material import Material, Part
from marl_llm.evaluation.statistics import Estimate, clustered_mean
from marl_llm.pipeline.experiment.config import UNTRAINED

Pick = Callable[[Figures], Estimate | None]
_CURVES: tuple[tuple[str, Pick], ...] = (
    ("test gain over the baseline, skill", lambda f: f.gain),
    ("tokens an episode", lambda f: f.team.get("tokens")),
    ("failed code, share of turns", lambda f: f.team.get("failed_code")),
    ("compliance", lambda f: f.team.get("compliance")),
)
_ARMS: tuple[tuple[str, Pick], ...] = (
    ("test gain over the baseline, skill", lambda f: f.gain),
    ("test score minus the untrained pair's", lambda f: f.over_untrained),
    ("share of the best single step's gain", lambda f: f.of_best),
    ("tokens, change", lambda f: f.tokens_change),
)
_MEANS = {"headroom": "on hold-out", "confirmed": "on test"}
_COLOURS = (
    "#0b6e99",
    "#d1495b",
    "#66a182",
    "#edae49",
    "#6c4ab6",
    "#8d6a4a",
    "#4f5d75",
    "#c77dff",
    "#2a9d8f",
    "#b56576",
)


def draw(material: Material, out: Path) -> list[Path]:
    """Draw everything that was measured into the directory `out`; returns the pictures."""
    import matplotlib

    matplotlib.use("Agg")
    name = material.experiment.name
    pictures = [
        _curves(material, out / f"{name}-curves.png"),
        _arms(material, out / f"{name}-arms.png"),
    ]
    if any(part.headroom for part in material.parts):
        pictures.append(_stops(material, out / f"{name}-headroom.png"))
    return pictures


def _curves(material: Material, path: Path) -> Path:
    """A row a part; thick: the main arm over all seeds with 95% intervals; dots: its seeds; thin:
    the other arms.
    """
    figure, axes = _grid(material, _CURVES, 3.1)
    main = material.experiment.main
    for row, part in zip(axes, material.parts, strict=True):
        for arm in [a for a in material.arms if a not in (UNTRAINED, main)] + [main]:
            versions = part.versions(arm)
            if not versions:
                continue
            lines = _curve(part, arm, versions)
            seeds = [_seed_curves(part, arm, versions)] if arm == main else []
            for axis, (_, pick) in zip(row, _CURVES, strict=True):
                style = {
                    "color": _colour(material, arm),
                    "lw": 2.4 if arm == main else 1.0,
                    "label": arm,
                }
                style |= {"elinewidth": 1.0, "ls": "" if _is_played_only(material, arm) else "-"}
                _draw_line(axis, lines, pick, interval=arm == main, **style)
                for per_seed in seeds:
                    _draw_seeds(axis, per_seed, pick, _colour(material, arm))
        for axis, (title, _) in zip(row, _CURVES, strict=True):
            axis.set(xlabel="iterations of training")
            _title(axis, part, title)
            axis.grid(alpha=0.3)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    figure.suptitle(
        f"Before, during and after training; {main}: every seed, and all with 95% intervals "
        "over tasks"
    )
    return _saved(figure, path)


def _is_played_only(material: Material, arm: str) -> bool:
    """True for an arm that was not trained but plays with another one's adapters: no line leads to
    it.
    """
    return material.experiment.arms[arm].of is not None


def _curve(part: Part, arm: str, versions: list[int]) -> dict[int, Figures]:
    """Figures by version, the untrained team being version 0."""
    start = part.played.get((UNTRAINED, 0))
    curve = {0: figures(part, start)} if start else {}
    return curve | {version: figures(part, part.played[arm, version]) for version in versions}


def _seed_curves(part: Part, arm: str, versions: list[int]) -> dict[int, dict[int, Figures]]:
    found: dict[int, dict[int, Figures]] = {}
    for version in versions:
        for seed, one in by_seed(part, part.played[arm, version]).items():
            found.setdefault(seed, {})[version] = one
    start = part.played.get((UNTRAINED, 0))
    return {
        seed: ({0: figures(part, start)} if start else {}) | curve for seed, curve in found.items()
    }


def _draw_line(
    axis: Any, curve: dict[int, Figures], pick: Pick, *, interval: bool, **style: Any
) -> None:
    points = [
        (version, e)
        for version, one in curve.items()
        if (e := pick(one)) is not None and e.mean is not None
    ]
    if not points:
        return
    means = [e.mean for _, e in points]
    bars = [_reach(e) for _, e in points] if interval else [(0.0, 0.0)] * len(points)
    axis.errorbar(
        [v for v, _ in points],
        means,
        yerr=list(zip(*bars, strict=True)),
        marker="o",
        ms=4,
        capsize=3,
        **style,
    )


def _draw_seeds(axis: Any, seeds: dict[int, dict[int, Figures]], pick: Pick, colour: str) -> None:
    for curve in seeds.values():
        points = [
            (version, e.mean) for version, one in curve.items() if (e := pick(one)) is not None
        ]
        axis.plot(
            [v for v, _ in points],
            [m for _, m in points],
            color=colour,
            lw=0.7,
            alpha=0.5,
            marker=".",
            ms=5,
        )


def _arms(material: Material, path: Path) -> Path:
    """A row a part, a line an arm: its last version over all seeds with its 95% interval, and each
    seed as a ring.
    """
    figure, axes = _grid(material, _ARMS, 0.8 + 0.32 * len(material.arms))
    for row, part in zip(axes, material.parts, strict=True):
        arms = [arm for arm in material.arms if part.final(arm)]
        for axis, (title, pick) in zip(row, _ARMS, strict=True):
            for place, arm in enumerate(arms):
                _draw_arm(axis, part, arm, pick, place, _colour(material, arm))
            axis.set_yticks(
                range(len(arms)), [f"{arm} v{part.versions(arm)[-1]}" for arm in arms], fontsize=8
            )
            _title(axis, part, title)
            axis.invert_yaxis()
            axis.axvline(0.0, color="black", lw=0.8)
            axis.grid(alpha=0.3, axis="x")
        if part.headroom:
            rooms = list(part.headroom.values())
            best = clustered_mean(
                [room.best_gain for room in rooms], [room.task for room in rooms]
            ).mean
            row[0].axvline(best, color="grey", lw=1.2, ls="--", label="best single step")
            row[0].legend(fontsize=7)
    figure.suptitle(
        "Teams after training, with the version that played; bars: 95% intervals over tasks; "
        "rings: each training seed"
    )
    return _saved(figure, path)


def _draw_arm(axis: Any, part: Part, arm: str, pick: Pick, place: int, colour: str) -> None:
    e = pick(figures(part, part.final(arm)))
    if e is None or e.mean is None:
        return
    below, above = _reach(e)
    axis.errorbar([e.mean], [place], xerr=[[below], [above]], fmt="o", color=colour, capsize=3)
    for one in by_seed(part, part.final(arm)).values():
        own = pick(one)
        if own is not None and own.mean is not None:
            axis.plot([own.mean], [place + 0.22], marker="o", mfc="none", mec=colour, ms=4)


def _stops(material: Material, path: Path) -> Path:
    """Steps of an episode and share of episodes ended by `finish`, with headroom and without."""
    from matplotlib import pyplot

    parts = [part for part in material.parts if part.headroom]
    shape = {"figsize": (15, 3.4 * len(parts)), "squeeze": False, "constrained_layout": True}
    figure, axes = pyplot.subplots(len(parts), 4, **shape)
    for row, part in zip(axes, parts, strict=True):
        arms = [arm for arm in material.arms if part.final(arm)]
        found = {arm: splits for arm in arms if (splits := figures(part, part.final(arm)).splits)}
        arms = list(found)
        panels = [
            (how, what) for how in ("headroom", "confirmed") for what in ("steps", "finished")
        ]
        for axis, (how, what) in zip(row, panels, strict=True):
            for offset, side, colour in ((-0.18, "with", "#66a182"), (0.18, "without", "#d1495b")):
                estimates = [getattr(found[arm][how], f"{what}_{side}") for arm in arms]
                _bars(axis, estimates, offset, color=colour, label=side)
            title = {"steps": "steps an episode", "finished": "episodes ended by finish"}[what]
            _title(axis, part, f"{title}; headroom {_MEANS[how]}")
            axis.set_xticks(range(len(arms)), arms, rotation=30, ha="right", fontsize=7)
    axes[0][0].legend(title="headroom", fontsize=7)
    figure.suptitle("Where teams stop: tasks with a single step to gain, and without")
    return _saved(figure, path)


def _bars(axis: Any, estimates: Sequence[Estimate], offset: float, **style: Any) -> None:
    known = [(i, e) for i, e in enumerate(estimates) if e.mean is not None]
    if not known:
        return
    places, means = [i + offset for i, _ in known], [e.mean for _, e in known]
    reach = list(zip(*(_reach(e) for _, e in known), strict=True))
    axis.bar(places, means, 0.34, **style)
    axis.errorbar(places, means, yerr=reach, fmt="none", ecolor="black", capsize=2)


def _title(axis: Any, part: Part, text: str) -> None:
    axis.set_title(f"{part.name}: {text}", fontsize=8)


def _grid(
    material: Material, panels: tuple[tuple[str, Pick], ...], height: float
) -> tuple[Any, Any]:
    from matplotlib import pyplot

    rows = len(material.parts)
    shape = {
        "figsize": (4.0 * len(panels), height * rows + 0.6),
        "squeeze": False,
        "constrained_layout": True,
    }
    return pyplot.subplots(rows, len(panels), **shape)


def _saved(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _colour(material: Material, arm: str) -> str:
    return (
        "black"
        if arm == UNTRAINED
        else _COLOURS[list(material.experiment.arms).index(arm) % len(_COLOURS)]
    )


def _reach(e: Estimate) -> tuple[float, float]:
    """How far the interval reaches below and above the mean; 0 where there is none."""
    if e.mean is None or e.low is None or e.high is None:
        return 0.0, 0.0
    return max(0.0, e.mean - e.low), max(0.0, e.high - e.mean)
