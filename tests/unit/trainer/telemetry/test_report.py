import base64
import html.parser
import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image

from trainer.telemetry.configuration import options
from trainer.telemetry.report import ReportInput, render


class Page(html.parser.HTMLParser):
    """Collects tags with attributes, the text, and tags that were not closed in order."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words, self.faults = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def png(width=40, height=20):
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def history(epochs):
    return [
        {
            "epoch": epoch,
            "step": epoch * 63,
            "train": {"loss": 0.7 / epoch, "accuracy": 1 - 0.5 / epoch},
            "valid": {"loss": 0.4 + 0.01 * abs(epoch - 20), "accuracy": 0.8 - 0.002 * abs(epoch - 30)},
            "learning_rate": 0.001,
            "examples_per_second": 60.0,
            "seconds": 33.0,
        }
        for epoch in range(1, epochs + 1)
    ]


def summary(labels=("cats", "dogs"), confusion=((431, 69), (88, 412)), demo=False):
    return {
        "recipe": "article",
        "parameters": 991041,
        "best_epoch": 30,
        "valid": {"accuracy": 0.8, "loss": 0.5},
        "test": {
            "accuracy": 0.843,
            "loss": 0.45,
            "examples": 1000,
            "confusion": [list(row) for row in confusion],
        },
        "labels": list(labels),
        "data": {
            "uri": "gs://bucket/cats & dogs",
            "demo": demo,
            "fingerprint": "abc123",
            "examples": {"train": 2000, "valid": 1000, "test": 1000},
            "rejected": 1,
        },
        "examples_per_second": 121.4,
        "goodput": 0.964,
        "wall_seconds": 4361.0,
        "epochs_run": 60,
        "steps": 3780,
        "devices": "2 GPUs",
        "strategy": "MirroredStrategy",
        "workers": 1,
        "replicas": 2,
        "precision": "float32",
        "stopped_early": True,
    }


CONFIG = {
    "recipe": "article",
    "epochs": 100,
    "learning_rate": 0.0005,
    "seed": 20260412,
    "augment": {"flip": True},
    "versions": {"keras": "3.15.0"},
    "command": ["catdog", "train", "--data", "gs://bucket/cats & dogs"],
}


def finished(**changed):
    values = {
        "config": CONFIG,
        "state": {"state": "succeeded", "exit_code": 0},
        "history": history(60),
        "summary": summary(),
        "figures": {name: png() for name in ("curves", "augmentation", "confusion", "mistakes")},
        "rejected": [{"path": "train/cats/1.jpg", "reason": "truncated"}],
        "defaults": {"epochs": 100, "learning_rate": 0.001},
    }
    return ReportInput(**(values | changed))


def test_a_finished_run_has_every_section_and_is_well_formed():
    page = Page(render(finished()))
    assert not page.faults
    assert not page.open
    ids = {attrs.get("id") for tag, attrs in page.tags if tag == "h2"}
    assert ids == {
        *("curves", "augmentation", "confusion", "mistakes", "rejected", "throughput", "data", "configuration"),
        *("versions", "again"),
    }
    for words in ("84.3\N{NO-BREAK SPACE}%", "1 h 13 min", "96.4\N{NO-BREAK SPACE}%", "abc123", "stopped early"):
        assert words in "".join(page.words)


def test_the_worst_class_stands_beside_accuracy():
    page = Page(render(finished(summary=summary(("cats", "dogs"), ((490, 10), (20, 20))))))
    assert "Balanced accuracy" in page.text
    assert "worst class: dogs, 50.0 % of 40" in page.text


THRESHOLDS = [
    {"threshold": 0.5, "answered": 1000, "share": 1.0, "accuracy": 0.843},
    {"threshold": 0.95, "answered": 412, "share": 0.412, "accuracy": 0.981},
    {"threshold": 0.99, "answered": 0, "share": 0.0, "accuracy": None},
]
QUALITY = {"loss_before": 0.5211, "loss_after": 0.4467, "ece_before": 0.0823, "ece_after": 0.0197}


def worth(temperature=1.83, **test):
    whole = summary()
    calibration = {"temperature": temperature, "valid": QUALITY, "test": QUALITY}
    return whole | {"test": whole["test"] | test} | ({"calibration": calibration} if temperature else {})


def test_what_probabilities_are_worth_is_told_where_it_is_known():
    page = Page(render(finished(summary=worth(ece=0.0197, thresholds=THRESHOLDS))))
    assert not page.faults
    assert "differ by 2.0 percentage points" in page.text
    assert "divides its logits by 1.83" in page.text
    assert "makes it less sure" in page.text
    assert re.search(r"Validation\s+0.5211 → 0.4467\s+8.2 → 2.0", page.text)
    assert re.search(r"at least 0.95\s+412\s+41.2 %\s+98.1 %", page.text.replace("\N{NO-BREAK SPACE}", " "))
    assert re.search(r"at least 0.99\s+0\s+0.0 %\s+–", page.text.replace("\N{NO-BREAK SPACE}", " "))
    assert "Top-5" not in page.text


def test_each_part_of_what_probabilities_are_worth_may_be_missing():
    assert "How sure" not in Page(render(finished())).text
    error_alone = Page(render(finished(summary=worth(None, ece=0.0197)))).text
    assert "percentage points" in error_alone
    assert "threshold" not in error_alone
    assert "logits" not in error_alone
    kept = worth(1.0) | {"test": None}
    kept["calibration"] |= {"valid": None, "test": None}
    assert "gave no reason" in Page(render(finished(summary=kept))).text
    assert "makes it more sure" in Page(render(finished(summary=worth(0.5)))).text
    assert "Top-5 accuracy 97.0" in Page(render(finished(summary=worth(top5_accuracy=0.97)))).text


def test_a_run_without_a_test_split_says_so_and_reports_validation():
    page = render(ReportInput(CONFIG, history=history(60), summary={**summary(), "test": None}))
    assert "the data set has no test split" in page
    assert "Validation accuracy" in page
    assert "Test accuracy" not in page
    valid = {"accuracy": 0.8, "accuracy_interval": [0.711, 0.867], "loss": 0.5}
    page = render(ReportInput(CONFIG, history=history(60), summary={**summary(), "test": None, "valid": valid}))
    assert "71.1 to 86.7\N{NO-BREAK SPACE}% with 95 % confidence; there is no test split" in page


def test_the_curves_are_put_in_words():
    text = Page(render(finished())).text
    assert re.search(r"highest at epoch 30 of 60", text)
    assert re.search(r"Overfitting starts at epoch (19|20|21|22)\b", text)
    assert "no clear sign of overfitting" in Page(render(finished(history=history(10)))).text


def test_the_kept_epoch_is_named_when_it_is_another():
    assert "kept the weights of epoch 12" in Page(render(finished(summary=summary() | {"best_epoch": 12}))).text
    assert "kept the weights" not in Page(render(finished())).text


@pytest.mark.parametrize("demo", [True, False])
def test_the_banner_is_there_for_demo_data_only(demo):
    text = Page(render(finished(summary=summary(demo=demo)))).text
    assert ("Drawn demo data, not photographs" in text) == demo


def test_a_running_run_says_what_is_missing():
    report = ReportInput(CONFIG, {"state": "running", "step": 126, "total_steps": 6300}, history(2))
    page = Page(render(report))
    assert not page.faults
    assert "Not finished" in page.text
    assert "126 of 6,300" in page.text
    assert "has not been evaluated" in page.text
    assert not any(tag == "img" for tag, _ in page.tags)


def test_a_failed_run_gives_its_reason_and_exit_code():
    state = {"state": "failed", "reason": "loss is not finite", "exit_code": 80, "rank": 1}
    text = Page(render(ReportInput({"recipe": "article"}, state))).text
    assert "This run failed. loss is not finite" in text.replace("  ", " ")
    assert re.search(r"Exit code\s+80", text)
    assert "No epoch has been completed yet" in text


def test_nothing_but_an_empty_configuration_still_makes_a_page():
    page = Page(render(ReportInput({})))
    assert not page.faults
    assert "State unknown" in page.text


def test_names_paths_and_reasons_are_escaped():
    evil = '<script>alert("x")</script>'
    page = render(
        finished(
            config=CONFIG | {"name": evil, "note": evil, "command": evil, "versions": {evil: evil}},
            state={"state": "failed", "reason": evil},
            summary=summary(labels=(evil, 'dogs" onerror="x')) | {"recipe": evil, "devices": evil},
            rejected=[{"path": evil, "reason": evil}],
            defaults={"epochs": evil},
        )
    )
    parsed = Page(page)
    assert "<script" not in page
    assert not any(tag == "script" for tag, _ in parsed.tags)
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert "".join(parsed.words).count(evil) >= 10


def test_nothing_is_loaded_from_elsewhere():
    page = Page(render(finished()))
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attrs.get(name, "data:").startswith("data:"), (tag, attrs)
    assert "url(" not in render(finished())
    assert "@import" not in render(finished())


def test_images_are_the_given_bytes_with_alternative_text_and_size():
    page = Page(render(finished(figures={"curves": png(60, 30)})))
    (image,) = [attrs for tag, attrs in page.tags if tag == "img"]
    assert base64.b64decode(image["src"].split(",")[1]) == png(60, 30)
    assert (image["width"], image["height"]) == ("60", "30")
    assert "Accuracy and loss per epoch" in image["alt"]


def test_a_figure_that_is_no_png_is_refused():
    with pytest.raises(ValueError, match="not a PNG"):
        render(finished(figures={"curves": b"GIF89a"}))


def test_headings_go_down_one_level_at_a_time_and_tables_have_headers():
    page = Page(render(finished(summary=summary(("a", "b", "c"), ((5, 1, 2), (0, 7, 0), (3, 0, 4))))))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables == sum(tag == "caption" for tag, _ in page.tags) > 5
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in page.tags if tag == "th")


def test_many_classes_are_folded_away_and_few_are_not():
    def folded(count):
        page = render(finished(summary=summary([f"c{at}" for at in range(count)], np.eye(count, dtype=int).tolist())))
        return f"Table of {count} classes" in page

    assert folded(37)
    assert not folded(5)


def test_the_list_of_rejected_pictures_is_bounded_and_says_so():
    many = [{"path": f"train/{at}.jpg", "reason": "truncated"} for at in range(5000)]
    page = render(finished(rejected=many))
    assert page.count('<tr><td class="path">') == 200
    assert "5,000 pictures were left out of the data set. 200 of them are listed here" in Page(page).text


def test_a_long_run_with_full_figures_stays_below_two_megabytes():
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (250, 300, 3), dtype=np.uint8)).save(noise, "PNG")
    assert len(noise.getvalue()) > 220_000
    figures = dict.fromkeys(("curves", "augmentation", "confusion", "mistakes"), noise.getvalue())
    assert len(render(finished(history=history(500), figures=figures)).encode()) < 2_000_000


def test_options_that_differ_from_the_recipe_are_flagged():
    found = {option.name: option for option in options(CONFIG, {"epochs": 100, "learning_rate": 0.001})}
    assert found["learning_rate"].default == "0.001"
    assert found["epochs"].default is None
    assert found["augment.flip"].value == "yes"
    assert found["seed"].value == "20260412"
    assert not {"versions", "versions.keras", "command"} & set(found)
    assert "1 option differs from the recipe" in Page(render(finished())).text


def test_the_command_can_be_pasted():
    assert "catdog train --data 'gs://bucket/cats & dogs'" in Page(render(finished())).text


def test_a_matrix_that_does_not_fit_the_labels_is_refused():
    with pytest.raises(ValueError, match="does not fit the 1 labels"):
        render(finished(summary=summary(labels=("cats",))))


PRETRAINED = {"model": "efficientnet-lite0", "epochs": 60, "head_epochs": 20, "unfreeze": ""}
COMPUTED = {"features": {"pictures": 4000, "seconds": 25.0}, "examples_per_second": 5504.0}


def test_rows_of_features_are_not_told_as_pictures_a_second():
    page = Page(render(finished(config=CONFIG | PRETRAINED, summary=summary() | COMPUTED)))
    assert "Feature rows per second 5,504" in page.text
    assert "Pictures per second 160" in page.text
    assert "Images per second" not in page.text
    assert "Images/s" not in page.text


def test_a_run_that_is_fine_tuned_tells_both_speeds_apart():
    rows = [row | {"examples_per_second": 5000.0 if row["epoch"] <= 20 else 40.0} for row in history(60)]
    config = CONFIG | PRETRAINED | {"unfreeze": "block12"}
    page = Page(render(finished(config=config, summary=summary() | COMPUTED, history=rows)))
    assert "Feature rows per second 5,000" in page.text
    assert "Images per second 40" in page.text
    assert "Feature rows/s, from epoch 21 images/s" in page.text


def test_names_that_would_hide_or_turn_text_are_shown_as_escapes():
    labels = ("cats\udcff", "do\u202egs\n<b>")
    page = Page(render(finished(summary=summary(labels))))
    assert "cats\\udcff" in page.text
    assert "do\\u202egs\\n<b>" in page.text
    assert not {"\u202e", "\udcff"} & set(page.text)
