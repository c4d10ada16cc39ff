"""Run the ablations of the learning stack and write the tables of docs/ablations.md.

    python benchmarks/ablations.py run --data penn --data diving     # resumes; several may run
    python benchmarks/ablations.py page                              # tables and plots

Each run is one fine-tuning with one draw of the labels; arms share the draws. What it needs
pre-trained is pre-trained once, and its features are probed. A run that has its result is not
repeated, and a killed one goes on. Several processes may work on one folder, run by run.
The figures are kept in docs/ablations.json, from which the page is made.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import click
from ablation_arms import DATA, DIVING_CLIPS, DRAWS, WORSE, Run, all_runs, arms
from ablation_tables import plot, render

from skelact.pipeline.checkpoints.checkpoint import load_meta
from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config
from skelact.pipeline.data.annotations import annotation_path
from skelact.pipeline.evaluation.evaluate import evaluate_checkpoint
from skelact.pipeline.evaluation.probe import probe
from skelact.pipeline.synth.dataset import write_diving
from skelact.pipeline.synth.pairs import write_pairs
from skelact.pipeline.training.resume import STATE_NAME
from skelact.pipeline.training.train import finetune, pretrain
from skelact.pose_extract.common.files import atomic_write

# Simulated clips, about as many as Penn Action has.
_PAIRS = 1024
_DOCS = Path(__file__).resolve().parent.parent / "docs"


def published() -> dict[str, dict]:
    """Return the results that docs/ablations.json keeps, by key."""
    store = _DOCS / "ablations.json"
    results = json.loads(store.read_text(encoding="utf-8")) if store.exists() else []
    return {result["key"]: result for result in results}


class Bench:
    """Runs arms in a folder.

    Args:
        folder: Where networks and results lie.
        device: Where to train.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self.device = device
        self.published = published()
        (folder / "results").mkdir(parents=True, exist_ok=True)
        (folder / "locks").mkdir(exist_ok=True)

    def ann_file(self, data: str) -> list[str]:
        """Return the setting that names a data set's file; simulated dives are made once."""
        if data != "diving":
            return []
        path = self.folder / "diving_synth.pkl"
        if not path.exists():
            write_diving(path, DIVING_CLIPS)
        return [f"data.ann_file={json.dumps(str(path))}"]

    def pairs(self) -> list[str]:
        """Return the setting that names simulated clips to pre-train with; they are made once."""
        path = self.folder / "pairs.npz"
        if not path.exists():
            write_pairs(path, _PAIRS)
        return [f"simulated.file={json.dumps(str(path))}"]

    def result(self, run: Run) -> dict:
        """Return what is known of a run, here or on the page; nothing if it has not been done."""
        path = self.folder / "results" / f"{run.key}.json"
        if path.exists():
            return dict(json.loads(path.read_text(encoding="utf-8")))
        return dict(self.published.get(run.key, {}))

    def is_done(self, run: Run) -> bool:
        """Return whether all of a run's figures are known."""
        result = self.result(run)
        return bool(result) and (not run.is_probed or "linear_probe" in result)

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Take some work for this process; gives False where another process has it.

        The lock goes with the process that holds it, so a killed one leaves nothing behind.
        """
        path = self.folder / "locks" / name
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def pretrained(self, run: Run) -> Path | None:
        """Return the pre-trained network of a run, made if it is not there."""
        if run.arm.pretrain is None:
            return None
        folder = self.folder / "pretrained" / run.pretrain_key
        while not (folder / "skeleton_mae.json").exists():
            with self.claim(f"pretrain-{run.pretrain_key}") as mine:
                if mine:
                    self._pretrain(run, folder)
            time.sleep(0 if mine else 2)  # another process is at it
        return folder

    def _pretrain(self, run: Run, folder: Path) -> None:
        name, settings = run.pretrain_settings()
        files = [*self.ann_file(run.pretrain_data), *(self.pairs() if run.arm.simulated else [])]
        config = load_config(PretrainConfig, name, "pretrain", [*settings, *files])
        pretrain(
            config, folder, seed=run.pretrain_seed, device=self.device, quiet=True, resume=True
        )

    def run(self, run: Run) -> None:
        """Do what of a run has not been done, and keep its result."""
        result = self.result(run)
        if not result:
            result = {"data": run.data, "arm": asdict(run.arm), "seed": run.seed, "key": run.key}
            if run.arm.fraction > 0:
                result |= self._finetune(run)
        if run.is_probed and "linear_probe" not in result:
            pretrained = self.pretrained(run)
            assert pretrained is not None
            name, train_split, val_split = DATA[run.data]
            config = load_config(FinetuneConfig, name, "finetune", self.ann_file(run.data))
            found = probe(pretrained, Path(_file_of(config)), train_split, val_split)
            result |= {"linear_probe": found.linear, "knn": found.knn}
        with atomic_write(self.folder / "results" / f"{run.key}.json") as temporary:
            temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")

    def _finetune(self, run: Run) -> dict:
        """Return the figures of a fine-tuning."""
        start = time.time()
        pretrained = self.pretrained(run)
        name, settings = run.finetune_settings()
        config = load_config(
            FinetuneConfig, name, "finetune", [*settings, *self.ann_file(run.data)]
        )
        if run.arm.spread:
            config = replace(
                config, data=replace(config.data, spread_from=str(self.spread_from(run)))
            )
        # A killed run goes on from here; how often it is kept changes no figure, so no key either.
        every = max(1, config.optim.epochs // 8)
        config = replace(config, runtime=replace(config.runtime, save_every=every))
        folder = self.folder / "finetuned" / run.key
        info = finetune(
            config,
            folder,
            pretrained=pretrained,
            seed=run.seed,
            device=self.device,
            quiet=True,
            resume=True,
            gate=False,
        )
        figures = {
            "top1": load_meta(info).figures["top1"],
            "mean_class_accuracy": load_meta(info).figures["mean_class_accuracy"],
            "num_clips": load_meta(info).data["num_clips"],
            "seconds": round(time.time() - start),
        }
        if run.arm.study.startswith(("labels", "tube,")):
            figures["worse"] = self.under_worse_skeletons(run, config)
        (folder / STATE_NAME).unlink(missing_ok=True)
        return figures

    def spread_from(self, run: Run) -> Path | None:
        """Return the network in whose features a run's labels spread, trained if it is not."""
        first = run.spread_run
        if first is None:
            return self.pretrained(run)
        folder = self.folder / "finetuned" / first.key
        while not (folder / "classifier.json").exists():
            with self.claim(f"spread-{first.key}") as mine:
                if mine:
                    self._finetune(first)
            time.sleep(0 if mine else 2)  # another process is at it
        return folder

    def under_worse_skeletons(self, run: Run, config: FinetuneConfig) -> dict[str, float]:
        """Return the top-1 of a trained classifier with noise on the joints or lost frames."""
        folder, split = self.folder / "finetuned" / run.key, DATA[run.data][2]
        return {
            name: evaluate_checkpoint(
                folder,
                Path(_file_of(config)),
                split,
                device=self.device,
                joint_noise=noise,
                lost_frames=lost,
                seed=run.seed,
            ).top1
            for name, (noise, lost) in WORSE.items()
        }


def _file_of(config: FinetuneConfig) -> str:
    return str(annotation_path(config.data.ann_file))


@click.group()
def main() -> None:
    """Ablations of the learning stack."""


_FOLDER = click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("work_dirs/ablations"),
    show_default=True,
)


@main.command(name="run")
@click.option("--data", multiple=True, type=click.Choice(list(DATA)), default=list(DATA))
@click.option("--study", "studies", multiple=True, help="Tables whose name begins so [all].")
@click.option("--draw", "seeds", multiple=True, type=int, default=tuple(DRAWS), show_default=True)
@click.option("--device", default="auto", show_default=True)
@_FOLDER
def run_all(
    data: tuple[str, ...],
    studies: tuple[str, ...],
    seeds: tuple[int, ...],
    device: str,
    work_dir: Path,
) -> None:
    """Do the runs that have no result yet."""
    bench = Bench(work_dir, device)
    for run in all_runs(data, studies, seeds):
        with bench.claim(run.key) as mine:
            if not mine or bench.is_done(run):
                continue
            bench.run(run)
        click.echo(f"{run.data} | {run.arm.study} | {run.arm.name} | draw {run.seed}")


@main.command()
@_FOLDER
def page(work_dir: Path) -> None:
    """Add the results to docs/ablations.json and write the tables of docs/ablations.md from it."""
    known = published()
    for path in sorted((work_dir / "results").glob("*.json")):
        result = json.loads(path.read_text())
        known[result["key"]] = result
    # What was run with settings since changed is on no table.
    current = {Run(data, arm, seed).key for data in DATA for arm in arms() for seed in DRAWS}
    known = {key: result for key, result in known.items() if key in current}
    lines = ",\n".join(json.dumps(known[key]) for key in sorted(known))
    with atomic_write(_DOCS / "ablations.json") as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    written = (_DOCS / "ablations.md").read_text(encoding="utf-8")
    with atomic_write(_DOCS / "ablations.md") as temporary:
        temporary.write_text(render(known, written), encoding="utf-8")
    plot(known, _DOCS / "ablations.png")
    click.echo(f"{len(known)} runs")


if __name__ == "__main__":
    main()
