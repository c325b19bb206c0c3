import numpy as np
import pytest

from trainer.backbones.efficientnet_lite import VARIANTS, blocks, renamed, shapes
from trainer.backbones.registry import BACKBONES
from trainer.backbones.torch_legacy import NotWeights


@pytest.mark.parametrize("name", BACKBONES)
def test_parameters_are_as_many_as_the_registry_says(name: str) -> None:
    assert sum(np.prod(shape) for shape in shapes(BACKBONES[name].variant).values()) == BACKBONES[name].parameters


def test_stages_are_widened_and_deepened_save_stem_and_head_and_the_ends_repeats() -> None:
    made = {name: [block.filters for block in blocks(variant)] for name, variant in VARIANTS.items()}
    assert made["efficientnet-lite0"] == [16, *[24] * 2, *[40] * 2, *[80] * 3, *[112] * 3, *[192] * 4, 320]
    assert made["efficientnet-lite1"] == [16, *[24] * 3, *[40] * 3, *[80] * 4, *[112] * 4, *[192] * 5, 320]
    assert made["efficientnet-lite2"] == [16, *[24] * 3, *[48] * 3, *[88] * 4, *[120] * 4, *[208] * 5, 352]


def test_kernels_are_turned_to_height_width_in_out() -> None:
    stem = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)
    depthwise = np.arange(4 * 5 * 7, dtype=np.float32).reshape(4, 1, 5, 7)
    made = renamed({"_conv_stem.weight": stem, "_blocks.3._depthwise_conv.weight": depthwise})
    assert made["stem/kernel"][4, 6, 2, 1] == stem[1, 2, 4, 6]
    assert made["block3_depthwise/kernel"].shape == (5, 7, 4, 1)
    assert made["block3_depthwise/kernel"][4, 6, 3, 0] == depthwise[3, 0, 4, 6]


def test_normalisations_of_top_and_blocks_belong_to_their_convolutions() -> None:
    one = np.ones(1, np.float32)
    made = renamed(
        {
            "_bn0.weight": one,
            "_bn1.bias": one,
            "_blocks.12._bn0.running_mean": one,
            "_blocks.12._bn1.running_var": one,
            "_blocks.12._bn2.weight": one,
            "_bn0.num_batches_tracked": np.array(3),
            "_fc.weight": one,
        }
    )
    assert list(made) == [
        "stem_norm/gamma",
        "head_norm/beta",
        "block12_expand_norm/moving_mean",
        "block12_depthwise_norm/moving_variance",
        "block12_project_norm/gamma",
    ]


@pytest.mark.parametrize(
    "name", ["layer1.0.conv1.weight", "_blocks.1._se_reduce.weight", "_bn0.scale", "_conv_stem.bias"]
)
def test_a_tensor_of_another_network_is_named(name: str) -> None:
    with pytest.raises(NotWeights, match=name):
        renamed({name: np.ones(1, np.float32)})


def test_a_kernel_of_another_rank_is_named() -> None:
    with pytest.raises(NotWeights, match="_conv_head"):
        renamed({"_conv_head.weight": np.ones((2, 2), np.float32)})
