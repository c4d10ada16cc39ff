"""The tables and plots of docs/ablations.md, made from the runs' results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

from ablation_arms import DRAWS, FRACTIONS, SHARES, WORSE, Arm, Run, arms
from paired import corrected, paired

# What stands above this line of docs/ablations.md is written by hand.
_MARK = "<!-- From here on made by benchmarks/ablations.py. -->"


def collect(known: dict[str, dict], data: str, arm: Arm, field: str) -> dict[int, float]:
    """Return a figure of an arm by draw; nothing until three draws are done."""
    out = {}
    for seed in DRAWS:
        result = known.get(Run(data, arm, seed).key)
        if result is not None and field in result:
            out[seed] = result[field]
    return out if len(out) >= 3 else {}


def spread(values: dict[int, float]) -> str:
    """Return mean and standard deviation, and the number of draws."""
    if not values:
        return ""
    around = f" ± {stdev(values.values()):.2f}" if len(values) > 1 else ""
    return f"{mean(values.values()):.2f}{around} ({len(values)})"


def difference(one: dict[int, float], two: dict[int, float]) -> str:
    """Return the mean of two - one over the draws they share, with its 95 % interval."""
    found = paired(one, two)
    return found.text() if found else ""


TITLES = {"penn": "Penn Action, dev_val (253 clips)", "diving": "Simulated dives, val (960 clips)"}


def render(known: dict[str, dict], page: str) -> str:
    """Return the page with its tables made anew."""
    parts = [page.partition(_MARK)[0].rstrip(), _MARK]
    parts.append("![Top-1 against the share of labels](ablations.png)")
    for data, title in TITLES.items():
        tables = list(_tables(known, data))
        if tables:
            parts += [f"## {title}", *tables]
    return "\n\n".join(parts) + "\n"


def _tables(known: dict[str, dict], data: str) -> Iterator[str]:
    labels = list(_label_rows(known, data))
    if labels:
        yield "### Shares of the labels\n\n" + markdown_table(
            ("network", "labels", "random weights", "pre-trained", "gain"), labels
        )
    rows = list(_peer_rows(known, data))
    if rows:
        head = "labels", "stgcn", "tube, random weights", "lead", "tube, pre-trained", "lead"
        yield "### Ours against ST-GCN++\n\n" + markdown_table(head, rows)
    worse = list(_worse_rows(known, data))
    if worse:
        yield "### Under worse skeletons, trained on clean ones\n\n" + markdown_table(
            ("network", "labels", "start", *WORSE), worse
        )
    probes = list(_probe_rows(known, data))
    if probes:
        yield "### Features before fine-tuning, all labels\n\n" + markdown_table(
            ("network", "classifier", "random weights", "pre-trained", "gain"), probes
        )
    studies = defaultdict(list)
    for arm in arms():
        if not arm.study.startswith(("labels", "features")):
            studies[arm.study].append(arm)
    for study, rows in studies.items():
        table = _study_table(known, data, rows)
        if table:
            share = f"{rows[0].fraction:.0%} of the labels"
            title = study[0].upper() + study[1:]
            if study.startswith("transfer"):
                title = f"Transfer, {share}"
            yield f"### {title}\n\n" + table


def _study_table(known: dict[str, dict], data: str, rows: Sequence[Arm]) -> str:
    """Return the table of a study; nothing until two of its rows are done, one of them the first.

    Where what is compared is the pre-training, its features' linear probe stands beside.
    """
    fields = ["top1"]
    if sum(Run(data, arm, 0).is_probed for arm in rows) > 1:
        fields.append("linear_probe")
    values = {name: [collect(known, data, arm, name) for arm in rows] for name in fields}
    if sum(map(bool, values["top1"])) < 2 or not values["top1"][0]:
        return ""
    lines = []
    for i, arm in enumerate(rows):
        if values["top1"][i]:
            cells = [
                text
                for name in fields
                for text in (
                    spread(values[name][i]),
                    difference(values[name][0], values[name][i]) if i else "",
                )
            ]
            lines.append((arm.name, *cells))
    head = [f"{rows[0].model}, {rows[0].fraction:.0%} of the labels", "top-1", "gain"]
    if len(fields) > 1:
        head += ["linear probe", "gain"]
    return markdown_table(tuple(head), lines)


def _label_rows(known: dict[str, dict], data: str) -> Iterator[tuple[str, ...]]:
    for model in SHARES:
        for share in SHARES[model]:
            rows = {arm.name: arm for arm in arms() if arm.study == f"labels {model} {share:g}"}
            found = {name: collect(known, data, arm, "top1") for name, arm in rows.items()}
            random, trained = found["random weights"], found.get("pre-trained", {})
            if random or trained:
                gain = difference(random, trained)
                yield model, f"{share:.0%}", spread(random), spread(trained), gain


def _peer_rows(known: dict[str, dict], data: str) -> Iterator[tuple[str, ...]]:
    for share in SHARES["stgcn"]:
        found = [
            collect(known, data, arm, "top1")
            for model in ("stgcn", "tube")
            for arm in arms()
            if arm.study == f"labels {model} {share:g}"
        ]
        if all(found):
            theirs, *ours = found
            leads = [text for one in ours for text in (spread(one), difference(theirs, one))]
            yield f"{share:.0%}", spread(theirs), *leads


def _probe_rows(known: dict[str, dict], data: str) -> Iterator[tuple[str, ...]]:
    random = {arm.model: arm for arm in arms() if arm.study == "features"}
    for model in ("ssl", "tube"):
        for field, name in (("linear_probe", "linear probe"), ("knn", "nearest neighbour")):
            trained: dict[int, float] = {}
            for share in FRACTIONS:  # they share their pre-training
                arm = Arm(f"labels {model} {share:g}", "pre-trained", model, fraction=share)
                trained |= collect(known, data, arm, field)
            start = collect(known, data, random[model], field)
            if trained:
                yield model, name, spread(start), spread(trained), difference(start, trained)


def _worse_rows(known: dict[str, dict], data: str) -> Iterator[tuple[str, ...]]:
    for arm in arms():
        if arm.study.startswith(("labels", "tube,")) and (
            arm.study.startswith("labels") or arm.finetune
        ):
            found = {
                seed: known[key]["worse"]
                for seed in DRAWS
                if "worse" in known.get(key := Run(data, arm, seed).key, {})
            }
            if len(found) >= 3:
                cells = [spread({seed: found[seed][name] for seed in found}) for name in WORSE]
                name = arm.name
                if not arm.study.startswith("labels"):
                    name = f"pre-trained, trained with {name.removeprefix('with ')}"
                yield arm.model, f"{arm.fraction:.0%}", name, *cells


def markdown_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table with its comparisons corrected; see ``paired.corrected``."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return corrected("\n".join(lines))


def plot(known: dict[str, dict], path: Path) -> None:
    """Draw top-1 against the share of the labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(TITLES), figsize=(10, 3.6), sharey=True)
    styles = {
        ("ssl", "random weights"): ("#0072b2", "--"), ("ssl", "pre-trained"): ("#0072b2", "-"),
        ("tube", "random weights"): ("#d55e00", "--"), ("tube", "pre-trained"): ("#d55e00", "-"),
        ("stgcn", "random weights"): ("#555555", "--"),
    }  # fmt: skip
    for axis, (data, title) in zip(axes, TITLES.items()):
        for (model, name), (color, line) in styles.items():
            points = []
            for share in FRACTIONS:
                settings = None if name == "random weights" else ()
                arm = Arm(f"labels {model} {share:g}", name, model, settings, fraction=share)
                values = list(collect(known, data, arm, "top1").values())
                if values:
                    points.append((100 * share, mean(values), stdev(values)))
            if points:
                x, y, error = zip(*points)
                axis.errorbar(x, y, error, color=color, ls=line, marker="o", ms=4, capsize=3,
                              label=f"{model}, {name}")  # fmt: skip
        axis.set(xscale="log", xlabel="labels, per cent", title=title)
        axis.set_xticks([100 * share for share in FRACTIONS])
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("top-1, per cent")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
