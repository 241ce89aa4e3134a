"""Pruning: remove old folders that are ours by our own records, and nothing else."""

import contextlib
import itertools
import math
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tasks.core import files
from tasks.core.files import is_held, lock_file, locked
from tasks.core.layout import CHECKPOINTS, COMPARISONS, LATEST, RUNS
from tasks.store.artifact import DamagedError
from tasks.store.inventory import DAY, Entry, artifact_keys, list_artifacts, live_uses, step_folders
from tasks.store.store import Store, last_used

# The files of runs, comparisons and unfinished trainings; a folder with others is not ours.
OWN_FILES = {
    RUNS: re.compile(r"config\.json|metrics\.json|report\.html|label_issues\.csv|figures/.+"),
    COMPARISONS: re.compile(r"config\.json|comparison\.(json|html)|figures/.+"),
    CHECKPOINTS: re.compile(r"\.?(state\.json|finished|epoch-\d+)\b[^/]*"),
}


@dataclass
class Pruned:
    """What pruning removed, or would remove.

    Attributes:
        removed: other paths than artifacts: old runs, comparisons and checkpoints, unfinished folders of killed runs.
        held: old paths that a running process holds.
    """

    artifacts: list[Entry] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)


def prune(root: Path, days: int, *, dry_run: bool = False) -> Pruned:
    """Remove what was last used more than `days` ago and before any running process started.

    Of a service only the model that it serves is kept, with its run. Each folder is removed under its lock if it is
    still unused then: a run that starts meanwhile rebuilds it, or has marked it as used. What a running process holds
    is skipped. A dry run returns what would be removed, and writes nothing.
    """
    lock = contextlib.nullcontext() if dry_run else locked(lock_file(root, "prune/store"), "prune")
    with lock, files.explain_os_errors(root):
        alive_since, served = live_uses(root, dry_run=dry_run)
        cutoff = min(time.time() - days * DAY, alive_since)
        entries = {entry["key"]: entry for entry in list_artifacts(root)}
        pruned = Pruned(held=[key for key in entries if key.replace("/", "-") in served])
        kept = {Path(key).name for key in pruned.held} | {run for key in pruned.held for run in entries[key]["runs"]}
        # First the unfinished folders: the lock that shows that they are ours may be removed with an artifact.
        unfinished = list(find_unfinished(root, min(time.time() - files.UNFINISHED_SECONDS, alive_since)))
        for folder, name in itertools.chain(unfinished, ((old, "") for old in find_old(root, cutoff, kept))):
            place = folder.relative_to(root).as_posix()
            own_lock = lock_file(root, f"{folder.parent.name}/{name or folder.name}")
            with hold(own_lock, dry_run=dry_run) as is_free:
                if not is_free:
                    pruned.held.append(place)
                elif (name or last_use(folder) < cutoff) and (dry_run or files.remove_whole(folder, name)):
                    if not dry_run:
                        own_lock.unlink(missing_ok=True)
                    if place in entries:
                        pruned.artifacts.append(entries[place])
                    else:
                        pruned.removed.append(place)
    return pruned


def hold(lock: Path, *, dry_run: bool) -> contextlib.AbstractContextManager[bool]:
    """Hold a lock, and yield whether no other process holds it; a dry run only looks."""
    return contextlib.nullcontext(not is_held(lock)) if dry_run else locked(lock, wait=False)


def find_old(root: Path, cutoff: float, kept: Collection[str]) -> Iterator[Path]:
    """Yield the folders of ours that were last used before `cutoff`, in seconds since 1970.

    Not those named in `kept`, nor the latest run and comparison.
    """
    latest = [(root / place / LATEST).resolve().name for place in (RUNS, COMPARISONS)]
    stamped = [folder for place in (RUNS, COMPARISONS) for folder in sorted((root / place).glob("[!.]*/"))]
    artifacts = [root / key for key in artifact_keys(root)]
    for folder in (*artifacts, *sorted((root / CHECKPOINTS).glob("*/*/")), *stamped):
        if folder.name not in (*kept, *latest) and last_use(folder) < cutoff and is_own(root, folder):
            yield folder


def find_unfinished(root: Path, before: float) -> Iterator[tuple[Path, str]]:
    """Yield the unfinished folders of killed processes, last written to before `before`, and their final names."""
    for step in step_folders(root):
        for left, name in files.unfinished_folders(step, before):
            if lock_file(root, f"{step.name}/{name}").exists():  # else it is not ours
                yield left, name
    for place in (root / RUNS, root / COMPARISONS, *(root / CHECKPOINTS).glob("*/")):
        yield from files.unfinished_folders(place, before)


def last_use(folder: Path) -> float:
    """Return when an artifact was last used or another folder last written to, in seconds since 1970.

    Infinity if a file vanishes meanwhile, because a process is at it.
    """
    try:
        written = (path.stat().st_mtime for path in files.list_files(folder))
        return last_used(folder) or max(written, default=folder.stat().st_mtime)
    except FileNotFoundError:
        return math.inf


def is_own(root: Path, folder: Path) -> bool:
    """Return whether a folder is ours, with all its files: by the manifest of an artifact, else by their names."""
    place, store = folder.relative_to(root).parts[0], Store(root)
    if place not in OWN_FILES:
        with contextlib.suppress(DamagedError):
            return not store.foreign_files(store.read(folder.relative_to(root).as_posix()))
        return False
    is_stamped = place == CHECKPOINTS or files.STAMPED.fullmatch(folder.name)
    names = [path.relative_to(folder).as_posix() for path in files.list_files(folder)]
    return bool(is_stamped) and not folder.is_symlink() and all(map(OWN_FILES[place].fullmatch, names))
