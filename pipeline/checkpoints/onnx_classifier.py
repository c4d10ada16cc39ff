"""Classifiers as ONNX files, run with ONNX Runtime.

The file holds all that prediction needs: the network, and in its metadata the checkpoint's JSON.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ... import SkelactError
from ...pose_extract.common.device import default_threads
from ...pose_extract.common.plain import shown
from ...pose_extract.common.text import one_line
from ...pose_extract.nets.onnx_files import open_session

META_KEY = "skelact"


def read_onnx_meta(path: Path) -> str:
    """Return the checkpoint's JSON that an exported classifier carries.

    Raises:
        SkelactError: if the file is none.
    """
    try:
        text: str | None = (
            open_session(path, default_threads()).get_modelmeta().custom_metadata_map.get(META_KEY)
        )
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise SkelactError(
            f"{path}: expected a classifier written by `skelact export`, got an ONNX file without "
            "its description"
        )
    return text


class OnnxClassifier(nn.Module):
    """An exported classifier; takes and gives torch tensors, computes on the CPU.

    Args:
        path: The ONNX file.
        clip_shape: (M, T, V, C) of a clip.
        num_classes: Number of logits.
        has_novelty: Whether the file gives the novelty of a clip, too.

    Raises:
        SkelactError: if it cannot be read, or is no network from such clips to so many logits.
    """

    def __init__(
        self,
        path: Path,
        clip_shape: tuple[int, int, int, int],
        num_classes: int,
        has_novelty: bool = False,
    ) -> None:
        super().__init__()
        self._path = path
        self._session = open_session(path, default_threads())
        self._outputs: dict[str, tuple[int, ...]] = {"logits": (num_classes,)}
        if has_novelty:
            self._outputs["novelty"] = ()
        self._check(self._session.get_inputs(), {"clips": clip_shape})
        self._check(self._session.get_outputs(), self._outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map clips (N, M, T, V, C) to logits (N, num_classes).

        Raises:
            SkelactError: if the file's graph fails, or gives something else.
        """
        return self._run(x)[0]

    def with_novelty(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits (N, num_classes) and, where the file gives it, the novelty (N,).

        Raises:
            SkelactError: if the file's graph fails, or gives something else.
        """
        found = self._run(x)
        return found[0], found[1] if len(found) > 1 else None

    def _check(self, values: Any, expected: dict[str, tuple[int, ...]]) -> None:
        found = [(value.name, value.type, tuple(value.shape[1:])) for value in values]
        if found != [(name, "tensor(float)", tuple(shape)) for name, shape in expected.items()]:
            parts = " and ".join(
                f"{name} of float32 ({', '.join(map(str, ('batch', *shape)))})"
                for name, shape in expected.items()
            )
            raise SkelactError(f"{self._path}: expected {parts}, got {shown(found)}")

    def _run(self, x: Tensor) -> list[Tensor]:
        try:
            found = self._session.run(list(self._outputs), {"clips": x.float().cpu().numpy()})
        except Exception as error:
            raise SkelactError(f"{self._path}: ONNX Runtime fails: {one_line(error)}") from None
        for (name, shape), values in zip(self._outputs.items(), found):
            if values.shape != (len(x), *shape):
                raise SkelactError(
                    f"{self._path}: expected {name} {(len(x), *shape)}, got {values.shape}"
                )
        return [torch.from_numpy(values).to(x.device) for values in found]
