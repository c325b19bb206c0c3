"""Import, check, pack and reading for training against a real server, also through a proxy that breaks what passes."""

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import archive, jpeg, kaggle_archive, write_split
from tests.servers import FakeGcs, FaultProxy, Faults
from trainer.data import cache
from trainer.data.data_set import SPLITS
from trainer.data.decode import PixelPath
from trainer.data.examples import Place
from trainer.data.reading import Damaged
from trainer.data.source import Source, open_source
from trainer.data.split import list_data_set
from trainer.data.unfinished import UNFINISHED
from trainer.data_verbs import check_data, import_data, pack_data
from trainer.exits import Exit, ExitError
from trainer.requests import DataCheckRequest, DataImportRequest, DataPackRequest
from trainer.storage import retry
from trainer.storage.large import read_large
from trainer.storage.opening import Listener, open_storage
from trainer.storage.retry import RetryEvent, RetryPolicy

PER_CLASS = 20
PATH = PixelPath(2, 24)


def do_import(source: Path | str, target: str) -> int:
    return import_data(DataImportRequest(str(source), target, "12", "4", "4", output="json"))


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    return kaggle_archive(tmp_path / "dogs-vs-cats.zip", PER_CLASS)


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a tenth: what is tested is that calls are repeated, not how patiently."""
    original = retry.keep_trying

    def hasty(*arguments: object, **named: object) -> object:
        policy = named["policy"]
        assert isinstance(policy, RetryPolicy)
        quick = RetryPolicy(min(policy.total, 40), min(policy.attempt, 3), policy.connect, 0.01, 0.1)
        return original(*arguments, **(named | {"policy": quick}))  # type: ignore[arg-type]

    monkeypatch.setattr("trainer.storage.gcs_connection.keep_trying", hasty)
    monkeypatch.setattr("trainer.data.reading.DAMAGED", RetryPolicy(total=0.5, first_wait=0.01, longest_wait=0.1))


def decoded(source: Source) -> dict[str, cache.PixelCache]:
    return {split: cache.fill(source.data.splits[split], source.read, PATH, 1 << 30, None, 2) for split in SPLITS}


def objects(uri: str) -> dict[str, str]:
    return {stat.name: stat.generation for stat in open_storage(uri).list()}


def test_a_folder_a_bucket_and_both_packed_are_the_same_data_set(
    kaggle: Path, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [str(tmp_path / "loose"), f"{bucket}/loose", str(tmp_path / "packed"), f"{bucket}/packed"]
    assert do_import(kaggle, places[0]) == Exit.DONE
    assert do_import(kaggle, places[1]) == Exit.DONE
    for source, target in (places[:1] + places[2:3], places[1:2] + places[3:4]):
        assert pack_data(DataPackRequest(source, target, 1, "json")) == Exit.DONE
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # Each with a cache of its own: one fingerprint shares one, and the shards would not be read.
    sources = [open_source(place, cache_dir=str(tmp_path / f"cache-{i}")) for i, place in enumerate(places)]
    assert len({one["fingerprint"] for one in answers} | {source.data.fingerprint for source in sources}) == 1
    assert all(source.data.stale_index == "" for source in sources)
    first, *others = map(decoded, sources)
    assert first["train"].usable.all()
    assert first["train"].pixels.any(axis=(1, 2, 3)).all()
    for source, pixels in zip(sources[1:], others, strict=True):
        for split in SPLITS:
            assert [one.name for one in source.data.splits[split]] == [
                one.name for one in sources[0].data.splits[split]
            ]
            assert np.array_equal(pixels[split].pixels, first[split].pixels)
            assert np.array_equal(pixels[split].labels, first[split].labels)
    for place in places:
        assert check_data(DataCheckRequest(place, "json")) == Exit.DONE


def test_an_import_goes_on_where_it_was_interrupted(
    kaggle: Path, proxy: FaultProxy, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"{bucket}/data"
    monkeypatch.setattr("trainer.data.importing.CONCURRENCY", 4)
    count = Counter[str]()

    def interrupt(*arguments: object) -> None:
        count["lines"] += 1
        if count["lines"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trainer.data_verbs._Lines.done", interrupt)
        with pytest.raises(KeyboardInterrupt):
            do_import(kaggle, target)
    before = objects(target)
    with pytest.raises(ExitError, match=r"interrupted or refused; repeat `catdog data import`"):
        list_data_set(open_storage(target))
    del before[UNFINISHED]
    assert 3 <= len(before) < 40
    assert "index.json" not in before
    assert do_import(kaggle, target) == Exit.DONE
    answer = json.loads(capsys.readouterr().out)
    assert (answer["stored"], answer["already_there"]) == (40 - len(before), len(before))
    after = objects(target)
    assert len(after) == 40 + 2  # the index is two objects
    assert {name: after[name] for name in before} == before
    uploads = proxy.requests["POST"]
    assert do_import(kaggle, target) == Exit.DONE
    assert proxy.requests["POST"] == uploads
    assert objects(target) == after


FAULTS = Faults(status=0.06, reset=0.06, lost=0.03, cut=0.04, flip=0.06)


def test_faults_on_the_way_change_nothing(kaggle: Path, proxy: FaultProxy, bucket: str, tmp_path: Path) -> None:
    assert do_import(kaggle, str(tmp_path / "loose")) == Exit.DONE
    wanted = decoded(open_source(str(tmp_path / "loose")))
    proxy.faults = FAULTS
    assert do_import(kaggle, f"{bucket}/loose") == Exit.DONE
    assert pack_data(DataPackRequest(f"{bucket}/loose", f"{bucket}/packed", 1)) == Exit.DONE
    for form in ("loose", "packed"):
        events: list[RetryEvent] = []
        before = proxy.counts.total()
        source = open_source(f"{bucket}/{form}", cache_dir=str(tmp_path / form), listener=Listener(events.append))
        got = decoded(source)
        for split in SPLITS:
            assert np.array_equal(got[split].pixels, wanted[split].pixels)
            assert got[split].rejected == ()
        met = proxy.counts.total() - before
        assert len(events) == met if form == "loose" else len(events) <= met  # a flip between two pictures harms none
    assert proxy.counts.total() > 10


def test_a_flipped_bit_in_a_range_is_mended_by_asking_again(
    proxy: FaultProxy, bucket: str, tmp_path: Path, kaggle: Path
) -> None:
    assert do_import(kaggle, str(tmp_path / "loose")) == Exit.DONE
    assert pack_data(DataPackRequest(str(tmp_path / "loose"), f"{bucket}/packed", 64)) == Exit.DONE
    events: list[RetryEvent] = []
    source = open_source(f"{bucket}/packed", cache_dir=str(tmp_path / "cache"), listener=Listener(events.append))
    before = proxy.requests["GET"]
    proxy.next("flip")
    got = dict(source.read(source.data.splits["train"]))
    for i, example in enumerate(source.data.splits["train"]):
        assert got[i] == (tmp_path / "loose" / example.name).read_bytes()
    assert [event.reason for event in events] == ["checksum"]
    assert proxy.requests["GET"] - before == 2


def test_a_damaged_record_and_a_replaced_object_stop_training_with_74(
    kaggle: Path, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert do_import(kaggle, f"{bucket}/loose") == Exit.DONE
    assert pack_data(DataPackRequest(f"{bucket}/loose", f"{bucket}/packed", 64)) == Exit.DONE
    loose = open_source(f"{bucket}/loose", cache_dir=str(tmp_path / "a"))
    packed = open_source(f"{bucket}/packed", cache_dir=str(tmp_path / "b"))
    open_storage(bucket).write("loose/train/dogs/dog.3.jpg", jpeg(9999))
    victim = packed.data.splits["train"][7]
    assert isinstance(victim.place, Place)
    shard = bytearray(open_storage(f"{bucket}/packed").read(victim.place.shard))
    shard[victim.place.offset + victim.size // 2] ^= 4
    open_storage(f"{bucket}/packed").write(victim.place.shard, bytes(shard))
    for source, name in ((loose, "train/dogs/dog.3.jpg"), (packed, victim.name)):
        with pytest.raises(Damaged, match=name) as raised:
            cache.fill(source.data.splits["train"], source.read, PATH, 1 << 30, None, 2)
        assert raised.value.code == Exit.STORAGE_FAILED
    assert "is not used: 'train/dogs/dog.3.jpg' has" in open_source(f"{bucket}/loose").data.stale_index
    with pytest.raises(ExitError, match=r"this shard does not match index\.json") as refused:
        check_data(DataCheckRequest(f"{bucket}/packed"))
    assert refused.value.code == Exit.BAD_DATA


def test_a_flipped_bit_in_the_columns_of_an_index_is_mended_by_asking_again(
    proxy: FaultProxy, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.storage.large.PART", 1000)
    write_split(tmp_path / "loose", 60)
    assert pack_data(DataPackRequest(str(tmp_path / "loose"), f"{bucket}/packed", 64)) == Exit.DONE
    storage = open_storage(f"{bucket}/packed")
    there = {stat.name: stat for stat in storage.list()}
    [columns] = [stat for name, stat in there.items() if name.startswith("index-")]
    before = proxy.requests["GET"]
    proxy.next("flip")
    found = read_large(storage, columns)
    assert found.tobytes() == storage.read(columns.name)
    assert proxy.requests["GET"] - before == -(-columns.size // 1000) + 2
    assert list_data_set(storage).fingerprint == list_data_set(open_storage(str(tmp_path / "loose"))).fingerprint


@pytest.mark.parametrize("form", ["loose", "packed"])
def test_the_second_run_reads_its_pictures_from_this_machine(
    kaggle: Path, proxy: FaultProxy, bucket: str, tmp_path: Path, form: str
) -> None:
    assert do_import(kaggle, f"{bucket}/loose") == Exit.DONE
    assert pack_data(DataPackRequest(f"{bucket}/loose", f"{bucket}/packed", 1)) == Exit.DONE
    first = decoded(open_source(f"{bucket}/{form}", cache_dir=str(tmp_path / "cache")))
    source = open_source(f"{bucket}/{form}", cache_dir=str(tmp_path / "cache"))
    before = dict(proxy.requests)
    second = decoded(source)
    assert dict(proxy.requests) == before
    assert all(np.array_equal(second[split].pixels, first[split].pixels) for split in SPLITS)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file() and path.name != "used":
            path.write_bytes(bytes(path.stat().st_size))
    third = decoded(source)
    assert dict(proxy.requests) != before
    assert all(np.array_equal(third[split].pixels, first[split].pixels) for split in SPLITS)


def test_packed_pictures_come_in_a_few_requests(proxy: FaultProxy, bucket: str, tmp_path: Path) -> None:
    write_split(tmp_path / "loose", 200)
    assert pack_data(DataPackRequest(str(tmp_path / "loose"), f"{bucket}/packed", 64)) == Exit.DONE
    source = open_source(f"{bucket}/packed", cache_dir=str(tmp_path / "cache"))
    before = proxy.requests["GET"]
    assert len(dict(source.read(source.data.splits["train"]))) == 400
    assert proxy.requests["GET"] - before == 1


def test_a_bucket_is_a_source_too(kaggle: Path, new_bucket: Callable[[], str], tmp_path: Path) -> None:
    classes = open_storage(f"{new_bucket()}/classes")
    for kind in ("cats", "dogs"):
        for i in range(20):
            classes.write(f"{kind}/{i}.jpg", jpeg(i + 100 * (kind == "dogs")))
    other = new_bucket()
    assert do_import(classes.uri, other) == Exit.DONE
    assert import_data(DataImportRequest(other, str(tmp_path / "copy"))) == Exit.DONE
    assert (
        list_data_set(open_storage(other)).fingerprint
        == list_data_set(open_storage(str(tmp_path / "copy"))).fingerprint
    )


def test_a_bucket_is_never_imported_into_itself_and_other_formats_are_converted(bucket: str, tmp_path: Path) -> None:
    source = open_storage(f"{bucket}/pics")
    for kind in ("cats", "dogs"):
        for i in range(5):
            picture = Image.open(io.BytesIO(jpeg(i + 100 * (kind == "dogs"))))
            picture.save(file := io.BytesIO(), "WEBP")
            source.write(f"{kind}/{i}.webp", file.getvalue())
    before = objects(bucket)
    for target in (f"{bucket}/pics/split", f"{bucket}/pics", bucket):
        with pytest.raises(ExitError, match=r"the target (is inside|is the source itself|contains)") as raised:
            import_data(DataImportRequest(source.uri, target))
        assert raised.value.code == Exit.BAD_OPTION
    assert objects(bucket) == before
    for target in (f"{bucket}/pics-split", str(tmp_path / "data")):
        assert import_data(DataImportRequest(source.uri, target)) == Exit.DONE
    made = [list_data_set(open_storage(place)) for place in (f"{bucket}/pics-split", str(tmp_path / "data"))]
    assert made[0].fingerprint == made[1].fingerprint
    assert [one.name for one in made[0].splits["valid"]] == ["valid/cats/3.png", "valid/dogs/3.png"]


NAMES = [
    "with space.jpg",
    "ünï©ødé 猫.jpg",
    "%2e%2e.jpg",
    "..jpg",
    "a/b/c.jpg",
    "back\\slash.jpg",
    "q?x=1&y#z.jpg",
    "'\".jpg",
]
REFUSED = ["../out.jpg", "a/../../../out.jpg", "/out.jpg", "a//b.jpg", "line\nbreak.jpg"]


def named(names: list[str], label: str = "cats") -> bytes:
    files = {f"{label}/{name}" if not name.startswith("/") else name: jpeg(i) for i, name in enumerate(names)}
    return archive(files | {f"dogs/{i}.jpg": jpeg(1000 + i) for i in range(len(names) + 2)})


@pytest.mark.parametrize("remote", [False, True])
def test_unusual_names_are_stored_and_read_back(bucket: str, tmp_path: Path, remote: bool) -> None:
    target = f"{bucket}/data" if remote else str(tmp_path / "data")
    (tmp_path / "x.zip").write_bytes(named(NAMES))
    assert import_data(DataImportRequest(str(tmp_path / "x.zip"), target, "0.5", "0.25", "0.25")) == Exit.DONE
    data = list_data_set(open_storage(target))
    stored = [one.name.split("/", 2)[2] for split in SPLITS for one in data.splits[split] if "/cats/" in one.name]
    assert sorted(stored) == sorted(NAMES)
    assert pack_data(DataPackRequest(target, f"{target}-packed")) == Exit.DONE
    packed = open_source(f"{target}-packed", cache_dir=str(tmp_path / "cache"))
    assert packed.data.fingerprint == data.fingerprint
    for split in SPLITS:
        got = dict(packed.read(packed.data.splits[split]))
        for i, example in enumerate(packed.data.splits[split]):
            if "/cats/" in example.name:
                assert got[i] == jpeg(NAMES.index(example.name.split("/", 2)[2]))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("remote", [False, True])
def test_names_that_leave_the_target_are_refused_and_nothing_is_stored(
    bucket: str, tmp_path: Path, name: str, remote: bool
) -> None:
    (tmp_path / "x.zip").write_bytes(named(["1.jpg", "2.jpg", "3.jpg", name]))
    target = f"{bucket}/deep/data" if remote else str(tmp_path / "deep/data")
    with pytest.raises(ExitError, match="cannot hold an object named") as raised:
        import_data(DataImportRequest(str(tmp_path / "x.zip"), target, "0.5", "0.25", "0.25"))
    assert raised.value.code == Exit.BAD_DATA
    assert objects(bucket) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_name_of_1024_bytes_fits_a_bucket_and_not_a_folder(bucket: str, tmp_path: Path) -> None:
    room = 1024 - len("data/train/cats/.jpg")
    (tmp_path / "x.zip").write_bytes(named(["0" * room + ".jpg", "2.jpg", "3.jpg", "4.jpg"]))
    ask = DataImportRequest(str(tmp_path / "x.zip"), f"{bucket}/data", "2", "1", "1")
    assert import_data(ask) == Exit.DONE
    assert len(list_data_set(open_storage(f"{bucket}/data")).splits["train"]) == 4
    assert max(len(name) for name in objects(bucket)) == 1024
    with pytest.raises(ExitError, match="at most 255"):
        import_data(DataImportRequest(**(asdict(ask) | {"target": str(tmp_path / "data")})))
    with pytest.raises(ExitError, match="1,029 bytes"):
        import_data(DataImportRequest(**(asdict(ask) | {"target": f"{bucket}/deep/data"})))
    assert not (tmp_path / "data").exists()


def test_the_verbs_say_what_is_missing(gcs_server: FakeGcs, bucket: str) -> None:
    with pytest.raises(ExitError, match="no such bucket") as raised:
        check_data(DataCheckRequest("gs://not-a-bucket/data"))
    assert raised.value.code == Exit.INPUT_MISSING
    with pytest.raises(ExitError, match="nothing is there"):
        pack_data(DataPackRequest(f"{bucket}/nothing", f"{bucket}/packed"))
