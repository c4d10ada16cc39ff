"""Write what real dives are like into ``pipeline/elements/dive_priors.json``: numbers alone.

    python benchmarks/dive_priors.py [--labels ../shared/data/labels]

From the labels of FineDiving (Xu et al., CVPR 2022) and MTL-AQA (Parmar and Morris, CVPR 2019):
how often each dive number occurs, and percentiles of the frames before, in and after the flight.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click
import numpy as np

_TARGET = Path(__file__).resolve().parent.parent / "pipeline" / "elements" / "dive_priors.json"


@click.command()
@click.option(
    "--labels", type=click.Path(exists=True, path_type=Path), default="../shared/data/labels"
)
def main(labels: Path) -> None:
    """Derive the priors."""
    fine = json.loads((labels / "finediving_dives.json").read_text())["dives"]
    mtl = json.loads((labels / "mtl_aqa_dives.json").read_text())["dives"]
    counts = Counter(dive["dive_number"] for dive in (*fine, *mtl))
    steps = {
        "before": [dive["step_starts"][0] for dive in fine],
        "flight": [dive["step_starts"][-1] - dive["step_starts"][0] for dive in fine],
        "after": [dive["num_frames"] - dive["step_starts"][-1] for dive in fine],
    }
    shares = (5, 25, 50, 75, 95)
    found = {
        "dives": dict(sorted(counts.items())),
        "frames": {name: np.percentile(v, shares).tolist() for name, v in steps.items()},
        "percentiles": list(shares),
    }
    _TARGET.write_text(json.dumps(found, indent=1) + "\n")
    click.echo(f"{_TARGET.name}: {sum(counts.values())} dives of {len(counts)} numbers")


if __name__ == "__main__":
    main()
