"""Clips of other actions: which measure tells them from a classifier's own, and its calibration.

Known are Penn Action's dev_val, which the classifier must not have been trained on: clips of even
number set what a measure needs, the odd ones are reported. Unknown are JHMDB's classes without golf
and pull-up; in alphabetical order every other one sets (catch, jump, pour, run, stand, walk), the
rest and the clips of UCF101 are reported. Intervals are bootstraps over clips, 95 %.

    python benchmarks/unknown.py setting work_dirs/others.pkl
    skelact pretrain penn_action_video --work-dir work_dirs/copy_pretrain
    skelact finetune penn_action_video --pretrained work_dirs/copy_pretrain --half \\
        --set 'data.val_split=""' --work-dir work_dirs/copy
    skelact gate work_dirs/copy --unknown work_dirs/others.pkl --half --work-dir work_dirs/gate
    skelact extract ucf101.csv --effort fast --out work_dirs/ucf101 \\
        --annotations work_dirs/ucf101.pkl
    python benchmarks/unknown.py report work_dirs/gate --clips work_dirs/ucf101.pkl \\
        --out docs/unknown.png

``ucf101.csv`` (columns path and label) lists the first five clips by name of Archery, BabyCrawling,
BandMarching, Basketball, BasketballDunk and BaseballPitch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click
import numpy as np
import torch
from png_option import PngPath
from unknown_clips import Clips, Sets, joined, load_sets, write_setting
from unknown_measures import MEASURES, measured

from skelact.pipeline.checkpoints.gate import Gate, tempered
from skelact.pipeline.training.gate import KNOWN_ACCEPTED, fit_temperature

_RESAMPLES = 1000
_BINS = 15  # as in Guo et al. 2017


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return the chance that an unknown clip has a higher value than a known one."""
    order = np.sort(known)
    below, upto = (np.searchsorted(order, unknown, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(known))


def accepted(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return the share of unknown clips accepted where 95 % of the known ones are."""
    return float((unknown <= np.quantile(known, KNOWN_ACCEPTED)).mean())


def interval(figure: Callable[..., float], *values: np.ndarray) -> str:
    """Return a figure in per cent with its bootstrap over the clips of each array."""
    rng = np.random.default_rng(0)
    draws = [
        figure(*(array[rng.integers(0, len(array), len(array))] for array in values))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{100 * figure(*values):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al. 2017, equation 3) with 15 equal bins."""
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, confidence - hit, _BINS)
    return float(np.abs(gaps).sum() / len(labels))


def print_measures(sets: Sets) -> None:
    """Print how well each measure tells unknown clips, and what it accepts at 95 % of the known."""
    click.echo("| measure | AUROC | unknown accepted | of the setting classes |\n|---|---|---|---|")
    for name, functions in MEASURES.items():
        value = measured(sets, functions)
        known, unknown = value(sets.reporting), value(sets.of_unknown(False))
        setting = accepted(value(sets.setting), value(sets.of_unknown(True)))
        click.echo(
            f"| {name} | {interval(auroc, known, unknown)} | "
            f"{interval(accepted, known, unknown)} | {100 * setting:.1f} |"
        )


def print_gate(sets: Sets, gate: Gate) -> None:
    """Print what the checkpoint's own gate accepts, with the threshold and measure that ship."""

    def share(clips: Clips) -> str:
        return interval(lambda x: float((x <= gate.novelty_thr).mean()), clips.novelty)

    click.echo(f"\nthreshold {gate.novelty_thr:.3f}, temperature {gate.temperature:.3f}")
    click.echo("\n| clips | number | accepted |\n|---|---|---|")
    rows: dict[str, Clips] = {"dev_val": joined([sets.setting, sets.reporting])}
    rows |= {f"dev_val, {name}": clips for name, clips in sets.worse.items()}
    rows |= {f"known: {name}": clips for name, clips in sets.same.items()}
    rows["unknown, reported classes"] = sets.of_unknown(False)
    rows |= {f"unknown: {name}": clips for name, (clips, is_set) in sets.unknown.items()}
    rows |= {f"made: {name}": clips for name, clips in sets.made.items()}
    for name, clips in rows.items():
        click.echo(f"| {name} | {len(clips.labels)} | {share(clips)} |")


def print_calibration(sets: Sets, gate: Gate, out: Path | None) -> None:
    """Print calibration errors with each temperature, and plot how far confidence is right."""
    on_setting = fit_temperature(sets.setting.scores(), sets.setting.labels)
    all_worse = joined([sets.reporting, *sets.worse.values()])
    mixed = joined([all_worse, sets.of_unknown(False)])
    taken = mixed.novelty <= gate.novelty_thr
    groups = {
        "dev_val": (sets.reporting.scores(), sets.reporting.labels),
        "dev_val and degraded": (all_worse.scores(), all_worse.labels),
        "both and unknown, where accepted": (mixed.scores()[taken], mixed.labels[taken]),
    }
    click.echo(
        "\n| clips | accuracy | not calibrated | temperature of the gate | of the setting half |"
    )
    click.echo("|---|---|---|---|---|")
    for name, (scores, labels) in groups.items():
        accuracy = 100 * (scores.argmax(axis=1) == labels).mean()
        errors = [
            calibration_error(tempered(scores, temperature), labels)
            for temperature in (1.0, gate.temperature, on_setting)
        ]
        click.echo(f"| {name} | {accuracy:.1f} | " + " | ".join(f"{e:.3f}" for e in errors) + " |")
    click.echo(f"\ntemperature of the setting half {on_setting:.3f}")
    if out is not None:
        _plot(groups, {"none": 1.0, "gate's": gate.temperature, "held out": on_setting}, out)


def _plot(
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]],
    temperatures: Mapping[str, float],
    out: Path,
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(groups), figsize=(4 * len(groups), 4), sharey=True)
    for axis, (name, (scores, labels)) in zip(axes, groups.items()):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for label, temperature in temperatures.items():
            found = tempered(scores, temperature)
            confidence, hit = found.max(axis=1), found.argmax(axis=1) == labels
            bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
            count = np.bincount(bins, minlength=_BINS)
            some = count > 0
            x, y = (np.bincount(bins, v, _BINS)[some] / count[some] for v in (confidence, hit))
            error = calibration_error(found, labels)
            line = axis.plot(x, y, linewidth=1, label=f"{label} {temperature:.2f}: {error:.3f}")[0]
            axis.scatter(
                x, y, s=4 + 60 * np.sqrt(count[some] / len(labels)), color=line.get_color()
            )
        axis.set(xlabel="probability of the label")
        axis.set_title(f"{name} ({len(labels)})", fontsize=10)
        axis.legend(loc="upper left", fontsize=8, title="temperature: calibration error")
    axes[0].set_ylabel("share of right labels")
    figure.tight_layout()
    figure.savefig(out, dpi=100)


_CLIPS = click.option(
    "--clips", type=click.Path(exists=True, path_type=Path), help="Of UCF101, extracted."
)


@click.group()
def main() -> None:
    """Clips of other actions."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
def setting(out: Path) -> None:
    """Write the unknown clips of the setting classes to the annotation file OUT."""
    click.echo(f"{write_setting(out)} clips")


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@_CLIPS
@click.option("--out", type=PngPath(), help="Plot of the calibration.")
@click.option(
    "--kept", type=click.Path(path_type=Path), default=Path("work_dirs/unknown"), show_default=True
)
def report(checkpoint: Path, clips: Path | None, out: Path | None, kept: Path) -> None:
    """Measure the gate of CHECKPOINT, and what else could be one."""
    torch.set_num_threads(1)
    sets, gate = load_sets(checkpoint, clips, kept)
    print_measures(sets)
    print_gate(sets, gate)
    print_calibration(sets, gate, out)


if __name__ == "__main__":
    main()
