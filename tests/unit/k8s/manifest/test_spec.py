import pytest

from k8s.exits import Cli, CliError
from k8s.manifest.spec import check_name


class TestNames:
    @pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a.b", "-a", "a-", "ä", "a b"])
    def test_names_that_kubernetes_rejects(self, name: str) -> None:
        with pytest.raises(CliError, match="--name is") as caught:
            check_name(name, 1)
        assert caught.value.code == Cli.USAGE

    @pytest.mark.parametrize(("workers", "longest"), [(1, 51), (10, 51), (11, 50), (1000, 49)])
    def test_pod_names_fit(self, workers: int, longest: int) -> None:
        check_name("a" * longest, workers)
        assert len("a" * longest + f"-w-0-{workers - 1}-abcde") == 63
        with pytest.raises(CliError, match=f"the limit is {longest}"):
            check_name("a" * (longest + 1), workers)
