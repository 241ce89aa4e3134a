"""Predict: score raw text with the champion, or with the model that is named."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core.command_settings import STDIN, PredictSettings
from tasks.core.errors import InputError
from tasks.core.files import digest, explain_os_errors, hash_file, locked
from tasks.core.user_paths import check_writable, user_path
from tasks.evaluation.drift import Profile, add, measure_drift, profile, sampling_noise
from tasks.network.bundle import Classifier
from tasks.network.verdicts import added_names, describe_explanation, explain, judge_texts, verdict_columns
from tasks.registry.loading import load_classifier
from tasks.reporting.prefect_ui import Advance, announce_drift, showing_progress
from tasks.store.step import run_logger, task
from tasks.texts.padded import words_kept
from tasks.texts.sources.layouts import hash_files, label_folders, name_in
from tasks.texts.tables.columns import EmptyTable, ReadOptions, texts_of
from tasks.texts.tables.reading import OnRead, read_batches
from tasks.texts.tables.table_files import check_readable, files_within, form_of, table_files
from tasks.texts.tables.text_folder import FILE_NAME
from tasks.texts.tables.writing import WRITERS, refuse_unwritable, writable_form

ROWS_EXPLAINED = 64  # before they are kept


def score_batch(classifier: Classifier, batch: pa.RecordBatch, texts: pa.Array, words: int) -> tuple[pa.Table, Profile]:
    """Return a batch with the columns of `verdict_columns`, and `words` words if any; and its profile."""
    padded, words_of_text = classifier.encode(texts)
    probabilities = classifier.score(padded)
    facts = classifier.facts
    start_char = None if facts.counts_start else classifier.encoding.start_char
    lengths, known_and_unknown = words_kept(padded, start_char), words_of_text.sum(axis=0).tolist()
    counted = profile(lengths, known_and_unknown, probabilities, facts.reference["length_edges"])
    counted["no_known_words"] = int((words_of_text[:, 0] == 0).sum())
    table = pa.Table.from_batches([batch])
    added = verdict_columns(classifier, probabilities)
    if words:
        found = (explain(classifier, text, words) for text in texts.to_pylist())
        added["words"] = pa.array([describe_explanation(each, len(classifier.facts.labels)) for each in found])
    for name, column in added.items():
        table = table.append_column(name, column)
    return table, counted


def read_rows(source: Path, options: ReadOptions, on_read: OnRead) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, or of a folder of texts per label, with the columns label and file."""
    folders = label_folders(source)
    for number, folder in enumerate(folders or [source]):

        def on_part(share: float, number: int = number) -> None:
            on_read((number + share) / (len(folders) or 1))

        for batch in read_batches(folder, options, on_part):
            if folders:
                files = pc.binary_join_element_wise(name_in(source, folder), batch[FILE_NAME], "/")
                batch = batch.set_column(2, "file", files)
            yield batch


def score_parts(
    classifier: Classifier, source: Path, output: Path, options: ReadOptions, words: int, on_read: OnRead
) -> int:
    """Score a file part by part into `parts_of` its output, keeping finished ones, and return the number of rows.

    `words` is the number of words to name for each text; the output's format must hold every column.
    """
    rows, batches = 0, read_rows(source, options, on_read)
    if words:  # which takes up to a second for each text
        batches = (batch.slice(at, ROWS_EXPLAINED) for batch in batches for at in range(0, len(batch), ROWS_EXPLAINED))
    for number, batch in enumerate(batches):
        refuse_unwritable(batch.schema, form_of(output)[0], source)
        if taken := {*added_names(classifier.facts), *(["words"] if words else [])} & set(batch.schema.names):
            raise InputError(f"{source}: has a column {min(taken)!r} already; rename it")
        path = parts_of(output) / f"{number:06d}.parquet"
        texts = texts_of(batch, options.text_column, source, rows + 1 + np.arange(len(batch)))
        if not path.exists():
            table, counted = score_batch(classifier, batch, texts, words)
            path.with_suffix(".json").write_text(json.dumps(counted))
            draft = path.with_suffix(".draft")
            pq.write_table(table, draft, compression="zstd")
            draft.rename(path)
        rows += len(batch)
    if not rows:
        raise EmptyTable(f"{source}: has no rows to score")
    return rows


def join_parts(output: Path, about: dict[str, str]) -> None:
    """Write all parts to one file atomically, in Parquet with facts about the model as metadata."""
    files = sorted(parts_of(output).glob("*.parquet"))
    schema = pa.unify_schemas([pq.read_schema(file) for file in files])
    schema = schema.with_metadata({**(schema.metadata or {}), **about})
    draft = output.with_name(f".{output.name}.draft")
    WRITERS[form_of(output)[0]](draft, schema, (pq.read_table(file).cast(schema) for file in files))
    draft.replace(output)


def score_file(
    classifier: Classifier, source: Path, output: Path, settings: PredictSettings, on_read: OnRead
) -> dict[str, Any] | None:
    """Score every row of a file in bounded memory, under a lock next to the output.

    Each part is kept until all are joined, so an interrupted run resumes.

    Returns:
        {"input", "output", "rows", "no_known_words": rows without any, "drift": the stability index of each thing that
        is compared, "drifted": whether one is beyond the limit}; None if another process has scored this file of a
        folder meanwhile.
    """
    check_readable(source)
    with locked(output.with_name(f".{output.name}.lock"), str(output), passing=True):
        if not is_one_table(settings) and is_scored(source, output):
            return None
        parts = parts_of(output)
        about = {
            "model": classifier.name,
            "model_sha256": classifier.sha256,
            "dataset": classifier.facts.dataset,
            "dataset_sha256": classifier.facts.dataset_sha256,
            "input_sha256": hash_files(source) if source.is_dir() else hash_file(source),
        }
        options = ReadOptions(**settings.model_dump(include={"text_column", "encoding", "delimiter", "quoting"}))
        mark = parts / digest(about | asdict(options) | {"words": settings.explain, "rows": ROWS_EXPLAINED})
        with explain_os_errors(output):
            if parts.exists() and not mark.exists():
                shutil.rmtree(parts)  # of another input, or another model
            parts.mkdir(parents=True, exist_ok=True)
            mark.write_text(json.dumps(about))
            try:
                rows = score_parts(classifier, source, output, options, settings.explain, on_read)
            except InputError:
                shutil.rmtree(parts)  # when it is corrected, it is another file
                raise
            counted = add([json.loads(file.read_text()) for file in sorted(parts.glob("*.json"))])
            drift = measure_drift(classifier.facts.reference, counted)
            join_parts(output, about | {"drift": json.dumps(drift), "profile": json.dumps(counted)})
            shutil.rmtree(parts)
    noise = sampling_noise(classifier.facts.reference, counted)
    excess = max(index - noise[name] for name, index in drift.items())
    is_beyond = rows >= settings.min_drift_rows and excess > settings.max_drift
    scored = {"input": str(source), "output": str(output), "rows": rows, "drift": drift, "drifted": is_beyond}
    return scored | {"no_known_words": counted.get("no_known_words", 0)}


def parts_of(output: Path) -> Path:
    """Return the folder of the finished parts of an output."""
    return output.with_name(f".{output.name}.parts")


def places(settings: PredictSettings) -> tuple[Path, Path]:
    """Return the paths of the input and the output."""
    return user_path(settings.input or ""), user_path(settings.output or "")


def is_one_table(settings: PredictSettings) -> bool:
    """Return whether the input is a file, or a folder of texts per label whose scores go to a file."""
    source, output = places(settings)
    return not source.is_dir() or bool(writable_form(output) and label_folders(source))


def check_places(settings: PredictSettings) -> None:
    """Refuse missing texts, and an output that would replace them, be scored itself, or cannot be written."""
    if settings.input in (None, STDIN):
        return
    source, output = places(settings)
    if not source.is_dir():
        table_files(source)
        if not writable_form(output):
            raise InputError(f"{output}: scores are not written so; name a file that ends in {', '.join(WRITERS)}")
    elif not is_one_table(settings) and writable_form(output) and not output.exists():
        raise InputError(f"{output}: the input is a folder of tables; name a folder for the scores of each")
    if output.exists() and source.samefile(output):
        raise InputError(f"{output}: has the texts, which scores must not replace; name another place with --output")
    check_writable(output if is_one_table(settings) else output / "scores")


def files_to_score(settings: PredictSettings, only: str | None = None) -> list[tuple[Path, Path]]:
    """Return each file to score and its output; of a folder, those without scores, or changed since they have them.

    Raises:
        InputError: input and output are not places to read and write.
    """
    check_places(settings)
    its = [(file, scored) for file, scored in files_and_outputs(settings) if only in (None, file.name)]
    if is_one_table(settings):
        return its
    return [(file, scored) for file, scored in its if not is_scored(file, scored)]


def is_scored(source: Path, output: Path) -> bool:
    """Return whether there are scores of a file of a folder as it is now; only a file that has changed is hashed."""
    if not output.exists():
        return False
    try:
        if is_newer(output, source):
            return True
        scored = (pq.read_metadata(output).metadata or {}).get(b"input_sha256")
        return scored in (None, hash_file(source).encode())
    except PermissionError:
        return False  # which scoring it reports
    except (pa.ArrowException, OSError):
        return True  # as without a hash: someone else has written it, or moved the source away


def is_newer(made: Path, source: Path) -> bool:
    """Return whether a file was made after its source was last written, or moved to its place."""
    its, link = source.stat(), source.lstat()
    return made.stat().st_mtime >= max(its.st_mtime, its.st_ctime, link.st_ctime)


def files_and_outputs(settings: PredictSettings) -> list[tuple[Path, Path]]:
    """Return the file, or those of the folder, with or without scores; and its output."""
    source, output = places(settings)
    if is_one_table(settings):
        return [(source, output)]
    return [(file, output / f"{file.name}.parquet") for file in files_within(source)]


def predict_text(settings: PredictSettings, uri: str | None) -> dict[str, Any]:
    """Score one text; return the result of `judge_texts` with the name of the "model"."""
    classifier = load_classifier(settings.model, settings.registered_model, uri)
    text = settings.text.get_secret_value() if settings.text else ""
    return {"model": classifier.name, **judge_texts(classifier, [text], settings.explain)[0]}


def predict_files(
    settings: PredictSettings, uri: str | None, advance: Advance, file: str | None = None
) -> dict[str, Any]:
    """Score a file, or those of `files_to_score` of a folder; one that cannot be scored does not stop the others.

    `file` is the only one of the folder to score.

    Returns:
        "files", what `score_file` returns of each, "refused", what is wrong with the others, and if there are any,
        "model", its name, and "registered_model", of which it is a version.

    Raises:
        InputError: input and output are not places to read and write, before anything is scored.
    """
    todo = files_to_score(settings, file)
    result: dict[str, Any] = {"files": [], "refused": []}
    if not todo:
        return result
    classifier = load_classifier(settings.model, settings.registered_model, uri)
    for number, (source, output) in enumerate(todo):

        def on_read(share: float, number: int = number, name: str = source.name) -> None:
            advance((number + share) / len(todo), name)

        began = time.time()
        if output.exists() and not is_one_table(settings):
            run_logger().info("%s has changed since it was scored, and is scored again", source)
        try:
            scored = score_file(classifier, source, output, settings, on_read)
        except InputError as error:
            if isinstance(error, EmptyTable) and not is_one_table(settings):
                run_logger().warning("skipped: %s", error)  # an export without rows, which each run sees again
            else:
                result["refused"].append(str(error))
        else:
            if scored:
                os.utime(output, (began, began))  # a file that is replaced from now on is newer
                result["files"].append(scored)
    return result | {"model": classifier.name, "registered_model": classifier.registered_model}


DRIFT_NOTICE = """%s is unlike what %s was trained on.
  Stability index: %s; the limit is %g. Its scores are less sure than the report says: train again on newer reviews."""


@task("predict")
def predict(settings: PredictSettings, uri: str | None, file: str | None = None) -> dict[str, Any]:
    """Score a text, a file, or what is new in a folder; warn if the texts differ from those of training.

    Returns:
        The result of `predict_text` or `predict_files`, whose arguments these are.
    """
    if settings.text is not None:
        return predict_text(settings, uri)
    logger = run_logger()
    with showing_progress("imdb-pipeline-scoring", f"{settings.input} to {settings.output}") as advance:
        result = predict_files(settings, uri, advance, file)
        advance(1.0, "")  # also if nothing is new, or the last file is refused
    if result["files"]:
        table = [
            {"file": scored["input"], "rows": scored["rows"]}
            | {name: round(index, 4) for name, index in scored["drift"].items()}
            for scored in result["files"]
        ]
        about = f"Stability index; the limit is {settings.max_drift}."
        from prefect.artifacts import create_table_artifact

        create_table_artifact(table, key="imdb-pipeline-drift", description=about)
    for scored in result["files"]:
        logger.info("%s: %s rows scored by %s", scored["input"], f"{scored['rows']:,}", result["model"])
        if unheard := scored["no_known_words"]:
            logger.warning("%s: rows without a known word, whose labels mean nothing: %s", scored["input"], unheard)
        if scored["drifted"]:
            indices = ", ".join(f"{name} {index:.2f}" for name, index in scored["drift"].items())
            logger.warning(DRIFT_NOTICE, scored["input"], result["model"], indices, settings.max_drift)
            if result["registered_model"]:
                announce_drift(result["registered_model"], Path(scored["input"]).name, scored["drift"])
    return result
