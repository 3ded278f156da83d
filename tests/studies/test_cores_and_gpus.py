from __future__ import annotations

import cores_and_gpus as study
import pytest
from cores_and_gpus import IMPLEMENTATIONS, PROPOSALS, STEPS, Machine, Measured

GROUP = PROPOSALS * IMPLEMENTATIONS
TOKENS = PROPOSALS * 10 + GROUP * 20
"""New tokens of a step."""
MEASURED = Measured([10], [20], [0.5], 0.5, 0.01)


def outcome(gpus: int, cores: int, processes: int, rate: float = 3000.0) -> study.Outcome:
    machine = Machine(gpus, cores, rate, processes)
    return study.Simulation(MEASURED, machine, replies=3000).run()


def test_with_one_core_the_evaluations_are_the_bottleneck_at_their_own_rate():
    found = outcome(1, 1, 100)
    assert found.bottleneck == "cores" and found.busy["cores"] > 0.95
    assert found.episodes_per_h == pytest.approx(3600 / (STEPS * GROUP * 0.5 * 0.5), rel=0.1)


def test_with_one_collecting_process_it_is_the_bottleneck_at_its_own_rate():
    found = outcome(8, 4096, 1)
    assert found.bottleneck == "collector"
    per_episode = STEPS * (PROPOSALS + GROUP) * 0.01
    assert found.episodes_per_h == pytest.approx(3600 / per_episode, rel=0.15)


def test_with_cores_and_processes_enough_the_gpu_is_the_bottleneck():
    found = outcome(1, 4096, 100, rate=500.0)
    assert found.bottleneck == "GPUs"
    assert found.episodes_per_h == pytest.approx(3600 * 500 / (STEPS * TOKENS), rel=0.25)


def test_where_nothing_is_busy_it_is_the_number_of_episodes_at_once():
    busy = {"GPUs": 0.4, "cores": 0.3, "collector": 0.2}
    assert study.Outcome(Machine(1, 1, 1.0, 1), 1.0, busy).bottleneck == "episodes at once"
    assert study.Outcome(Machine(1, 1, 1.0, 1), 1.0, busy | {"cores": 0.9}).bottleneck == "cores"


def test_the_cores_to_buy_are_the_seconds_of_one_to_those_of_the_other():
    assert study.cores_per_gpu(MEASURED, 3000.0) == pytest.approx(
        (GROUP * 0.5 * 0.5) / (TOKENS / 3000)
    )
    assert study.processes_per_gpu(MEASURED, 3000.0) == pytest.approx(
        (PROPOSALS + GROUP) * 0.01 / (TOKENS / 3000)
    )


def test_the_figure_and_the_file_are_written_from_stored_distributions(tmp_path, monkeypatch):
    import json
    from dataclasses import asdict

    monkeypatch.setattr(study, "GPUS", (1, 2, 3))
    monkeypatch.setattr(study, "CORES", (2, 8))
    monkeypatch.setattr(study, "SEQUENCES", 16)
    stored = tmp_path / "x.json"
    stored.write_text(json.dumps({"measured": asdict(MEASURED)}))
    study.main(["--tokens-per-s", "500", "1000", "--replies", "100", "--out", str(tmp_path / "x")])
    assert len(json.loads(stored.read_text())["outcomes"]) == 2 * 3 * 2 * 2
    assert (tmp_path / "x.png").stat().st_size > 5000
