"""Comparisons: networks in one figure, in sentences, in the terminal and in Prefect's UI."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table

from tasks.core.layout import COMPARISON, COMPARISON_PAGE
from tasks.evaluation.plots import side_by_side
from tasks.reporting.pages import link_folder
from tasks.reporting.screen import console_for, report_untracked
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
    "from the cache": "left",
}


def draw_curves(members: Sequence[dict[str, Any]]) -> "Figure":
    """Draw validation loss and accuracy by epoch, one colour per member and one line per seed."""
    import matplotlib as mpl
    from matplotlib.ticker import MaxNLocator

    few = len(members) <= len(mpl.colormaps["tab10"].colors)  # type: ignore[attr-defined]
    shades = mpl.colormaps["tab10" if few else "turbo"].resampled(10 if few else len(members))
    colors = [shades(number) for number in range(len(members))]
    figure, both = side_by_side(1, 1, height=4.0 + 0.22 * -(-len(members) // 3))
    for axes, name in zip(both, ("loss", "accuracy"), strict=True):
        for member, color in zip(members, colors, strict=True):
            for number, run in enumerate(member["runs"]):
                epochs = [epoch["epoch"] for epoch in run["history"]]
                values = [epoch[f"val_{name}"] for epoch in run["history"]]
                label = None if number else member["name"]
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
    return [
        member["name"],
        f"{summary['validation_loss']:.4f}" + (f"\n± {summary['validation_spread']:.4f}" if several else ""),
        f"{summary['accuracy']:.4f}"
        + (f" ± {summary['accuracy_spread']:.4f}" if several else "")
        + f"\n{low:.4f} to {high:.4f}",
        f"{summary['parameters']:,}",
        f"{summary['seconds']:.1f}",
        f"{summary['seconds_to_best']:.1f}",
        "yes" if is_from_cache(member) else "no",
    ]


def is_from_cache(member: dict[str, Any]) -> bool:
    """Return whether no run of a member had to be trained."""
    return all(step["cached"] for run in member["runs"] for step in run["steps"] if step["name"] == "train")


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
    verdicts: dict[str, list[str]] = {"better": [], "worse": [], "alike": []}
    for pair in comparison["pairs"]:
        if name in (pair["first"], pair["second"]):
            other = pair["second"] if pair["first"] == name else pair["first"]
            lead = pair["difference"] if pair["first"] == name else -pair["difference"]
            verdicts["alike" if pair["adjusted"] >= ALPHA else "better" if lead > 0 else "worse"].append(other)
    words = {
        "better": "On these it is significantly better than ",
        "worse": "On these it is significantly worse than ",
        "alike": "It does not differ significantly from ",
    }
    return " ".join(
        [chosen, *(words[verdict] + enumerate_names(others) + "." for verdict, others in verdicts.items() if others)]
    )


def enumerate_names(names: Sequence[str]) -> str:
    """Return names as in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


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
    rows = [describe_row(member)[:-1] for member in members]  # what came from the cache is said below
    for (name, justify), cells in zip(COLUMNS.items(), zip(*rows, strict=True), strict=False):
        # Eighty characters hold the numbers if the names give way.
        words = [*name.split(), *(line for cell in cells for line in cell.split("\n"))]
        table.add_column(name, justify=justify, width=None if name == "network" else max(map(len, words)))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    kept = sum(member["summary"] is not None and is_from_cache(member) for member in members)
    console.print(f"{kept} of {len(members)} networks came from the cache.")
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
