import re
from collections import Counter

import pytest
from matplotlib.figure import Figure

from peftsearch.report.drawing import COLOURS, INK, drawing_style, finish, ink_on


def draw(name: str, text: str = "x"):
    with drawing_style():
        figure = Figure()
        axis = figure.add_subplot(title=text)
        axis.plot([0, 1], [0, 1], label=text)
        axis.legend()
        return finish(figure, name=name, title=text, description=text)


def test_pictures_on_one_page_share_no_id():
    page = draw("one").page_svg + draw("two").page_svg
    ids = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert max(ids.values()) == 1
    references = re.findall(r'(?:url\(#|href="#|aria-labelledby=")([^")]+)', page)
    assert references and set(references) <= set(ids)


def test_ink_takes_the_colour_of_the_page_and_keeps_its_own_in_the_file():
    drawing = draw("one")
    assert INK in drawing.svg and "currentColor" not in drawing.svg
    assert INK not in drawing.page_svg and "currentColor" in drawing.page_svg


@pytest.mark.parametrize("text", ["<b>&amp;</b>", "$\\frac{$", "$x^2$", "_hidden", "日本"])
def test_any_text_can_be_drawn_as_it_is(text):
    svg = draw("one", text).svg
    assert "<b>" not in svg
    assert text in svg or "&lt;b&gt;" in svg


def test_the_users_own_matplotlib_settings_change_nothing(monkeypatch):
    import matplotlib

    before = draw("one").svg
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": None, "axes.facecolor": "red"}):
        assert draw("one").svg == before


def test_numbers_on_tiles_have_the_contrast_that_wcag_asks_of_large_text():
    # WCAG 2.2, 1.4.3: at least 3:1, by its formula for relative luminance.
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear))

    for colour in COLOURS:
        dark, light = sorted((luminance(colour), luminance(ink_on(colour))))
        assert (light + 0.05) / (dark + 0.05) >= 4.5
