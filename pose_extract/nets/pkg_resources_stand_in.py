"""The few names of ``pkg_resources`` that MMEngine 0.10.7 calls, on importlib.metadata.

setuptools 82 and later have no ``pkg_resources`` any more. While MMPose is imported this file takes
its name (see :mod:`.mmpose_adapter`), so that setuptools may be of any version, or absent.
"""

from __future__ import annotations

import importlib.metadata

# MMEngine catches it by this name, in ``mmengine.utils.is_installed``.
DistributionNotFound = importlib.metadata.PackageNotFoundError


class Distribution:
    """An installed distribution.

    Attributes:
        version: Its version.
        location: The folder that its packages lie in.
    """

    def __init__(self, name: str) -> None:
        self._distribution = importlib.metadata.distribution(name)
        self.version = self._distribution.version
        self.location = str(self._distribution.locate_file(""))

    def has_metadata(self, name: str) -> bool:
        """Return whether the distribution has this file of metadata, such as "top_level.txt"."""
        return self._distribution.read_text(name) is not None

    def get_metadata(self, name: str) -> str:
        """Return a file of metadata.

        Raises:
            KeyError: if there is none.
        """
        text = self._distribution.read_text(name)
        if text is None:
            raise KeyError(f"no {name} in the metadata of {self._distribution.name}")
        return text


def get_distribution(name: str) -> Distribution:
    """Return an installed distribution.

    Raises:
        DistributionNotFound: if it is not installed.
    """
    return Distribution(name)
