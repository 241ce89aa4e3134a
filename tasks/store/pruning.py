"""Pruning: remove old files that are ours by our own records, and nothing else."""

import contextlib
import re
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from tasks.core import files
from tasks.core.files import is_held, lock_file, locked
from tasks.core.layout import CHECKPOINTS, COMPARISONS, LATEST, RUNS
from tasks.store.artifact import DamagedError
from tasks.store.inventory import DAY, Entry, artifact_keys, list_artifacts, live_uses, step_folders
from tasks.store.store import Store, last_used

# The files of runs, comparisons and unfinished trainings; a folder with others is not ours.
STAMPED_FILES = {
    RUNS: re.compile(r"config\.json|metrics\.json|report\.html|label_issues\.csv|figures/.+"),
    COMPARISONS: re.compile(r"config\.json|comparison\.(json|html)|figures/.+"),
}
CHECKPOINT_FILES = re.compile(r"\.?(state\.json|finished|epoch-\d+)\b[^/]*")


@dataclass
class Pruned:
    """The result of pruning; with `dry_run` nothing was removed, and the rest says what would be.

    Attributes:
        removed: other paths than artifacts: old runs and comparisons, unfinished folders of killed runs.
        held: old keys that a running process holds.
        foreign_files: files among ours that are not ours; they were not touched.
    """

    artifacts: list[Entry] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    foreign_files: list[str] = field(default_factory=list)
    dry_run: bool = False

    def free(self, lock: Path) -> contextlib.AbstractContextManager[bool]:
        """Hold a lock, and yield whether no other process holds it; a dry run only looks."""
        return contextlib.nullcontext(not is_held(lock)) if self.dry_run else locked(lock, wait=False)

    def remove(self, path: Path, name: str = "") -> bool:
        """Remove a folder or a lock, and return whether it was still there."""
        if self.dry_run:
            return True
        if path.is_dir():
            return files.remove_whole(path, name)
        path.unlink(missing_ok=True)
        return True


def prune(root: Path, days: int, *, dry_run: bool = False) -> Pruned:
    """Remove what was last used more than `days` ago and before any running process started.

    Of a service only the model that it serves is kept, with its run. Each artifact is removed under its lock if it is
    still unused then: a run that starts meanwhile rebuilds it, or has marked it as used. What a running process holds
    is skipped. A dry run returns what would be removed, and writes nothing.
    """
    lock = contextlib.nullcontext() if dry_run else locked(lock_file(root, "prune/store"), "prune")
    with lock, files.explain_os_errors(root):
        pruned, serving_runs = Pruned(foreign_files=artifact_keys(root, foreign=True), dry_run=dry_run), set()
        alive_since, served = live_uses(root, dry_run=dry_run)
        cutoff = min(time.time() - days * DAY, alive_since)
        for entry in list_artifacts(root):
            if entry["key"].replace("/", "-") in served:
                pruned.held.append(entry["key"])
                serving_runs.update(entry["runs"])
            elif last_used(root / entry["key"]) < cutoff:
                prune_artifact(root, entry, cutoff, pruned)
        for folder in sorted((root / CHECKPOINTS).glob("*/*/")):
            prune_checkpoint(root, folder, cutoff, pruned)
        for place, ours in STAMPED_FILES.items():
            prune_stamped(root, place, ours, cutoff, pruned, serving_runs)
        prune_unfinished(root, min(time.time() - files.UNFINISHED_SECONDS, alive_since), pruned)
    return pruned


def prune_artifact(root: Path, entry: Entry, cutoff: float, pruned: Pruned) -> None:
    """Remove an artifact and its lock, if its manifest is undamaged and the folder has no other files."""
    key, store = entry["key"], Store(root)
    with pruned.free(lock_file(root, key)) as free:
        try:
            if not free:
                pruned.held.append(key)
            elif others := store.foreign_files(store.read(key)):
                pruned.foreign_files.extend(str(path.relative_to(root)) for path in others)
            elif last_used(root / key) < cutoff:
                pruned.remove(root / key)
                pruned.remove(lock_file(root, key))
                pruned.artifacts.append(entry)
        except DamagedError as damage:
            pruned.foreign_files.append(str(damage))


def prune_checkpoint(root: Path, folder: Path, cutoff: float, pruned: Pruned) -> None:
    """Remove the checkpoint of a training that stopped before `cutoff`, in seconds since 1970."""
    key = f"{folder.parent.name}/{folder.name}"
    with pruned.free(lock_file(root, key)) as free:
        if free:
            prune_folder(root, folder, CHECKPOINT_FILES, cutoff, pruned)
        else:
            pruned.held.append(f"{CHECKPOINTS}/{key}")


def prune_stamped(
    root: Path, place: str, ours: re.Pattern[str], cutoff: float, pruned: Pruned, kept: Collection[str]
) -> None:
    """Remove the folders of runs or comparisons from before `cutoff`, except `latest` and those in `kept`."""
    latest = (root / place / LATEST).resolve()
    for folder in sorted((root / place).glob("[!.]*/")):
        if not files.STAMPED.fullmatch(folder.name) and not folder.is_symlink():
            pruned.foreign_files.append(f"{place}/{folder.name}")
        elif not folder.is_symlink() and folder.resolve() != latest and folder.name not in kept:
            prune_folder(root, folder, ours, cutoff, pruned)


def prune_folder(root: Path, folder: Path, ours: re.Pattern[str], cutoff: float, pruned: Pruned) -> None:
    """Remove a folder whose files are all older than `cutoff`, if all of them are ours by their names."""
    found = files.list_files(folder)
    if max((path.stat().st_mtime for path in found), default=folder.stat().st_mtime) >= cutoff:
        return
    others = [path for path in found if not ours.fullmatch(path.relative_to(folder).as_posix())]
    if others:
        pruned.foreign_files.extend(str(path.relative_to(root)) for path in others)
    else:
        pruned.remove(folder)
        pruned.removed.append(str(folder.relative_to(root)))


def prune_unfinished(root: Path, before: float, pruned: Pruned) -> None:
    """Remove the unfinished folders of killed processes; those without a lock if they are from before `before`."""
    for step in step_folders(root):
        for left, name in files.unfinished_folders(step):
            lock = lock_file(root, f"{step.name}/{name}")
            if lock.exists():  # else it is not ours
                with pruned.free(lock) as free:
                    if free and pruned.remove(left, name):
                        pruned.removed.append(str(left.relative_to(root)))
    for place in (*(root / name for name in STAMPED_FILES), *(root / CHECKPOINTS).glob("*/")):
        old = [left for left, name in files.unfinished_folders(place, before) if pruned.remove(left, name)]
        pruned.removed.extend(str(left.relative_to(root)) for left in old)
