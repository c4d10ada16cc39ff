"""``benchmarks/fuzz_files.py`` with few files of each kind: clear errors alone."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest


@pytest.fixture
def fuzz(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("fuzz_files")


@pytest.mark.slow
def test_bad_files_of_all_kinds_give_clear_errors(repository):
    command = [sys.executable, "benchmarks/fuzz_files.py", "--cache", "60", "--others", "12"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    counts = {kind: list(map(int, figures)) for kind, *figures in rows[2:]}
    assert len(counts) == 9
    for kind, (files, errors, loads, *wrong, _) in counts.items():
        assert files == errors + loads == (60 if kind == "cache entries" else 12)
        assert wrong == [0] * 4
    assert sum(errors for _, errors, *_ in counts.values()) > 100


def test_good_files_load_and_faults_of_readers_are_seen(fuzz, tmp_path, monkeypatch, capsys):
    kinds = fuzz.Kinds(tmp_path)
    kinds.make()
    for name in ("damaged_bytes", "damaged_archive", "damaged_onnx", "damaged_values"):
        monkeypatch.setattr(fuzz, name, lambda good, rng: good)
    monkeypatch.setattr(fuzz, "damaged_json", lambda good, rng: good.encode())
    monkeypatch.setattr(fuzz, "hostile_pickle", lambda values, mark, rng: pickle.dumps(values))
    for kind in kinds.readers:  # a few of them are hostile whatever the damage is
        assert "loads" in {kinds.read(kind, number) for number in range(6)}, kind

    def fails(rng):
        raise KeyError("a")

    kinds.readers["cache entries"] = fails
    assert kinds.read("cache entries", 0) == "other exceptions"
    assert "KeyError" in capsys.readouterr().err
    kinds.readers["cache entries"] = lambda rng: kinds.mark.touch()
    assert kinds.read("cache entries", 0) == "executed"
    kinds.mark.unlink()
    monkeypatch.setattr(fuzz, "_SECONDS_PER_FILE", 1)
    kinds.readers["cache entries"] = lambda rng: [None for _ in iter(int, 1)]
    assert kinds.read("cache entries", 0) == "hangs"


def test_a_reader_that_dies_costs_one_file(fuzz, tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    kind, number = json.loads(line)\n"
        "    if number == 1:\n"
        "        os.abort()\n"
        "    print(json.dumps(['loads', number]), flush=True)\n"
    )
    monkeypatch.setattr(fuzz, "__file__", str(worker))
    results = list(fuzz.read_all(tmp_path, [("a", 0), ("a", 1), ("b", 2)]))
    assert results == [("a", "loads", 0), ("a", "dies", 0), ("b", "loads", 2)]
