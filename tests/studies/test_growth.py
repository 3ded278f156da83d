from __future__ import annotations

import growth


def test_points_tell_what_was_written_after_so_many_episodes(tmp_path):
    points: list[growth.Point] = []
    growth.measure(3, tmp_path, (2, 3), points.append)
    assert [one.episodes for one in points] == [2, 3]
    last = points[-1]
    written = sum(path.stat().st_size for path in tmp_path.glob("part-*.parquet"))
    assert last.part_bytes == written and last.rows >= 3 * 2
    assert last.summary_bytes == (tmp_path / "episodes.jsonl").stat().st_size
    assert last.cpu_s > 0 and last.resident_mib > 50
