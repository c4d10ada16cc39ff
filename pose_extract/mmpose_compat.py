"""Import MMPose from pure-Python wheels.

MMPose asks for compiled packages (mmcv's operators, mmdet, torchvision, chumpy, xtcocotools) that
its top-down heatmap models never call. While MMPose is imported, a finder behind all others offers
empty stand-ins for those that are missing; a package that is there is left alone. The stand-ins are
taken out of ``sys.modules`` again afterwards, so the rest of the process still sees the packages as
missing.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import SkelactError

if TYPE_CHECKING:
    from torch import Tensor

MMPOSE_INSTALL = "pip install --no-deps mmpose==1.3.2"

# What may be missing, and how to install it where something truly needs it.
_INSTALL = {
    "mmcv.ops": "pip install -U openmim && mim install mmcv",
    "mmdet": "pip install -U openmim && mim install mmcv mmdet",
    "torchvision": "pip install torchvision",
    "chumpy": "pip install --no-build-isolation chumpy",
    "xtcocotools": "pip install --no-build-isolation xtcocotools",
}

_lock = threading.RLock()


class _StandInMeta(type):
    """Makes placeholder classes that can be named, subclassed and decorated, but not used."""

    package: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise SkelactError(
            f"{cls.package}.{cls.__name__} was asked for, but {cls.package} is not installed; "
            f"install it with: {_INSTALL[cls.package]}"
        )


class _StandInModule(ModuleType):
    """A module whose every name is a placeholder class."""

    def __init__(self, name: str, package: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._package = package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self.__name__} is a stand-in and has no {name}")
        placeholder = _StandInMeta(name, (), {"package": self._package})
        setattr(self, name, placeholder)
        return placeholder


class _StandInLoader(importlib.abc.Loader):
    def __init__(self, package: str) -> None:
        self._package = package

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name, self._package)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a stand-in has no body."""


class _StandInFinder(importlib.abc.MetaPathFinder):
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        for package in self._packages:
            if fullname == package or fullname.startswith(f"{package}."):
                loader = _StandInLoader(package)
                return importlib.machinery.ModuleSpec(fullname, loader, is_package=True)
        return None


def missing_packages() -> list[str]:
    """Return which of the packages that MMPose asks for cannot be imported.

    mmcv-lite has the folder ``mmcv.ops`` without the compiled module behind it, and a torchvision
    built for another torch fails when it is imported: both count as missing.
    """
    return [package for package in _INSTALL if not _imports(package)]


def _imports(package: str) -> bool:
    probed = "mmcv._ext" if package == "mmcv.ops" else package
    try:
        if importlib.util.find_spec(probed) is None:
            return False
        importlib.import_module(probed)
    except Exception:
        # Whatever a broken package raises, MMPose can do without it.
        return False
    return True


@contextmanager
def _stand_ins(packages: Sequence[str]) -> Iterator[None]:
    """Offer stand-ins for ``packages`` inside the block."""
    finder = _StandInFinder(packages)
    # In front, since mmcv-lite's own mmcv.ops is found but cannot be imported; nothing that is
    # installed is in the list.
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if isinstance(module, _StandInModule):
                del sys.modules[name]
                # "import mmcv" must not find the stand-in as an attribute either.
                parent, _, child = name.rpartition(".")
                if parent in sys.modules and sys.modules[parent].__dict__.get(child) is module:
                    delattr(sys.modules[parent], child)


def import_mmpose(*modules: str) -> ModuleType:
    """Import MMPose, with stand-ins for what is missing, and return it.

    Args:
        modules: Modules of MMPose to import besides, such as "mmpose.models".

    Raises:
        SkelactError: if MMPose is missing, is of another major version, or cannot be imported.
    """
    with _lock:
        if importlib.util.find_spec("mmpose") is None:
            raise SkelactError(f"MMPose is not installed; install it with: {MMPOSE_INSTALL}")
        try:
            with _stand_ins(missing_packages()):
                mmpose = importlib.import_module("mmpose")
                for module in modules:
                    importlib.import_module(module)
        except (ImportError, AssertionError, RuntimeError) as error:
            raise SkelactError(
                f"MMPose is installed but cannot be imported: {error}; `skelact doctor` shows what "
                "is missing"
            ) from error
        if not mmpose.__version__.startswith("1."):
            raise SkelactError(
                f"expected MMPose 1.x, got {mmpose.__version__}; install it with: {MMPOSE_INSTALL}"
            )
        return mmpose


def build_pose_model(config: dict[str, Any]) -> Any:
    """Build an MMPose pose estimator (an ``nn.Module``) from its ``model`` config.

    Raises:
        SkelactError: if MMPose is missing, or the model needs a package that is.
    """
    import_mmpose("mmpose.models")
    from mmengine.registry import DefaultScope
    from mmpose.models.backbones import litehrnet
    from mmpose.registry import MODELS

    litehrnet.channel_shuffle = channel_shuffle
    with DefaultScope.overwrite_default_scope("mmpose"):
        return MODELS.build(config)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Mix the channels of groups, as MMPose's function of that name, in the memory order of ``x``.

    MMPose's leaves channels_last, and all that follows in Lite-HRNet is then slower on a processor.

    Args:
        x: (N, C, H, W).
        groups: A divisor of C.
    """
    import torch

    n, channels, height, width = x.shape
    if not x.is_contiguous(memory_format=torch.channels_last):
        mixed = x.view(n, groups, channels // groups, height, width).transpose(1, 2)
        return mixed.reshape(n, channels, height, width)
    parts = x.permute(0, 2, 3, 1).chunk(groups, dim=-1)
    return torch.stack(parts, dim=-1).flatten(-2).permute(0, 3, 1, 2)
