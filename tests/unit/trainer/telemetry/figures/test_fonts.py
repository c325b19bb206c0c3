import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.trainer.telemetry.figures.samples import picture
from trainer.telemetry.figures import fonts
from trainer.telemetry.figures.confusion import confusion_png
from trainer.telemetry.figures.photos import Mistake, mistakes_png

CAT = "\u732b"


@pytest.fixture
def no_other_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_others", tuple)


def test_names_that_the_default_font_has_stay(no_other_font: None) -> None:
    assert fonts.legible("Katzen äöü κόσμος кошка") == "Katzen äöü κόσμος кошка"
    assert fonts.families("Katzen") == [fonts.DEFAULT]


def test_without_a_font_characters_are_shown_as_escapes(no_other_font: None) -> None:
    assert fonts.legible(f"{CAT}s \U0001f9ff\udcff\n") == "\\u732bs \\U0001f9ff\\udcff\\n"


def test_a_font_of_the_machine_that_has_them_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = (SimpleNamespace(name="None", fname="none"), SimpleNamespace(name="Some", fname="some"))
    glyphs = fonts._glyphs
    monkeypatch.setattr(fonts, "_others", lambda: entries)
    monkeypatch.setattr(fonts, "_glyphs", lambda file: {"none": set(), "some": {ord(CAT)}}.get(file) or glyphs(file))
    assert fonts.legible(f"{CAT}s") == f"{CAT}s"
    assert fonts.families(f"{CAT}s") == [fonts.DEFAULT, "Some"]


def test_figures_with_any_name_are_drawn_without_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    labels = [f"{CAT}{CAT}", "\u05db\u05dc\u05d1", "\U0001f9ff", "a\udcffb", "tab\tand\x1bescape", "\u202eodd"]
    mistake = Mistake(picture(1), f"train/{CAT}/\udcff\n{CAT}.jpg", labels[0], labels[3], 0.75)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        confusion_png(np.eye(len(labels), dtype=np.int64), labels)
        mistakes_png([mistake])
    assert capfd.readouterr() == ("", "")
