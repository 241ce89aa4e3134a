import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import InputError
from tasks.core.settings import SourceSettings
from tasks.reviews.sources.own import fetch_own

HEADER = "text,label,film\n"


def rows(count: int) -> list[dict]:
    return [
        {
            "text": f'{"good" if row % 2 else "bad"}, "film" {row}',
            "label": "pos" if row % 2 else "neg",
            "film": f"f{row % 9}",
        }
        for row in range(count)
    ]


def write_csv(path, its, encoding="utf-8"):
    quoted = ['"{}",{},{}'.format(row["text"].replace('"', '""'), row["label"], row["film"]) for row in its]
    path.write_text(HEADER + "\n".join(quoted) + "\n", encoding=encoding)
    return path


def fetch(tmp_path, dataset, **values):
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    facts = fetch_own(SourceSettings(dataset=str(dataset), **values), folder)
    return facts, pq.read_table(folder / "reviews.parquet").to_pylist()


def test_csv_parquet_and_json_lines_give_the_same_reviews(tmp_path):
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


def test_each_label_is_dealt_out_by_itself_and_by_seed(tmp_path):
    path = write_csv(tmp_path / "a.csv", rows(100))
    facts, read = fetch(tmp_path, path)
    assert facts["check"]["splits"] == {
        "train": {"rows": 64, "positive": 0.5},
        "validation": {"rows": 16, "positive": 0.5},
        "test": {"rows": 20, "positive": 0.5},
    }
    assert facts["labels"] == ["neg", "pos"]
    assert fetch(tmp_path, path)[1] == read
    assert fetch(tmp_path, path, split_seed=5)[1] != read
    assert fetch(tmp_path, path, positive_label="neg")[0]["labels"] == ["pos", "neg"]


def test_no_group_is_in_two_splits(tmp_path):
    its = rows(200)
    _, read = fetch(tmp_path, write_csv(tmp_path / "a.csv", its), group_column="film")
    splits = {}
    for row, its_split in zip(its, read, strict=True):
        splits.setdefault(row["film"], set()).add(its_split["split"])
    assert all(len(its) == 1 for its in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_a_split_column_decides(tmp_path):
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
        ("text,label\ngood,1\nbad\n", {}, "row 2 has 1 columns, expected 2"),
        ("text,label\ngood,1\nbad,\n", {}, "row 2 has nothing in 'label'"),
        ("text,label\ngood,1\nbad,0\nso,2\n", {}, "row 3 has the label '2', a third beside '1' and '0'"),
        ("text,label\ngood,1\nbad,1\n", {}, "has the label '1' only; two are needed"),
        ("text,label\ngood,x\nbad,y\n", {}, "say which one is the positive one with --data.positive-label x"),
        ("text,label\ngood,x\nbad,y\n", {"positive_label": "z"}, "no row has the label 'z'"),
        ("review,label\ngood,1\n", {}, "has no column 'text', only review, label; name it with --data.text-column"),
        ("text,verdict\ngood,1\n", {}, "has no column 'label', only text, verdict; name it with --data.label-column"),
        ("text,label,s\ngood,1,train\nbad,0,later\n", {"split_column": "s"}, "row 2 has the split 'later'"),
        ("text,label,s\ngood,1,train\nbad,0,train\n", {"split_column": "s"}, "names no train or no test"),
        ("", {}, "is empty; expected a header"),
        ("text,label,text\na,1,b\n", {}, "has the column 'text' twice"),
        (b"text,label\n\xff\xfe,1\n", {}, r"a\.csv: .*(UTF|utf)"),
        (leaky(40), {"split_column": "film"}, r"1 of 20 validation and test rows .*a\.csv row 40"),
        (rows(40)[:1] * 3 + rows(80)[1::2], {}, "the limit is 5.0% of either label"),
    ],
)
def test_what_cannot_be_trained_on_is_named_with_its_place(tmp_path, its, values, message):
    path = tmp_path / "a.csv"
    if isinstance(its, list):
        write_csv(path, its)
    elif isinstance(its, bytes):
        path.write_bytes(its)
    else:
        path.write_text(its)
    with pytest.raises(InputError, match=message) as caught:
        fetch(tmp_path, path, **values)
    assert str(path) in str(caught.value)


def test_a_place_with_nothing_to_read_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        fetch(tmp_path, tmp_path / "none.csv")
    with pytest.raises(InputError, match="holds no file that ends in"):
        fetch(tmp_path, f"{tmp_path}/")
