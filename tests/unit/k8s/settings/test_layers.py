from k8s.settings.layers import merge
from k8s.settings.platform import of_flags


def test_later_layers_win_and_mappings_are_merged() -> None:
    merged = merge(
        (
            {"image": "a", "gpu": {"resource": "r", "nodeSelector": {"x": "1"}}},
            {"gpu": {"nodeSelector": {"y": "2"}}},
            of_flags({"image": "b", "queue": None}),
        )
    )
    assert merged == {"image": "b", "gpu": {"resource": "r", "nodeSelector": {"x": "1", "y": "2"}}}
