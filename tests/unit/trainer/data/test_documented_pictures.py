"""docs/data.md, "What becomes of a picture": each row on real files, each cell by the verb itself."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.pictures import jpeg
from tests.unit.trainer.data.odd_pictures import deep_pictures, odd_pictures, raw_png, turned
from tests.unit.trainer.data.test_jpeg import PROGRESSIVE, sized, with_scans
from trainer.data.decode import PixelPath, pixels
from trainer.data.picture import is_turned
from trainer.data_verbs import check_data, import_data
from trainer.exits import Exit, ExitError
from trainer.models.registry import build_for_export
from trainer.predict.pictures import Picture
from trainer.predict.verb import answers
from trainer.requests import DataCheckRequest, DataImportRequest
from trainer.storage.opening import open_storage
from trainer.training import export
from trainer.training.export import Exported, load_exported

DOCUMENT = Path(__file__).parents[4] / "docs/data.md"
ODD = odd_pictures()
METADATA = ("exif", "orientation", "mpo", "motion", "trailing", "comment", "photoshop", "adobe")
ALPHA = ("palette with alpha.png", "grey with alpha.png", "alpha.png", "one transparent colour.png")
PLAIN = jpeg(1)
KEPT, OTHERS = "kept", "others"


def large() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8_200, 8_000), 90).save(file, "JPEG")
    return file.getvalue()


def rows() -> Mapping[str, dict[str, str]]:
    """The table, by its first column: column → cell."""
    section = DOCUMENT.read_text().split("## What becomes of a picture")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in section.splitlines() if "|" in line]
    heading, _, *body = lines[: 2 + sum(len(line) == len(lines[0]) for line in lines[2:])]
    return {line[0]: dict(zip(heading[1:], line[1:], strict=True)) for line in body}


def samples(row: str) -> Mapping[str, bytes]:
    """Files of a row's kind by name; none for a kind that has tests of its own."""
    jpegs, pngs = ({n: d for n, d in ODD.items() if n.endswith(end)} for end in (".jpg", ".png"))
    upright = {n: d for n, d in jpegs.items() if "turned" not in n and "truth" not in n}
    marked = {n: d for n, d in upright.items() if any(word in n for word in METADATA)}
    return {
        "JPEG: baseline": {n: d for n, d in upright.items() if n not in marked},
        "JPEG with an Exif orientation": {n: d for n, d in turned().items() if is_turned(d)},
        "JPEG with other Exif": {n: d for n, d in marked.items() if not is_turned(d)},
        "PNG: grey": {n: d for n, d in pngs.items() if n not in ALPHA and "truth" not in n}
        | {n: data for n, (data, _) in deep_pictures().items()},
        "PNG with transparency": {n: ODD[n] for n in ALPHA},
        "JPEG of 64 to 512": {"large.jpg": large()},
        "JPEG above 512": {
            "huge.jpg": sized(PLAIN, 22_700, 22_700),
            "huge progressive.jpg": sized(PROGRESSIVE, 8_001, 8_001),
            "scans.jpg": with_scans(PROGRESSIVE, 101),
        },
        "PNG above 64": {"huge.png": raw_png(8, 0, [b"\0"])[:16] + b"\0\0\x20\0" * 2 + raw_png(8, 0, [b"\0"])[24:]},
        "file above 256": {},  # test_decode and test_import_pictures, with a smaller limit
        "truncated": {
            "cut.jpg": PLAIN[: len(PLAIN) // 2],
            "empty.jpg": b"",
            "cut.png": ODD["plain.png"][:-60],
            "page.jpg": b"<html>",
        },
    }[next(start for start in STARTS if row.startswith(start))]


STARTS = (
    "JPEG: baseline",
    "JPEG with an Exif orientation",
    "JPEG with other Exif",
    "PNG: grey",
    "PNG with transparency",
    "JPEG of 64 to 512",
    "JPEG above 512",
    "PNG above 64",
    "file above 256",
    "truncated",
)
ROWS = rows()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    storage = open_storage(str(tmp_path_factory.mktemp("run")))
    export.export(
        storage,
        export.traced(export.Classifier(build_for_export("small", 16, 2, 0.0), PixelPath(2, 16), "ab")),
        "",
    )
    return load_exported(storage)


def test_every_row_is_tried() -> None:
    assert len(ROWS) == len(STARTS)
    assert all(any(row.startswith(start) for start in STARTS) for row in ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_training_and_evaluate(row: str, exported: Exported) -> None:
    usable = ROWS[row]["train, evaluate"].split(",")[0].split(":")[0]
    assert usable.startswith(("decoded", "turned", "as stored", "transparency", "scaled", "rejected"))
    for name, encoded in samples(row).items():
        if usable == "rejected":
            with pytest.raises(ValueError, match=r"\w"):
                pixels(encoded, exported.path)
            continue
        made = pixels(encoded, exported.path)
        stored = pixels(encoded, PixelPath(1, 16)) if usable != "scaled to 1/2 or 1/4 while decoding" else made
        assert np.array_equal(made, stored) == (usable != "turned upright"), name


@pytest.mark.parametrize("row", ROWS)
def test_predict_and_the_exported_model(row: str, exported: Exported) -> None:
    found = samples(row)
    asked = [Picture(name, lambda encoded=encoded: encoded) for name, encoded in found.items()]
    told = list(answers(exported, asked))
    assert [bool(one.fault) for one in told] == [ROWS[row]["predict"] == "bad row"] * len(found)
    if found:
        served = exported.serve_bytes(images=tf.constant(list(found.values())))
        flagged = ROWS[row]["exported model"] == "`ok` is false"
        assert served["ok"].numpy().tolist() == [not flagged] * len(found)


@pytest.mark.parametrize("row", ROWS)
def test_data_check_and_data_import(row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {f"{i} {Path(name).stem}{Path(name).suffix}": data for i, (name, data) in enumerate(samples(row).items())}
    unusable = ROWS[row]["data import"] == "left out"
    assert (ROWS[row]["data check"] == "named") == unusable
    source = tmp_path / "set"
    for number in range(40):
        for label in (KEPT, OTHERS):
            (source / label).mkdir(parents=True, exist_ok=True)
            (source / label / f"plain {number}.jpg").write_bytes(jpeg(100 + 2 * number + (label == KEPT)))
    for name, data in found.items():
        (source / KEPT / name).write_bytes(data)

    request = DataImportRequest(str(source), str(tmp_path / "target"), max_rejected=0.9, output="json")
    assert import_data(request) == Exit.DONE
    answer = json.loads(capsys.readouterr().out)
    rejected = {Path(one["name"]).name for one in answer["rejected"]}
    assert rejected == (set(found) if unusable else set())
    stored = {path.read_bytes() for path in (tmp_path / "target").rglob("*") if path.is_file()}
    assert all((data in stored) != unusable for data in found.values())

    try:
        code = check_data(DataCheckRequest(str(source), output="json"))
    except ExitError as error:
        code = error.code
    checked = json.loads(capsys.readouterr().out)
    assert (code == Exit.BAD_DATA) == (unusable and bool(found))
    assert {Path(one["path"]).name for one in checked["corrupt"]} == rejected
    assert checked["rotated"] == (len(found) if ROWS[row]["data check"] == "counted" else 0)
