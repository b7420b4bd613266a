import json
import xml.etree.ElementTree as ElementTree

from peftsearch.report.collect import collect
from peftsearch.report.drawing import COLOURS
from peftsearch.report.module_map import draw_map
from peftsearch.space import Choice, Configuration


def texts(svg: str) -> list[str]:
    elements = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip() for element in elements]


def test_ranked_kinds_show_their_rank_and_the_legend_counts_kinds(run):
    found = texts(draw_map(collect(run)).svg)
    assert found.count("4") == 1  # the rank; layers are 0, 1 and the end
    assert {"1 lora", "1 bitfit", "site without a module", "encoder", "query", "end"} <= set(found)


def test_every_module_has_a_tile_in_the_colour_of_its_kind(run):
    choices = [Choice("encoder.0.query", kind, rank) for kind, rank in (("lora", 8), ("bitfit", 1), ("other", 2))]
    choices += [Choice("encoder.1.query", "bitfit"), Choice("encoder.final_norm", "bitfit")]
    Configuration.of(choices).save(run / "configuration.json")
    svg = draw_map(collect(run)).svg
    # Kinds take the colours in their order by name, and the legend has each colour once more.
    assert [svg.count(f"fill: {colour}") for colour in COLOURS[:4]] == [3 + 1, 1 + 1, 1 + 1, 0]


def test_roles_of_two_stacks_stand_in_two_grids_the_encoder_first(run):
    sites = [
        {"name": f"{stack}.0.query", "stack": stack, "layer": 0, "role": "query"} for stack in ("decoder", "encoder")
    ]
    (run / "sites.json").write_text(json.dumps(sites))
    found = texts(draw_map(collect(run)).svg)
    assert found.count("query") == 2 and found.index("encoder") < found.index("decoder")


def test_nothing_is_drawn_before_something_is_found(unfinished):
    assert draw_map(collect(unfinished)) is None


def test_an_empty_configuration_is_drawn_and_said(run):
    Configuration().save(run / "configuration.json")
    assert draw_map(collect(run)).description == "No module is attached."


def test_the_description_says_in_words_what_the_picture_shows(run):
    drawing = draw_map(collect(run))
    assert drawing.description.startswith("2 modules: 1 bitfit, 1 lora. Most stand in encoder.")
    root = ElementTree.fromstring(drawing.svg)
    assert root.find("{http://www.w3.org/2000/svg}title").text == "What stands where"
    assert root.get("role") == "img"
