"""Tables of several clips, read back by pandas."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.recognise import RecognisedElement
from skelact.pipeline.export import xlsx_tables
from skelact.pipeline.export.run import ExportOptions, export_skeletons
from skelact.pipeline.export.sources import find_skeletons
from skelact.pipeline.export.tables import TABLES
from skelact.pipeline.inference.results import ActionPrediction
from skelact.pipeline.inference.segments import Segment
from skelact.pipeline.inference.tables import angle_table, keypoint_table
from skelact.pose_extract.store.npz import save_sequence

pandas = pytest.importorskip("pandas", reason="needs pandas (pip install 'skelact[pandas]')")

READERS = {
    "csv": lambda folder, name: pandas.read_csv(folder / f"{name}.csv"),
    "xlsx": lambda folder, name: pandas.read_excel(folder / "skeletons.xlsx", sheet_name=name),
    "parquet": lambda folder, name: pandas.read_parquet(folder / f"{name}.parquet"),
}
NEEDS = {"csv": "csv", "xlsx": "openpyxl", "parquet": "pyarrow"}
FORMATS = [pytest.param(name, id=name) for name in READERS]
ALL = tuple(TABLES)


def clip(name, num_person=2, num_frames=3):
    sequence = make_sequence(num_person, num_frames, video_id=name, fps=Fraction(25))
    if num_person:
        sequence.keypoint_scores[-1, -1, 4:] = 0
    return sequence


@pytest.fixture
def folder(tmp_path):
    """Two clips, one of them without people, and one that is broken."""
    root = tmp_path / "skeletons"
    for sequence in (clip("a.mp4"), clip("deep/b.mp4", 0)):
        save_sequence(root / f"{sequence.video_id}.npz", sequence, {})
    (root / "broken.mp4.npz").write_bytes(b"no")
    return root


class Labeller:
    """Sees a dive of person 1 and a squat in clips with people, and keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def predict_sequence(self, sequence):
        self.shown.append(sequence.video_id)
        if sequence.num_person == 0:
            return ActionPrediction(sequence.video_id, None, None, (), (), "net", "no person")
        dive = RecognisedElement(0.04, 0.08, 1, Element.from_dive_number("205B"), 0.75)
        return ActionPrediction(
            sequence.video_id, "squat", 0.5, (), (), "net", elements=(dive,),
            segments=(Segment(0.0, 0.12, "squat", 0.5),),
        )  # fmt: skip


def run(folder, out, to, tables=("keypoints",), labeller=None):
    if to != "csv":
        pytest.importorskip(NEEDS[to], reason="needs skelact[export]")
    return export_skeletons(
        find_skeletons(folder), out, ExportOptions(to, tables), labeller=labeller
    )


def same(found, expected):
    """Compare a frame that was read with columns; text may be missing, numbers NaN."""
    assert list(found.columns) == list(expected)
    assert len(found) == len(expected["clip"])
    for name, values in expected.items():
        wanted = pandas.Series(values)
        assert found[name].isna().tolist() == wanted.isna().tolist(), name
        there = ~wanted.isna()
        if np.asarray(values).dtype.kind == "f":
            assert np.allclose(found[name][there], wanted[there].astype(float), atol=1e-6), name
        else:
            assert found[name][there].tolist() == wanted[there].tolist(), name


@pytest.mark.parametrize("to", FORMATS)
def test_pandas_reads_the_tables_back(folder, tmp_path, to):
    labeller = Labeller()
    summary = run(folder, tmp_path / "out", to, ALL, labeller)
    assert summary.num_clips == 2
    assert list(summary.failed) == ["broken.mp4"]
    assert summary.num_rows == {
        "keypoints": 2 * 3 * 17, "angles": 2 * 3 * 10, "elements": 1, "segments": 1,
    }  # fmt: skip
    assert labeller.shown == ["a.mp4", "deep/b.mp4"]
    same(READERS[to](tmp_path / "out", "keypoints"), keypoint_table(clip("a.mp4")))
    same(READERS[to](tmp_path / "out", "angles"), angle_table(clip("a.mp4")))
    elements = READERS[to](tmp_path / "out", "elements")
    assert elements.dropna(axis=1).to_dict("records") == [
        {
            "clip": "a.mp4", "start_seconds": 0.04, "end_seconds": 0.08, "person": 1,
            "kind": "dive",
            "label": "back, 2 1/2 somersaults, pike", "score": 0.75, "takeoff": "back",
            "half_somersaults": 5, "half_twists": 0, "position": "pike", "code": "205B",
            "diving48_class": "Back 25som NoTwis PIKE",
        }
    ]  # fmt: skip
    segments = READERS[to](tmp_path / "out", "segments")
    assert segments.to_dict("records") == [
        {"clip": "a.mp4", "start_seconds": 0.0, "end_seconds": 0.12, "label": "squat", "score": 0.5}
    ]


@pytest.mark.parametrize("to", FORMATS)
def test_clips_without_rows_leave_tables_with_their_columns(folder, tmp_path, to):
    (folder / "a.mp4.npz").unlink()
    run(folder, tmp_path / "out", to, ALL, Labeller())
    for name, columns in TABLES.items():
        table = READERS[to](tmp_path / "out", name)
        assert (list(table.columns), len(table)) == (list(columns), 0)


def test_parquet_has_the_types_of_the_columns(folder, tmp_path):
    run(folder, tmp_path, "parquet", ("keypoints", "elements"), Labeller())
    table = READERS["parquet"](tmp_path, "keypoints")
    assert table["person"].dtype == table["frame"].dtype == np.int64
    assert table["seconds"].dtype == np.float64
    assert table["x"].dtype == np.float32
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(tmp_path / "elements.parquet")
    assert str(schema.field("half_twists").type) == "int64"
    assert str(schema.field("code").type) == "string"


@pytest.mark.parametrize("to", FORMATS)
def test_odd_names_come_through(tmp_path, to):
    """Quotes, commas, letters of other scripts, and a byte that is no text."""
    names = ['a,"b".mp4', "it's.mp4", "空翻.mp4", os.fsdecode(b"sal\xffto.mp4")]
    for name in names:
        save_sequence(tmp_path / "in" / f"{name}.npz", clip(name, 1, 1), {})
    assert run(tmp_path / "in", tmp_path, to).failed == {}
    found = READERS[to](tmp_path, "keypoints")["clip"].unique().tolist()
    escaped = {"xlsx": "sal\\xffto.mp4"}.get(to, "sal\\udcffto.mp4")
    assert sorted(found) == sorted([*names[:3], escaped])


FORMULAS = ["=1+1.mp4", "+1.mp4", "-1.mp4", "@sum.mp4", "\t=1.mp4"]


def with_formulas(tmp_path, to):
    """Export clips with such names, and joints left of the image; return the folder."""
    for name in FORMULAS:
        sequence = clip(name, 1, 1)
        sequence.keypoints[..., 0] = -2.5
        save_sequence(tmp_path / "in" / f"{name}.npz", sequence, {})
    assert run(tmp_path / "in", tmp_path, to).failed == {}


def test_text_in_csv_is_no_formula_and_numbers_stay_numbers(tmp_path):
    with_formulas(tmp_path, "csv")
    found = READERS["csv"](tmp_path, "keypoints")
    assert sorted(found["clip"].unique()) == sorted(f"'{name}" for name in FORMULAS)
    assert found["x"].dropna().unique().tolist() == [-2.5]


def test_text_in_xlsx_is_no_formula_and_numbers_stay_numbers(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    with_formulas(tmp_path, "xlsx")
    _, *rows = openpyxl.load_workbook(tmp_path / "skeletons.xlsx")["keypoints"].iter_rows()
    assert {row[0].value for row in rows} == {*FORMULAS[:4], r"\x09=1.mp4"}
    plain = [row[0] for row in rows if not row[0].value.startswith("\\")]
    assert {(cell.data_type, cell.quotePrefix) for cell in plain} == {("s", True)}
    assert {(row[5].data_type, row[5].value) for row in rows if row[7].value} == {("n", -2.5)}


def test_rows_that_do_not_fit_a_sheet_go_on_in_the_next(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(xlsx_tables, "MAX_ROWS", 51)
    run(folder, tmp_path, "xlsx")
    sheets = pandas.read_excel(tmp_path / "skeletons.xlsx", sheet_name=None)
    assert [(name, len(sheet)) for name, sheet in sheets.items()] == [
        ("keypoints", 50), ("keypoints 2", 50), ("keypoints 3", 2)
    ]  # fmt: skip
    joined = pandas.concat(sheets.values(), ignore_index=True)
    same(joined, keypoint_table(clip("a.mp4")))


@pytest.mark.parametrize("to", FORMATS)
def test_a_table_is_whole_or_what_it_was(folder, tmp_path, to):
    def stop(_):
        raise KeyboardInterrupt

    for name in ("keypoints.csv", "skeletons.xlsx", "keypoints.parquet"):
        (tmp_path / name).write_text("kept")
    with pytest.raises(KeyboardInterrupt):
        export_skeletons(find_skeletons(folder), tmp_path, ExportOptions(to), on_clip=stop)
    assert {path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {"kept"}
    assert len(list(tmp_path.iterdir())) == 4


def test_a_file_may_be_named(folder, tmp_path):
    run(folder, tmp_path / "mine.CSV", "csv")
    run(folder, tmp_path / "mine.xlsx", "xlsx", ("keypoints", "angles"))
    assert (tmp_path / "mine.CSV").is_file()
    assert (tmp_path / "mine.xlsx").is_file()
    with pytest.raises(SkelactError, match="expected a folder for 2 tables"):
        run(folder, tmp_path / "mine.csv", "csv", ("keypoints", "angles"))


@pytest.mark.parametrize(("to", "package"), [("xlsx", "openpyxl"), ("parquet", "pyarrow")])
def test_a_missing_package_is_named_before_the_work(folder, tmp_path, monkeypatch, to, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SkelactError, match=rf"{to} needs {package}.*skelact\[export\]"):
        export_skeletons(find_skeletons(folder), tmp_path / "out", ExportOptions(to))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "pdf"}, "expected one of csv, xlsx"),
        ({"to": "csv", "tables": ("joints",)}, "expected some of keypoints.*'joints'"),
        ({"to": "csv", "tables": ()}, "one at least"),
        ({"to": "csv", "tables": ("angles", "angles")}, "at most once"),
        ({"to": "trc", "tables": ("angles",)}, "trc holds keypoints alone"),
        ({"to": "csv", "metres_per_pixel": 0.01}, "trc and c3d may be in metres, csv not"),
        ({"to": "trc", "metres_per_pixel": 0.0}, "expected a number above 0"),
        ({"to": "c3d", "metres_per_pixel": float("nan")}, "expected a number above 0"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=said):
        ExportOptions(**options)


def test_the_clip_is_what_its_place_says(tmp_path):
    """What an entry says of itself may lead anywhere."""
    save_sequence(tmp_path / "a.mp4.npz", replace(clip("a.mp4"), video_id="../../x"), {})
    run(tmp_path / "a.mp4.npz", tmp_path, "csv")
    assert set(READERS["csv"](tmp_path, "keypoints")["clip"]) == {"a.mp4"}
