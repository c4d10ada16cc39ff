"""Class labels by name: those of an annotation file and those of a classifier.

An annotation file numbers its classes as it likes; ``skelact extract`` numbers those that occur in
alphabetical order. Equal numbers mean equal classes only where the names agree.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ... import SkelactError
from ...pose_extract.common.plain import load_json, read_text
from ...pose_extract.common.text import one_line
from ..yaml_file import read_yaml
from .annotations import Annotation, AnnotationFile
from .record import shown, whole_number

# {name in the file: name in the classifier}, or the file's class names by class index.
LabelMap = Mapping[str, str] | Sequence[str]

_MAX_NAMES_SHOWN = 8


def match_labels(
    data: AnnotationFile,
    clips: Sequence[Annotation],
    class_names: Sequence[str],
    label_map: LabelMap | None = None,
    *,
    whose: str = "the checkpoint",
    advice: str = "name each with --label-map, or take a checkpoint of this data set",
) -> tuple[list[Annotation], str]:
    """Return clips with their labels as indices of ``class_names``, matched by name.

    Classes of the file that none of the clips has are not looked at. Where the file or the
    classifier has no names, class indices are taken as they are if the number of classes agrees.

    Args:
        data: The annotation file that the clips are from.
        clips: Clips of it.
        class_names: Names of the classifier's classes, in order; numbers where it has none.
        label_map: {name in the file: name in ``class_names``}, for names that differ; where the
            file has no names, their keys are class indices. A list of names says what the file's
            classes are called.
        whose: Whose ``class_names`` are, for messages.
        advice: What to do if they do not match.

    Returns:
        The clips, and a sentence that says that names could not be compared; "" where they were.

    Raises:
        SkelactError: for a clip without a label, a class of the clips that is not one of
            ``class_names``, a number of classes that differs where there are no names, or a map
            that names what is not there.
    """
    check_labelled(data.path, clips)
    names, renamed = _names_and_map(data, label_map)
    numbers = tuple(map(str, range(len(class_names))))
    if names is None and not renamed and tuple(class_names) != numbers:
        _check_num_classes(data, class_names, whose)
        return list(clips), (
            f"{data.path.name} has no label_names: its class indices were taken for the "
            f"{len(class_names)} classes of {whose}, names could not be compared"
        )
    if names is not None and not renamed and tuple(class_names) == numbers != names:
        _check_num_classes(data, class_names, whose)
        return list(clips), (
            f"{whose} has no class names: the class indices of {data.path.name} were taken for its "
            f"{len(class_names)} classes, names could not be compared"
        )
    index = _class_index(class_names, whose)
    _check_targets(renamed, index, whose)
    theirs = {
        label: names[label] if names else str(label) for label in {clip.label for clip in clips}
    }
    ours = {label: renamed.get(name, name) for label, name in theirs.items()}
    unknown = [theirs[label] for label in sorted(ours) if ours[label] not in index]
    if unknown:
        raise SkelactError(
            f"{data.path}: {len(unknown)} of the {len(ours)} classes of its clips are not classes "
            f"of {whose}: {_listed(unknown)}{_close(unknown[0], index)}; expected names from: "
            f"{_listed(list(index))}; {advice}"
        )
    return [replace(clip, label=index[ours[clip.label]]) for clip in clips], ""


def check_labelled(path: Path, clips: Sequence[Annotation]) -> None:
    """Check that clips have labels.

    Raises:
        SkelactError: naming the file and a clip that has none.
    """
    bare = [clip.frame_dir for clip in clips if clip.label < 0]
    if bare:
        raise SkelactError(
            f"{path}: {len(bare)} of {len(clips)} clips have no label (-1), such as {bare[0]}; "
            "leave them out of the split, or label them"
        )


def read_label_map(path: str | Path) -> LabelMap:
    """Read a label map from a YAML or JSON file.

    A mapping gives {name in the annotation file: name in the checkpoint}. A list (in YAML under the
    key ``names``, as in configs/labels) gives the names of the file's classes in order.

    Raises:
        SkelactError: if the file cannot be read, names a class twice, or holds anything else.
    """
    path = Path(path)
    if path.suffix == ".json":
        try:
            values = load_json(read_text(path))
        except (ValueError, RecursionError) as error:
            raise SkelactError(f"{path}: cannot read it as JSON: {one_line(error)}") from None
    else:
        values = read_yaml(path)
    if isinstance(values, dict) and isinstance(values.get("names"), list):
        values = values["names"]
    if not isinstance(values, (dict, list)) or not values:
        raise SkelactError(
            f"{path}: expected a mapping of names in the annotation file to names in the "
            f"checkpoint, or a list of names, got {shown(values)}"
        )
    if isinstance(values, dict):
        pairs = [(_name(theirs, path), _name(ours, path)) for theirs, ours in values.items()]
        names = [theirs for theirs, _ in pairs]
        if len(set(names)) < len(names):  # 1 and "1" in YAML
            twice = Counter(names).most_common(1)[0][0]
            raise SkelactError(f"{path}: expected each class once, got {twice!r} twice")
        return dict(pairs)
    return [_name(name, path) for name in values]


def _name(value: object, path: Path) -> str:
    if isinstance(value, str) or whole_number(value) is not None:
        return str(value)
    raise SkelactError(f"{path}: expected names of classes as text, got {shown(value)}")


def _names_and_map(
    data: AnnotationFile, label_map: LabelMap | None
) -> tuple[tuple[str, ...] | None, dict[str, str]]:
    """Return the file's class names, None where it has none, and what they are called by us."""
    if label_map is None:
        return data.label_names, {}
    if not isinstance(label_map, Mapping):
        names = tuple(map(str, label_map))
        if len(names) < data.num_classes or len(set(names)) < len(names):
            raise SkelactError(
                f"label map: expected a name for each of the {data.num_classes} classes of "
                f"{data.path}, each name once, got {len(names)}"
            )
        return names, {}
    renamed = {str(theirs): str(ours) for theirs, ours in label_map.items()}
    for name in renamed:
        if data.label_names is None and not name.isdecimal():
            raise SkelactError(
                f"label map: {data.path} has no label_names; expected class indices from 0 on the "
                f"left, got {name!r}"
            )
        if data.label_names is not None and name not in data.label_names:
            raise SkelactError(
                f"label map: {data.path} has no class {name!r}{_close(name, data.label_names)}; "
                f"expected its class names on the left: {_listed(data.label_names)}"
            )
    return data.label_names, renamed


def _check_num_classes(data: AnnotationFile, class_names: Sequence[str], whose: str) -> None:
    if data.num_classes != len(class_names):
        raise SkelactError(
            f"{data.path}: expected {len(class_names)} classes, as {whose} has, got "
            f"{data.num_classes}, and their names cannot be compared; say with --label-map which "
            "class is which: a list of the file's class names in order, or a mapping"
        )


def _class_index(class_names: Sequence[str], whose: str) -> dict[str, int]:
    index = {name: i for i, name in enumerate(class_names)}
    if len(index) < len(class_names):
        raise SkelactError(f"{whose} has two classes of one name; names cannot be matched")
    return index


def _check_targets(renamed: Mapping[str, str], index: Mapping[str, int], whose: str) -> None:
    for name in renamed.values():
        if name not in index:
            raise SkelactError(
                f"label map: {whose} has no class {name!r}{_close(name, index)}; expected names "
                f"from: {_listed(list(index))}"
            )


def _close(name: str, known: Mapping[str, int] | Sequence[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (is {close[0]!r} meant?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MAX_NAMES_SHOWN
    return ", ".join(names[:_MAX_NAMES_SHOWN]) + (f", ... ({rest} more)" if rest > 0 else "")
