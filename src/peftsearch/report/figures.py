"""The pictures of a report, as SVG text that is the same for the same run."""

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Patch, Rectangle  # noqa: E402

from peftsearch.report.collect import RunRecord  # noqa: E402
from peftsearch.space import Role  # noqa: E402

# Colours that people with colour-blindness tell apart (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
_EMPTY = "#e8e8e8"


def kind_colours(kinds: list[str]) -> dict[str, str]:
    """A colour for each kind, by its place in the sorted list."""
    return {kind: COLOURS[i % len(COLOURS)] for i, kind in enumerate(sorted(kinds))}


def draw_map(record: RunRecord) -> str:
    """What stands where: rows are layers, columns roles; the colour of a tile is the kind, its number the rank."""
    stacks = sorted({site["stack"] for site in record.sites}, key=("encoder", "decoder").index)
    kinds = sorted({choice.kind for choice in record.configuration}) or ["none"]
    colours = kind_colours(kinds)
    heights = [_num_rows(record, stack) for stack in stacks]
    figure, axes = pyplot.subplots(
        len(stacks), 1, figsize=(11, 1.4 + 0.34 * sum(heights)), squeeze=False, height_ratios=heights
    )
    for axis, stack in zip(axes[:, 0], stacks):
        _draw_stack(axis, record, stack, colours)
    figure.legend(
        handles=[Patch(color=colours[kind], label=kind) for kind in kinds], loc="upper right", ncols=4, frameon=False
    )
    return figure_to_svg(figure)


def _num_rows(record: RunRecord, stack: str) -> int:
    return 1 + max(site["layer"] for site in record.sites if site["stack"] == stack)


def _draw_stack(axis: Axes, record: RunRecord, stack: str, colours: dict[str, str]) -> None:
    sites = [site for site in record.sites if site["stack"] == stack]
    roles = [role for role in Role if any(site["role"] == role for site in sites)]
    rows = _num_rows(record, stack)
    by_site: dict[str, list[Any]] = {}
    for choice in record.configuration:
        by_site.setdefault(choice.site, []).append(choice)
    for site in sites:
        column, row = roles.index(site["role"]), site["layer"]
        axis.add_patch(Rectangle((column + 0.04, row + 0.08), 0.92, 0.84, color=_EMPTY, linewidth=0))
        _draw_choices(axis, column, row, by_site.get(site["name"], []), colours)
    axis.set(xlim=(0, len(roles)), ylim=(0, rows), title=stack)
    axis.set_xticks([i + 0.5 for i in range(len(roles))], [r.replace("_", "\n") for r in roles], fontsize=8)
    axis.set_yticks([i + 0.5 for i in range(rows)], [str(i) for i in range(rows)], fontsize=8)
    axis.set_ylabel("layer")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_choices(axis: Axes, column: int, row: int, choices: list[Any], colours: dict[str, str]) -> None:
    width = 0.92 / max(1, len(choices))
    for i, choice in enumerate(choices):
        x = column + 0.04 + i * width
        axis.add_patch(Rectangle((x, row + 0.08), width, 0.84, color=colours[choice.kind], linewidth=0))
        axis.text(x + width / 2, row + 0.5, choice.rank, ha="center", va="center", fontsize=7, color="white")


def draw_search(record: RunRecord) -> str | None:
    """Size, stability and losses over the steps of a search; None where there was none."""
    rows = [row for row in record.search_log if "expected_parameters" in row]
    if not rows:
        return None
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3))
    _draw_size(axes[0], rows, record.results["budget"]["parameters"])
    _plot(axes[1], rows, ("stability",))
    axes[1].set(title="stability of the ranking", ylim=(0, 1.05))
    _plot(axes[2], rows, ("loss_weights", "loss_architecture"))
    axes[2].set(title="losses")
    axes[2].legend(frameon=False, fontsize=7)
    for axis in axes:
        axis.set_xlabel("search step")
    figure.tight_layout()
    return figure_to_svg(figure)


def _draw_size(axis: Axes, rows: list[dict[str, Any]], budget: int) -> None:
    _plot(axis, rows, ("expected_parameters",))
    axis.axhline(budget, color="black", linestyle=":", label="budget")
    axis.set(title="expected parameters", yscale="log")
    other = axis.twinx()
    other.plot([row["step"] for row in rows], [row["live_modules"] for row in rows], color=COLOURS[1])
    other.set_ylabel("live modules", color=COLOURS[1], fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def _plot(axis: Axes, rows: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    for name in names:
        points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
        axis.plot([x for x, _ in points], [y for _, y in points], label=name.replace("_", " "), linewidth=1.2)


def draw_front(record: RunRecord) -> str | None:
    """Score against parameters of every trial, and the Pareto front; None where few were trained."""
    scored = [row for row in record.trials if row["score"] is not None]
    if len(scored) < 2 or not record.front:
        return None
    figure, axis = pyplot.subplots(figsize=(7, 3.5))
    _scatter(axis, scored, marker=".", color=COLOURS[4], label="trial")
    front = [(row["parameters"], row["score"]) for row in record.front]
    axis.step([x for x, _ in front], [y for _, y in front], where="post", color=COLOURS[5], linewidth=1.2)
    _scatter(axis, record.front, marker="o", color=COLOURS[5], label="Pareto front")
    if record.results["budget"]:
        axis.axvline(record.results["budget"]["parameters"], color="black", linestyle=":", label="budget")
    metric = record.results["selection_metric"]
    axis.set(xscale="log", xlabel="parameters", ylabel=f"validation {metric.replace('_', ' ')} in the search")
    axis.legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return figure_to_svg(figure)


def _scatter(axis: Axes, rows: list[dict[str, Any]], **style: Any) -> None:
    points = [(row["parameters"], row["score"]) for row in rows]
    axis.plot([x for x, _ in points], [y for _, y in points], linestyle="none", **style)


def draw_training(record: RunRecord) -> str | None:
    """Loss and validation score over the steps of every training."""
    metric = f"validation_{record.results['selection_metric']}"
    if not record.training_logs:
        return None
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 3))
    for axis, name, title in ((axes[0], "loss", "training loss"), (axes[1], metric, metric.replace("_", " "))):
        for label, rows in record.training_logs.items():
            points = [(row["step"], row[name]) for row in rows if name in row]
            axis.plot([x for x, _ in points], [y for _, y in points], label=label, marker=".")
        axis.set(title=title, xlabel="step")
        axis.legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return figure_to_svg(figure)


def figure_to_svg(figure: Figure) -> str:
    """SVG without a date and with fixed ids; text stays text, which readers can search."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "peftsearch", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
