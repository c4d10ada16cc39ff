"""Tell a whole file of weights from web pages, error messages and parts of files.

Only the structure is looked at, and little of it: nothing is unpickled, and no tensor is read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ... import SkelactError
from ..common.plain import MAX_TEXT_BYTES, parse_json, shown

# How much of a file is looked at to tell text from weights.
_START_BYTES = 512
_LFS_START = b"version https://git-lfs.github.com/"
# Of torch.save before version 1.6: a pickle of torch's magic number, in protocol 2.
# Source: MAGIC_NUMBER in torch/serialization.py.
_TORCH_LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
# Field numbers of ModelProto in onnx.proto.
_ONNX_IR_VERSION, _ONNX_GRAPH, _ONNX_OPSET_IMPORT = 1, 7, 8
# At the top level of an ONNX file; exporters write about ten, and one per function.
_MAX_ONNX_FIELDS = 100_000
_MAX_VARINT_BYTES = 10


def check_format(path: str | Path, name: str | None = None) -> None:
    """Check that a file is what its suffix says, and whole as far as its structure tells.

    Args:
        path: The file.
        name: A name with the suffix that counts; that of ``path`` by default.

    Raises:
        SkelactError: saying what was expected and what came.
        OSError: if the file cannot be read.
    """
    path = Path(path)
    suffix = Path(name or path.name).suffix.lower()
    with path.open("rb") as stream:
        _check_is_no_text(stream.read(_START_BYTES))
        if suffix in _CHECKS:
            stream.seek(0)
            _CHECKS[suffix](stream, path.stat().st_size)


def _check_is_no_text(start: bytes) -> None:
    if not start:
        raise SkelactError("expected a file, got nothing")
    if start.startswith(_LFS_START):
        raise SkelactError(
            "expected a file, got a git-lfs pointer to it; take the address that downloads the "
            "file itself"
        )
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"<!", b"<?xml")) or text.lower().startswith(b"<html"):
        raise SkelactError("expected a file, got a web page; is it the address of the file itself?")
    letters = start.decode("utf-8", "ignore")
    is_utf8 = len(start) - len(letters.encode()) < 4  # the last character may be cut
    if is_utf8 and all(letter.isprintable() or letter.isspace() for letter in letters):
        raise SkelactError(f"expected a file of weights, got text: {shown(letters.strip())}")


def _check_onnx(stream: BinaryIO, num_bytes: int) -> None:
    """Walk over the top-level fields of a ModelProto, which have to end where the file ends."""
    found = set()
    for _ in range(_MAX_ONNX_FIELDS):
        if stream.tell() == num_bytes:
            break
        key = _varint(stream)
        field, wire_type = key >> 3, key & 7
        if wire_type == 0:
            _varint(stream)
        elif wire_type in (1, 2, 5):
            length = {1: 8, 5: 4}.get(wire_type)
            length = _varint(stream) if length is None else length
            if length > num_bytes - stream.tell():
                raise SkelactError("expected a whole ONNX file, its end is missing or damaged")
            stream.seek(length, 1)
        if field == 0 or wire_type not in (0, 1, 2, 5):
            raise SkelactError("expected an ONNX file, got something else")
        found.add(field)
    else:
        raise SkelactError("expected an ONNX file, got something else")
    if not found >= {_ONNX_IR_VERSION, _ONNX_GRAPH, _ONNX_OPSET_IMPORT}:
        raise SkelactError("expected an ONNX file, got one without a graph: a part of it?")


def _varint(stream: BinaryIO) -> int:
    value = 0
    for i in range(_MAX_VARINT_BYTES):
        byte = stream.read(1)
        if not byte:
            raise SkelactError("expected a whole ONNX file, its end is missing or damaged")
        value |= (byte[0] & 0x7F) << (7 * i)
        if byte[0] < 0x80:
            return value
    raise SkelactError("expected an ONNX file, got something else")


def _check_torch(stream: BinaryIO, num_bytes: int) -> None:
    start = stream.read(len(_TORCH_LEGACY_START))
    if start == _TORCH_LEGACY_START:
        return
    if not start.startswith(b"PK"):
        raise SkelactError("expected a checkpoint of torch, got something else")
    stream.seek(0)
    _check_zip(stream, num_bytes)


def _check_zip(stream: BinaryIO, num_bytes: int) -> None:
    start = stream.read(4)
    stream.seek(0)
    # Archives, and checkpoints of torch, end with their directory.
    if not zipfile.is_zipfile(stream):
        what = "a whole archive, its end is missing" if start[:2] == b"PK" else "a zip archive"
        raise SkelactError(f"expected {what}")


def _check_safetensors(stream: BinaryIO, num_bytes: int) -> None:
    """The length of a JSON header in 8 bytes, the header, and the tensors to the file's end."""
    length = int.from_bytes(stream.read(8), "little")
    if num_bytes < 8 or not 0 < length <= min(num_bytes - 8, MAX_TEXT_BYTES):
        raise SkelactError("expected a safetensors file, got something else or a part of it")
    header = parse_json(stream.read(length), "the header of the safetensors file")
    try:
        ends = [item["data_offsets"][1] for key, item in header.items() if key != "__metadata__"]
        end = max([0, *ends])
    except (TypeError, KeyError, IndexError):
        raise SkelactError("expected a safetensors file, got another header") from None
    if 8 + length + end != num_bytes:
        raise SkelactError(
            f"expected a whole safetensors file of {8 + length + end} bytes, got {num_bytes}"
        )


_CHECKS: dict[str, Callable[[BinaryIO, int], None]] = {
    ".onnx": _check_onnx,
    ".pth": _check_torch,
    ".pt": _check_torch,
    ".zip": _check_zip,
    ".safetensors": _check_safetensors,
}
