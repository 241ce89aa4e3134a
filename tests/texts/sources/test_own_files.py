import json
import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.sources import own_files
from tasks.texts.sources.own_files import assign_rows, fetch_own, stage_rows
from tasks.texts.sources.splits import TEST, OwnTexts, assign_splits, hash_texts

HEADER = "text,label,film\n"


def rows(count: int, films: int = 9) -> list[dict]:
    return [
        {
            "text": f'{"good" if row % 2 else "bad"}, "film" {row}',
            "label": "pos" if row % 2 else "neg",
            "film": f"f{row % films}",
        }
        for row in range(count)
    ]


def write_csv(path, its, encoding="utf-8"):
    quoted = ['"{}",{},{}'.format(row["text"].replace('"', '""'), row["label"], row["film"]) for row in its]
    path.write_text(HEADER + "\n".join(quoted) + "\n", encoding=encoding)
    return path


said: list[str] = []


def fetch(tmp_path, dataset, **values):
    said.clear()
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    facts = fetch_own(SourceSettings(dataset=str(dataset), **values), folder, said.append)
    return facts, pq.read_table(folder / "texts.parquet").to_pylist()


def test_csv_parquet_json_lines_and_shards_give_the_same_rows(tmp_path):
    its = rows(60)
    write_csv(tmp_path / "a.csv", its, encoding="utf-8-sig")  # a BOM, as spreadsheets write it
    pq.write_table(pa.Table.from_pylist(its), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in its))
    shards = tmp_path / "shards"
    shards.mkdir()
    write_csv(shards / "1.csv", its[:25])
    (shards / "2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in its[25:]))
    read = [fetch(tmp_path, tmp_path / name)[1] for name in ("a.csv", "b.parquet", "c.jsonl", "shards")]
    places = [[(row.pop("file"), row.pop("row")) for row in its] for its in read]
    assert read[0] == read[1] == read[2] == read[3]
    assert places[0] == [("a.csv", row) for row in range(1, 61)]
    assert places[3][24:26] == [("1.csv", 25), ("2.jsonl", 1)]
    assert [row["text"] for row in read[0]] == [row["text"] for row in its]
    assert [row["label"] for row in read[0]] == [row % 2 for row in range(60)]


def test_splits_depend_on_the_seed_and_have_the_expected_shares(tmp_path):
    path = write_csv(tmp_path / "a.csv", rows(1000))
    facts, read = fetch(tmp_path, path)
    found = {name: its["rows"] / 1000 for name, its in facts["check"]["splits"].items()}
    assert found == pytest.approx({"train": 0.72, "validation": 0.08, "test": 0.2}, abs=0.03)
    assert facts["labels"] == ["neg", "pos"]
    assert fetch(tmp_path, path)[1] == read
    assert fetch(tmp_path, path, split_seed=5)[1] != read
    assert fetch(tmp_path, path, positive_label="neg")[0]["labels"] == ["pos", "neg"]


@pytest.mark.parametrize("group_column", [None, "film"])
def test_rows_stay_in_their_split_when_others_are_added(tmp_path, group_column):
    old, new = rows(600, films=120), [row | {"film": row["film"] + " II"} for row in rows(800, films=120)[600:]]
    splits = [
        {row["text"]: row["split"] for row in fetch(tmp_path, write_csv(tmp_path / name, its), **values)[1]}
        for values in ({"group_column": group_column},)
        for name, its in (("old.csv", old), ("grown.csv", new + old[::-1]))
    ]
    assert len(splits[1]) == 800
    assert splits[0].items() <= splits[1].items()


def test_rows_are_not_assigned_to_validation_if_it_would_lack_a_label(tmp_path):
    its = rows(600)
    splits = {row["text"]: row["split"] for row in fetch(tmp_path, write_csv(tmp_path / "a.csv", its))[1]}
    assert set(splits.values()) == {"train", "validation", "test"}
    for split in ("train", "test"):
        for row in [row for row in its if splits[row["text"]] == split][:4]:
            row["label"] = "rare"
    again = {row["text"]: row["split"] for row in fetch(tmp_path, write_csv(tmp_path / "b.csv", its))[1]}
    assert again == {text: "train" if split == "validation" else split for text, split in splits.items()}


def test_equal_texts_share_a_split_and_count_as_duplicates(tmp_path):
    its = rows(200)
    twice = [row | {"text": row["text"].upper()} for row in its]
    facts, _ = fetch(tmp_path, write_csv(tmp_path / "a.csv", its + twice), max_leaks=0)
    assert (facts["check"]["leaks"], facts["check"]["duplicates"]) == (0, 200)


def near_rows(count: int) -> list[dict]:
    """Return texts of forty words; the second half repeats the first with a word added, as another film."""
    rng = random.Random(1)
    texts = [" ".join(rng.choices([f"word{number}" for number in range(500)], k=40)) for _ in range(count // 2)]
    both = texts + [f"{text} indeed" for text in texts]
    labels, films = ["pos", "neg"], ["train", "test"]
    return [{"text": text, "label": labels[row % 2], "film": films[row * 2 // count]} for row, text in enumerate(both)]


@pytest.mark.parametrize(("near", "together"), [("keep", False), ("together", True)])
def test_near_duplicates_share_a_split_unless_set_to_keep(tmp_path, near, together):
    path = write_csv(tmp_path / "a.csv", near_rows(200))
    _facts, read = fetch(tmp_path, path, near_duplicates=near)
    splits = [row["split"] for row in read]
    assert (splits[:100] == splits[100:]) == together
    assert {"train", "test"} <= set(splits)


def test_the_order_of_the_rows_does_not_change_their_splits(tmp_path):
    its = near_rows(1000)
    first, second = (
        {row["text"]: row["split"] for row in fetch(tmp_path, write_csv(tmp_path / name, rows))[1]}
        for name, rows in (("a.csv", its), ("b.csv", its[::-1]))
    )
    assert first == second


def test_groups_of_near_duplicates_have_the_shares_of_single_texts():
    hashes = np.random.default_rng(1).integers(0, 2**64, 20_000, dtype=np.uint64)
    alike, labels = np.arange(20_000) // 10 * 10, np.arange(20_000) // 10 % 2
    split = assign_rows(hashes, alike, labels, OwnTexts(Path("a.csv"), SourceSettings(dataset="a.csv"), print))
    assert (split == split[alike]).all()
    assert abs((split == TEST).mean() - 0.2) < 0.03


def test_a_short_text_that_all_groups_have_does_not_tie_them_together(tmp_path):
    its = [row | {"text": "ok" if row["film"] == f"f{number % 9}" and number < 9 else row["text"]}
           for number, row in enumerate(rows(600, films=60))]  # fmt: skip
    its += [{"text": "ok", "label": "pos", "film": f"f{film}"} for film in range(60)]
    for near in ("together", "drop"):
        path = write_csv(tmp_path / "a.csv", its)
        read = fetch(tmp_path, path, group_column="film", near_duplicates=near)[1]
        assert {"train", "test"} <= {row["split"] for row in read}


def test_a_group_and_its_near_duplicates_share_a_split(tmp_path):
    films = [f"f{number % 50}" for number in range(100)] + [f"g{number // 2}" for number in range(100)]
    its = [row | {"film": film} for row, film in zip(near_rows(200), films, strict=True)]
    split_of = {}
    for row, before in zip(
        fetch(tmp_path, write_csv(tmp_path / "a.csv", its), group_column="film")[1], its, strict=True
    ):
        assert split_of.setdefault(before["film"], row["split"]) == row["split"]
        assert split_of.setdefault(row["text"].removesuffix(" indeed"), row["split"]) == row["split"]
    assert {"train", "test"} <= set(split_of.values())


def test_training_near_duplicates_of_test_rows_are_dropped_on_request(tmp_path):
    its = [row | {"film": "test" if number < 20 else "train"} for number, row in enumerate(near_rows(200))]
    facts, read = fetch(tmp_path, write_csv(tmp_path / "a.csv", its), split_column="film", near_duplicates="drop")
    assert [number for number, row in enumerate(read) if row["split"] == "removed"] == list(range(100, 120))
    assert (facts["check"]["removed"], facts["check"]["splits"]["train"]["rows"]) == (20, 160)
    assert any("left out 20 rows whose text is nearly a validation or test text" in line for line in said)


def test_too_many_rows_skip_the_near_duplicate_search_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(own_files, "MAX_CLUSTERED", 100)
    read = fetch(tmp_path, write_csv(tmp_path / "a.csv", near_rows(200)))[1]
    assert [row["split"] for row in read[:100]] != [row["split"] for row in read[100:]]
    assert any("near-duplicates are not looked for among more than 100 rows" in line for line in said)


@pytest.mark.parametrize(("leaks", "kept"), [("remove", 19), ("keep", 20)])
def test_leaked_training_rows_are_removed_and_counted_unless_kept(tmp_path, leaks, kept):
    facts, written = fetch(tmp_path, write_csv(tmp_path / "a.csv", leaky(40)), split_column="film", leaks=leaks)
    splits = [row["split"] for row in written]
    assert (splits.count("train"), splits.count("test"), len(splits)) == (kept, 20, 40)
    assert facts["check"]["removed"] == 20 - kept
    assert bool(facts["check"]["leaks"]) == (leaks == "keep")
    assert ["left out 1 rows whose text is also in validation or test" in line for line in said] == [True] * (20 - kept)


def test_a_rare_label_gives_a_warning_with_its_count(tmp_path):
    its = [row for number, row in enumerate(rows(300)) if number % 2 or number % 6 == 0]
    fetch(tmp_path, write_csv(tmp_path / "a.csv", its), min_class_share=0.4)
    rare = r"only \d+ of the \d+ train rows have the label 'neg' \(first in a.csv row 1\)"
    assert any(re.search(rare, line) for line in said)


def test_a_group_too_large_for_its_split_is_refused(tmp_path):
    its = [row | {"film": "f" if number < 170 else row["film"]} for number, row in enumerate(rows(200, films=40))]
    path = write_csv(tmp_path / "a.csv", its)
    seed = next(seed for seed in range(99) if assign_splits(hash_texts(["f"], seed), 0.2, 0.16) == TEST)
    with pytest.raises(InputError, match=r"17\d of 200 rows were assigned to test, expected about 40: .*split-seed"):
        fetch(tmp_path, path, group_column="film", split_seed=seed)


@pytest.mark.parametrize("then", [50, 61, 70])
def test_files_that_change_while_they_are_read_are_refused(tmp_path, monkeypatch, then):
    path = write_csv(tmp_path / "a.csv", rows(60))

    def stage_and_change(*arguments):
        split = stage_rows(*arguments)
        write_csv(path, rows(then))
        return split

    monkeypatch.setattr(own_files, "stage_rows", stage_and_change)
    with pytest.raises(InputError, match=r"a\.csv: its content has changed since the run began; run again"):
        fetch(tmp_path, path)


def test_no_group_is_in_two_splits(tmp_path):
    its = rows(400, films=60)
    _, read = fetch(tmp_path, write_csv(tmp_path / "a.csv", its), group_column="film")
    splits = {}
    for row, its_split in zip(its, read, strict=True):
        splits.setdefault(row["film"], set()).add(its_split["split"])
    assert all(len(its) == 1 for its in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}
    films = {(row["film"], its["group"]) for row, its in zip(its, read, strict=True)}
    assert len(films) == len({film for film, _group in films}) == len({group for _film, group in films}) == 60


def test_a_labelled_test_file_without_the_group_column_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    write_csv(tmp_path / "in/train.csv", rows(60))
    (tmp_path / "in/test.csv").write_text("text,label\ngood,pos\nbad,neg\n")
    with pytest.raises(InputError, match=r"test\.csv: has no column 'film'"):
        fetch(tmp_path, f"{tmp_path}/in/", group_column="film")


def test_a_split_column_sets_the_split_of_each_row(tmp_path):
    its = [row | {"part": ("train", "dev", "Test")[number % 3]} for number, row in enumerate(rows(60))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in its))
    _, read = fetch(tmp_path, tmp_path / "a.jsonl", split_column="part")
    assert [row["split"] for row in read] == ["train", "validation", "test"] * 20


def leaky(count: int) -> list[dict]:
    its = [row | {"film": "train" if number < count // 2 else "test"} for number, row in enumerate(rows(count))]
    its[-1]["text"] = its[1]["text"].upper()
    return its


@pytest.mark.parametrize(
    ("its", "values", "message"),
    [
        (
            "text,label\ngood,1\nbad,0\nso,2\n",
            {"positive_label": "1"},
            "has 3 labels; --data.positive-label is for two",
        ),
        ("text,label\ngood,1\nbad,1\n", {}, "has only the label '1'; at least two"),
        ("text,label\ngood,1\nbad,  \n", {}, "row 2 has nothing in 'label'"),
        ("text,label\ngood,1\nbad,0\n", {}, r"none of the 1 train rows has the label .*--data.split-column"),
        ("text,label,film\n" + "good,1,f\nbad,0,f\n" * 40, {"group_column": "film"}, "grouped by 'film': .* rows"),
        (
            "text,label,s\na,1,train\nb,0,train\nd,1,train\ne,0,train\nc,1,test\n",
            {"split_column": "s"},
            r"none of the 1 test rows has the label '0' \(first in \S+ row \d+\); give more rows",
        ),
        ("text,label\ngood,x\nbad,y\n", {"positive_label": "z"}, "no row has the label 'z'"),
        ("review,label\ngood,1\n", {}, "has no column 'text', only review, label; name it with --data.text-column$"),
        (
            f"ham\tOk, lar\nham,{'so late ' * 9}\n",
            {"delimiter": "\t"},
            "'text' and 'label', only ham, Ok, lar; name them with --data.text-column --data.label-column; if its "
            "first row is data, add a row of column",
        ),
        (f"ham;{'so late ' * 9}\n", {}, f"only ham, {'so late ' * 5}; name them"),
        ("Text,LABEL\ngood,1\n", {}, "name them with --data.text-column Text --data.label-column LABEL; if"),
        ("Review Text,label,id\ngood,1,2\n", {}, "name it with --data.text-column 'Review Text'$"),
        ("texts,Text 2,label\ngood,so,1\n", {}, "name it with --data.text-column$"),
        (
            "text,label,s\nc,1,test\ne,0,test\na,1,train\nb,0,train\nd,0,train\n",
            {"split_column": "s"},
            r"1 of the 3 train rows has the label '1' \(first in a.csv row 3\)",
        ),
        ("text,verdict\ngood,1\n", {}, "has no column 'label', only text, verdict; name it with --data.label-column"),
        ("text,label,s\ngood,1,train\nbad,0,later\n", {"split_column": "s"}, "row 2 has the split 'later'"),
        ("text,label,s\ngood,1,train\nbad,0,train\n", {"split_column": "s"}, "names no train or no test rows"),
        ("", {}, "is empty; expected a header"),
        (leaky(40), {"split_column": "film", "leaks": "refuse"}, r"1 of 20 validation and test rows .*a\.csv row 40"),
        (
            "text,label,s\na,1,train\nb,0,train\nd,0,train\nc,1,test\ne,0,test\n",
            {"split_column": "s"},
            "1 of the 3 train rows has the label '1'",
        ),
        (
            "text,label,s\na,DOME,train\nb,0,train\nd,0,train\nf,2,train\ng,2,train\nc,a b,test\ne,0,test\n",
            {"split_column": "s"},
            r"none of the 5 train rows has the label 'a b' .*leave this one out \(--data\.drop-labels 'a b'\)",
        ),
        (
            'text,label,s\na,1,train\nb,0,train\nd,0,train\nf,1,train\nc,1,test\ne,0,test\ng,"a, b",test\n',
            {"split_column": "s"},
            r"""\(--data\.drop-labels '\["a, b"\]'\)""",
        ),
        ("text,label\n" + "good,1\nGood,0\n" * 40, {}, "all 80 rows have the same text, .* is 'text' the text column"),
        (
            "text,label\n" + "".join(f"text {row},id{row % 99}\n" for row in range(100)),
            {},
            "has 99 labels in 100 rows; is 'label' the label column",
        ),
        (rows(40)[:1] * 3 + rows(80)[1::2], {}, "rows has the label 'neg' .first in a.csv row 1.; give more rows"),
    ],
)
def test_unusable_data_is_refused_with_its_path_and_the_reason(tmp_path, its, values, message):
    path = tmp_path / "a.csv"
    if isinstance(its, list):
        write_csv(path, its)
    else:
        path.write_text(its)
    with pytest.raises(InputError, match=message) as caught:
        fetch(tmp_path, path, **values)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("spellings", "labels", "line"),
    [
        (["0.0", "1.0"], ["0", "1"], "reads the labels '0.0' as '0', '1.0' as '1'"),
        (
            [" negative ", "Positive\u200b"],
            ["negative", "Positive"],
            r"' negative ' as 'negative', 'Positive\u200b' as",
        ),
        (["neg", "pos"], ["neg", "pos"], None),
    ],
)
def test_labels_are_read_without_outer_spaces_and_zero_decimals(tmp_path, spellings, labels, line):
    its = [row | {"label": spellings[number % len(spellings)]} for number, row in enumerate(rows(90))]
    facts, read = fetch(tmp_path, write_csv(tmp_path / "a.csv", its), min_class_share=0)
    assert facts["labels"] == labels
    assert [row["label"] for row in read] == [number % 2 for number in range(90)]
    assert said == [] if line is None else line in said[0]
    pq.write_table(pa.table({"text": [row["text"] for row in its], "label": [0.0, 1.0] * 45}), tmp_path / "b.parquet")
    assert fetch(tmp_path, tmp_path / "b.parquet")[0]["labels"] == ["0", "1"]


def test_the_positive_label_ignores_case_and_outer_spaces(tmp_path):
    its = [row | {"label": ["ham", " Spam "][number % 2]} for number, row in enumerate(rows(90))]
    path = write_csv(tmp_path / "a.csv", its)
    assert fetch(tmp_path, path, positive_label=" Spam ")[0]["labels"] == ["ham", "Spam"]
    assert fetch(tmp_path, path, positive_label="spam")[0]["labels"] == ["ham", "Spam"]


@pytest.mark.parametrize("dataset", ["./", "../reviews/", "a.csv"])
def test_the_dataset_has_the_name_of_its_file_or_folder(tmp_path, monkeypatch, dataset):
    (tmp_path / "reviews").mkdir()
    write_csv(tmp_path / "reviews" / "a.csv", rows(200))
    monkeypatch.chdir(tmp_path / "reviews")
    assert fetch(tmp_path, dataset)[0]["name"] == ("a" if dataset == "a.csv" else "reviews")


def test_an_empty_cell_is_an_empty_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"{'' if row == 7 else f'text {row}'},{row % 2}\n" for row in range(90)))
    _facts, read = fetch(tmp_path, path)
    assert read[7]["text"] == ""
    assert len(read) == 90


def test_a_windows_1252_file_is_refused_unless_its_encoding_is_given(tmp_path):
    lines = ["text,label", *(f"caf\u00e9 {row},{row % 2}" if row == 60 else f"t {row},{row % 2}" for row in range(90))]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode("windows-1252"))
    with pytest.raises(InputError, match=r"first at byte 424 .line 62.*give --data.encoding windows-1252"):
        fetch(tmp_path, tmp_path / "a.csv")
    assert fetch(tmp_path, tmp_path / "a.csv", encoding="windows-1252")[1][60]["text"] == "caf\u00e9 60"
