"""Comparisons: networks in one figure, in sentences, in the terminal and in Prefect's UI."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table

from tasks.core.layout import COMPARISON, COMPARISON_PAGE
from tasks.evaluation.plots import side_by_side
from tasks.reporting.pages import link_folder
from tasks.reporting.screen import WIDE, console_for, report_untracked
from tasks.store.step_log import TRACK, unfinished_step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHA = 0.05
COLUMNS: dict[str, Literal["left", "right"]] = {
    "network": "left",
    "validation loss": "right",
    "test accuracy, 95% interval": "right",
    "parameters": "right",
    "seconds an epoch": "right",
    "seconds to best": "right",
}


def draw_curves(members: Sequence[dict[str, Any]]) -> "Figure":
    """Draw validation loss and accuracy by epoch, one colour per member and one line per seed."""
    import matplotlib as mpl
    from matplotlib.ticker import MaxNLocator

    shades = mpl.colormaps["tab10"] if len(members) <= 10 else mpl.colormaps["turbo"].resampled(len(members))
    figure, both = side_by_side(1, 1, height=4.0 + 0.22 * -(-len(members) // 3))
    for axes, name in zip(both, ("loss", "accuracy"), strict=True):
        for place, member in enumerate(members):
            for number, run in enumerate(member["runs"]):
                epochs = [epoch["epoch"] for epoch in run["history"]]
                values = [epoch[f"val_{name}"] for epoch in run["history"]]
                label, color = None if number else member["name"], shades(place)
                axes.plot(epochs, values, "o-", color=color, alpha=0.85, markersize=4, linewidth=1.4, label=label)
        axes.set(title=f"{name.capitalize()} on the validation texts", xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles, labels = both[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def describe_row(member: dict[str, Any]) -> list[str]:
    """Return a member's cells of the table, with one or two lines each; ± precedes a standard deviation."""
    summary = member["summary"]
    if summary is None:
        return [member["name"], "failed", *("" for _ in range(len(COLUMNS) - 2))]
    low, high = summary["ci95"]
    several = summary["accuracy_spread"] is not None
    loss_spread = f"\n± {summary['validation_spread']:.4f}" if several else ""
    spread = f" ± {summary['accuracy_spread']:.4f}" if several else ""
    return [
        member["name"],
        f"{summary['validation_loss']:.4f}{loss_spread}",
        f"{summary['accuracy']:.4f}{spread}\n{low:.4f} to {high:.4f}",
        f"{summary['parameters']:,}",
        f"{summary['seconds']:.1f}",
        f"{summary['seconds_to_best']:.1f}",
    ]


def describe_choice(comparison: dict[str, Any]) -> str:
    """Return sentences on the chosen network, and on the others that differ from it significantly."""
    name = comparison["chosen"]
    if name is None:
        return "No network could be trained, so none is chosen."
    summary, metric = comparison["members"][0]["summary"], comparison["metric"]
    measured = f"best {metric} ({abs(summary['cost']):.4f})" if metric else f"lowest loss ({summary['cost']:.4f})"
    chosen = (
        f"The validation texts choose {name}, with the {measured}; "
        f"it is right on {100 * summary['accuracy']:.2f}% of the test texts."
    )
    better, worse = "On these it is significantly better than", "On these it is significantly worse than"
    alike = "It does not differ significantly from"
    others: dict[str, list[str]] = {better: [], worse: [], alike: []}
    for pair in comparison["pairs"]:
        if pair["first"] == name:  # the chosen one ranks first, so it is the first of all its pairs
            verdict = alike if pair["adjusted"] >= ALPHA else better if pair["difference"] > 0 else worse
            others[verdict].append(pair["second"])
    return " ".join([chosen, *(f"{words} {', '.join(names)}." for words, names in others.items() if names)])


def describe_sight(comparison: dict[str, Any]) -> str:
    """Return sentences on the test figures that were seen, and on what that means for a choice."""
    finished = [member for member in comparison["members"] if member["summary"]]
    words = (
        f"The choice uses the validation texts alone, although the test figures of all {len(finished)} finished "
        "networks are shown. A choice by test accuracy from this table would be partly luck, and would need a new test "
        "on unseen texts."
    )
    if comparison["search"]:
        words += (
            f" Of the {len(comparison['search']['trials'])} trials of the search only the one with the lowest "
            "validation loss was tested; no test figure of the others exists."
        )
    data = [member["settings"]["data"] for member in finished]
    if len({(settings["validation_split"], settings["whole_groups"]) for settings in data}) > 1:
        words += (
            " Not all were validated on the same texts (data.validation_split, data.whole_groups), so small "
            "differences between their losses mean nothing."
        )
    return words


def show_comparison(folder: Path) -> int:
    """Print the results of a comparison; the exit status is 1 if a member failed, 3 if it could not be tracked."""
    comparison = json.loads((folder / COMPARISON).read_text("utf-8"))
    console = console_for()
    dataset, members = comparison["dataset"], comparison["members"]
    size = f"{dataset['test']:,} test texts" if comparison["chosen"] else "no network finished"
    table = Table(title=f"{dataset['name']}: {size}", title_justify="left")
    rows = [describe_row(member) for member in members]
    if console.width < WIDE:  # one number per row
        table.show_header = False
        for row in rows:
            for name, cell in zip(COLUMNS, row, strict=True):
                table.add_row(name, cell)
            table.add_section()
    else:
        for (name, justify), cells in zip(COLUMNS.items(), zip(*rows, strict=True), strict=True):
            # Eighty characters hold the numbers if the names give way.
            words = [*name.split(), *(line for cell in cells for line in cell.split("\n"))]
            table.add_column(name, justify=justify, width=None if name == "network" else max(map(len, words)))
        for row in rows:
            table.add_row(*row)
    console.print(table)
    console.print(describe_choice(comparison))
    failed = [member for member in members if member["failure"]]
    for member in failed:
        console.print(f"{member['name']} failed: {member['failure']}", style="bold")
    console.print(f"Comparison: {folder / COMPARISON_PAGE}", soft_wrap=True)
    if unfinished_step() == TRACK and not failed:
        return report_untracked("run the same again: all networks come from the cache")
    return 1 if failed else 0


def show_in_prefect(comparison: dict[str, Any], folder: Path) -> None:
    """Put the table of a comparison and a link to its folder into Prefect's UI."""
    from prefect.artifacts import create_table_artifact

    cells = [[cell.replace("\n", ", ") for cell in describe_row(member)] for member in comparison["members"]]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in cells]
    said = f"{describe_choice(comparison)} {describe_sight(comparison)}"
    create_table_artifact(rows, key="imdb-pipeline-comparison", description=said)
    link_folder(folder, "imdb-pipeline-comparison-folder")
