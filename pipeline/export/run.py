"""Export skeletons: read clip by clip, write tables or files per clip, name what failed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ... import SkelactError
from .c3d_points import write_c3d
from .csv_tables import open_csv
from .dlc import write_dlc
from .motion import ClipFormat, Scale
from .openpose import write_openpose
from .parquet_tables import open_parquet
from .sources import CachedClip, Skeletons
from .tables import LABEL_TABLES, TABLES, Labeller, TableFormat, clip_tables
from .trc import write_trc
from .xlsx_tables import open_xlsx

__all__ = ["CLIP_FORMATS", "TABLE_FORMATS", "ExportOptions", "ExportSummary", "export_skeletons"]

TABLE_FORMATS: dict[str, TableFormat] = {
    "csv": open_csv,
    "xlsx": open_xlsx,
    "parquet": open_parquet,
}
CLIP_FORMATS: dict[str, ClipFormat] = {
    "dlc": write_dlc,
    "openpose": write_openpose,
    "trc": write_trc,
    "c3d": write_c3d,
}
# Formats that may be in metres.
_SCALED = ("trc", "c3d")
# Format: the module that writes it.
_NEEDS = {"xlsx": "openpyxl", "parquet": "pyarrow", "c3d": "c3d"}
_WORKBOOK = "skeletons.xlsx"
# No folder is meant by a name that ends so.
_SUFFIXES = (".csv", ".xlsx", ".parquet", ".json", ".trc", ".c3d", ".npz")


@dataclass(frozen=True)
class ExportOptions:
    """What is written.

    Attributes:
        to: Format: one of :data:`TABLE_FORMATS` or :data:`CLIP_FORMATS`.
        tables: Names of :data:`TABLES`; other formats than tables hold keypoints alone.
        metres_per_pixel: Unit of TRC and C3D files; None for pixels.
    """

    to: str
    tables: tuple[str, ...] = ("keypoints",)
    metres_per_pixel: float | None = None

    def __post_init__(self) -> None:
        formats = (*TABLE_FORMATS, *CLIP_FORMATS)
        if self.to not in formats:
            raise ValueError(f"to: expected one of {', '.join(formats)}, got {self.to!r}")
        if unknown := [name for name in self.tables if name not in TABLES]:
            raise ValueError(f"tables: expected some of {', '.join(TABLES)}, got {unknown[0]!r}")
        if not self.tables or len(set(self.tables)) != len(self.tables):
            raise ValueError(f"tables: expected each at most once, and one at least: {self.tables}")
        if self.to in CLIP_FORMATS and self.tables != ("keypoints",):
            raise ValueError(
                f"tables: {self.to} holds keypoints alone; the others go to "
                f"{', '.join(TABLE_FORMATS)}"
            )
        scale = self.metres_per_pixel
        if scale is not None and self.to not in _SCALED:
            raise ValueError(
                f"metres_per_pixel: {' and '.join(_SCALED)} may be in metres, {self.to} not"
            )
        if scale is not None and not 0 < scale < float("inf"):
            raise ValueError(f"metres_per_pixel: expected a number above 0, got {scale}")

    @property
    def needs_labels(self) -> bool:
        """Whether a classifier is needed."""
        return any(name in LABEL_TABLES for name in self.tables)

    def places(self, out: Path) -> dict[str, Path]:
        """Return where the tables go, by name; none for a format with files per clip.

        Args:
            out: A folder, or the file itself where there is one alone, by its suffix.

        Raises:
            SkelactError: if ``out`` is a file of the format and there are several, or one of
                another format.
        """
        suffix = "" if out.is_dir() else out.suffix.lower()
        is_file = self.to in TABLE_FORMATS and suffix == f".{self.to}"
        if suffix in _SUFFIXES and not is_file:
            raise SkelactError(f"{out}: expected a folder for {self.to}, got the name of a file")
        if self.to in CLIP_FORMATS:
            return {}
        if is_file:
            if self.to != "xlsx" and len(self.tables) > 1:
                raise SkelactError(
                    f"{out}: expected a folder for {len(self.tables)} tables, a file each"
                )
            return dict.fromkeys(self.tables, out)
        if self.to == "xlsx":
            return dict.fromkeys(self.tables, out / _WORKBOOK)
        return {name: out / f"{name}.{self.to}" for name in self.tables}


@dataclass
class ExportSummary:
    """What came of an export.

    Attributes:
        paths: Files and folders that were written, in order.
        num_rows: Rows of each table, by name; empty for a format with files per clip.
        num_clips: Clips that were read, those without people too.
        empty: Clips without people, for which the format has no file.
        failed: Clips that could not be read or written, with the reason.
    """

    paths: list[Path] = field(default_factory=list)
    num_rows: dict[str, int] = field(default_factory=dict)
    num_clips: int = 0
    empty: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def export_skeletons(
    skeletons: Skeletons,
    out: str | Path,
    options: ExportOptions,
    *,
    labeller: Labeller | None = None,
    on_clip: Callable[[CachedClip], None] | None = None,
) -> ExportSummary:
    """Write skeletons in another format; a clip that cannot be read or written stops no other.

    One clip is in memory at a time. Tables are whole or as they were before; so is each clip's
    file. Files of the same names are replaced.

    Args:
        skeletons: What :func:`~.sources.find_skeletons` found.
        out: A folder; for one table, or a workbook, also a file.
        options: What is written.
        labeller: Labels clips for the tables of elements and segments; None for the shipped
            classifier.
        on_clip: Called after each clip.

    Raises:
        SkelactError: if a package is missing, or ``out`` cannot be.
        OSError: if a table cannot be written.
    """
    require_packages(options)
    if labeller is None and options.needs_labels:
        from ..inference.predict import Predictor

        labeller = Predictor()
    if options.to in TABLE_FORMATS:
        return _export_tables(skeletons, Path(out), options, labeller, on_clip)
    return _export_clips(skeletons, Path(out), options, on_clip)


def require_packages(options: ExportOptions) -> None:
    """Check that what writes the format is installed.

    Raises:
        SkelactError: if it is not; the message has the command that installs it.
    """
    module = _NEEDS.get(options.to)
    if module is not None and importlib.util.find_spec(module) is None:
        raise SkelactError(
            f"{options.to} needs {module}, which is not installed: pip install 'skelact[export]'"
        )


def _export_tables(
    skeletons: Skeletons,
    out: Path,
    options: ExportOptions,
    labeller: Labeller | None,
    on_clip: Callable[[CachedClip], None] | None,
) -> ExportSummary:
    places = options.places(out)
    summary = ExportSummary(
        paths=list(dict.fromkeys(places.values())), num_rows=dict.fromkeys(places, 0)
    )
    with TABLE_FORMATS[options.to](places) as write:
        for clip in skeletons.clips:
            try:
                found = clip_tables(clip.load(), options.tables, labeller)
            except (SkelactError, OSError) as error:
                summary.failed[clip.name] = str(error)
            else:
                for name, columns in found.items():
                    write(name, columns)
                    summary.num_rows[name] += len(columns["clip"])
                summary.num_clips += 1
            if on_clip is not None:
                on_clip(clip)
    return summary


def _export_clips(
    skeletons: Skeletons,
    out: Path,
    options: ExportOptions,
    on_clip: Callable[[CachedClip], None] | None,
) -> ExportSummary:
    summary = ExportSummary()
    scale = Scale(options.metres_per_pixel)
    write = CLIP_FORMATS[options.to]
    for clip in skeletons.clips:
        try:
            paths = write(clip.load(), out, clip.name, scale)
        except (SkelactError, OSError) as error:
            summary.failed[clip.name] = str(error)
        else:
            summary.paths += paths
            summary.num_clips += 1
            if not paths:
                summary.empty.append(clip.name)
        if on_clip is not None:
            on_clip(clip)
    return summary
