import pytest

from k8s.manifest.volumes import mounted
from k8s.settings.platform import Platform
from tests.unit.k8s.manifest.cases import EVERYTHING


@pytest.mark.parametrize(
    ("path", "there"), [("/pictures", True), ("/pictures/cats", True), ("/picturesque", False), ("/", False)]
)
def test_paths_below_a_mount_outlive_the_pod(path: str, there: bool) -> None:
    assert mounted(EVERYTHING, path) is there
    assert not mounted(Platform(), path)
