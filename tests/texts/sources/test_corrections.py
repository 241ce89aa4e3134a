import pyarrow.parquet as pq
import pytest

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.sources.corrections import read_corrections
from tasks.texts.sources.datasets import check_dataset
from tasks.texts.sources.own_files import fetch_own, hash_dataset

ROWS = 60


def label(row: int) -> str:
    return "pos" if row % 2 else "neg"


def fetch(tmp_path, corrections: str, spell=label, name="fixes.csv", **values):
    """Return the description and rows of 60 labelled texts after corrections; the last 20 are the test split."""
    splits = ["train"] * 30 + ["validation"] * 10 + ["test"] * 20
    lines = [f'"the text\n of row {row}",{spell(row)},{split}' for row, split in enumerate(splits, 1)]
    (tmp_path / "own.csv").write_text("\n".join(["text,label,split", *lines, "unlabelled,,train", ""]))
    (tmp_path / name).write_text(corrections)
    settings = {"split_column": "split", "unlabelled": "drop", "corrections": str(tmp_path / name)}
    settings = SourceSettings(dataset=str(tmp_path / "own.csv"), **(settings | values))
    facts = fetch_own(settings, tmp_path, lambda _line: None)
    return facts, pq.read_table(tmp_path / "texts.parquet").to_pylist()


BY_TEXT = 'text,label\n"the text of row 2",pos\nthe text  of row 51,drop\nunlabelled,neg\n'
BY_ROW = "file,row,label\nown.csv,2,pos\nown.csv,51,drop\nown.csv,61,neg\n"
# Like an edited label_issues.csv; the label of the last row is unchanged.
EDITED = (
    "file,row,split,text,label,likelier label,score\n"
    'own.csv,2,train,"the text\r\n of row 2",pos,pos,0.9\nown.csv,51,test,the text of row 51,drop,neg,0.9\n'
    "own.csv,61,train,unlabelled,neg,neg,0.6\nown.csv,3,train,the text of row 3,pos,neg,0.5\n"
)


@pytest.mark.parametrize("corrections", [BY_TEXT, BY_ROW, EDITED], ids=["text", "row", "edited"])
def test_corrections_by_text_or_row_change_labels_and_drop_rows(tmp_path, corrections):
    facts, rows = fetch(tmp_path, corrections)
    assert facts["check"]["corrections"] == {"train": 2, "validation": 0, "test": 0, "dropped": 1}
    assert facts["check"]["splits"]["test"] == {"rows": 19, "labels": {"neg": 10, "pos": 9}}
    assert facts["check"]["removed"] == 0
    read = {row["row"]: (row["split"], facts["labels"][row["label"]], row["original"]) for row in rows}
    assert read.pop(2) == ("train", "pos", 0)
    assert 51 not in read
    assert read.pop(61) == ("train", "neg", None)
    assert all(facts["labels"][original] == name == label(row) for row, (_, name, original) in read.items())
    assert len(read) == ROWS - 2


@pytest.mark.parametrize("labels", [("0.0", "1.0"), (" 0", "1 ")])
@pytest.mark.parametrize("corrected", [1, 2, 3])
def test_corrections_match_labels_with_decimals_or_outer_spaces(tmp_path, labels, corrected):
    fixes = f"file,row,label\nown.csv,{corrected},1\nown.csv,4,1\n"
    facts, rows = fetch(tmp_path, fixes, lambda row: labels[row % 2 == 0])
    assert facts["labels"] == ["0", "1"]
    assert [row["label"] for row in rows[:4]] == [int(row % 2 == 0 or row == corrected) for row in range(1, 5)]
    assert facts["check"]["corrections"]["train"] == corrected % 2


@pytest.mark.parametrize("place", ['"text": "the text of row 2"', '"file": "own.csv", "row": 2'])
def test_corrections_may_be_json_with_numbers_as_labels(tmp_path, place):
    facts, rows = fetch(tmp_path, f'{{{place}, "label": 1}}\n', lambda row: row % 2, name="fixes.jsonl")
    assert facts["check"]["corrections"]["train"] == 1
    assert rows[1]["label"] == 1


def test_corrections_in_another_encoding_are_refused_without_naming_a_flag(tmp_path):
    (tmp_path / "fixes.csv").write_bytes("text,label\ncaf\xe9,1\n".encode("windows-1252"))
    with pytest.raises(InputError, match=r"they are probably windows-1252: save the file as UTF-8$"):
        read_corrections(tmp_path / "fixes.csv")


def test_corrections_among_the_texts_are_refused(tmp_path):
    (tmp_path / "own.csv").touch()
    (tmp_path / "fixes.csv").write_text(BY_ROW)
    data = {"dataset": f"{tmp_path}/", "corrections": str(tmp_path / "fixes.csv")}
    with pytest.raises(InputError, match=r"fixes.csv: would be read as texts of .*; move it elsewhere"):
        check_dataset(SourceSettings.model_validate(data))


def test_a_label_can_be_renamed_by_correcting_all_its_rows(tmp_path):
    facts, rows = fetch(tmp_path, "text,label\nunlabelled,positive\n" + "".join(
        f"the text of row {row},positive\n" for row in range(1, ROWS + 1, 2)
    ))  # fmt: skip
    assert set(facts["labels"]) == {"neg", "positive"}
    assert {row["original"] for row in rows if facts["labels"][row["label"]] == "positive"} == {None}


@pytest.mark.parametrize(
    ("corrections", "message"),
    [
        ("text,label\nthe text of row 1,neg\nof row 1,pos\n", "fixes.csv: row 2 corrects a text, which the dataset"),
        ("file,row,label\nown.csv,62,neg\n", "fixes.csv: row 1 corrects own.csv row 62, which the dataset lacks"),
        ("file,row,label\nother.csv,1,neg\n", "row 1 corrects other.csv row 1, which the dataset lacks"),
        ("file,row,text,label\nown.csv,1,the text of row 2,neg\n", "row 1 has another text than own.csv row 1"),
        (f"{BY_ROW}own.csv,2,neg\n", "rows 1 and 4 give a text two labels; remove one"),
        ("file,row,label\nown.csv,1,\n", "fixes.csv: row 1 has nothing in 'label'"),
        ("file,row\nown.csv,1\n", "expected rows with the columns label, and text or file and row"),
        ("row,label\n1,pos\n", "expected rows with the columns label, and text or file and row"),
        ("file,row,label\nown.csv,1,postive\n", "has the label 'postive'"),
    ],
)
def test_invalid_corrections_are_refused_with_the_reason(tmp_path, corrections, message):
    with pytest.raises(InputError, match=message):
        fetch(tmp_path, corrections)


@pytest.mark.parametrize(
    ("name", "message"), [("none.csv", "no such file"), ("fixes.zip", "expected a file that ends")]
)
def test_an_unreadable_corrections_file_is_refused_before_the_run(tmp_path, name, message):
    (tmp_path / "fixes.zip").touch()
    (tmp_path / "own.csv").touch()
    data = {"dataset": str(tmp_path / "own.csv"), "corrections": str(tmp_path / name)}
    with pytest.raises(InputError, match=f"{name}: {message}"):
        check_dataset(SourceSettings.model_validate(data))


def test_a_repeated_correction_is_applied_once(tmp_path):
    once, twice = (fetch(tmp_path, corrections) for corrections in (BY_ROW, f"{BY_ROW}own.csv,2,pos\n"))
    assert once[0]["check"] == twice[0]["check"]
    assert once[1] == twice[1]


@pytest.mark.parametrize("name", ["drop", "Drop"])
def test_a_dataset_with_a_label_named_drop_cannot_be_corrected(tmp_path, name):
    lines = [f"text {row},{name if row % 2 else 'keep'}" for row in range(200)]
    (tmp_path / "own.csv").write_text("\n".join(["text,label", *lines, ""]))
    (tmp_path / "fixes.csv").write_text("text,label\ntext 1,keep\n")
    settings = SourceSettings(dataset=str(tmp_path / "own.csv"), corrections=str(tmp_path / "fixes.csv"))
    with pytest.raises(InputError, match=f"own.csv row 2: has the label '{name}'; rename"):
        fetch_own(settings, tmp_path, lambda _line: None)


def test_the_dataset_hash_depends_on_the_corrections(tmp_path):
    (tmp_path / "own.csv").write_text("text,label\n")
    hashes = []
    for corrections in (BY_ROW, BY_TEXT):
        (tmp_path / "fixes.csv").write_text(corrections)
        settings = SourceSettings(dataset=str(tmp_path / "own.csv"), corrections=str(tmp_path / "fixes.csv"))
        hashes.append(hash_dataset(settings))
    assert len({*hashes, hash_dataset(SourceSettings(dataset=str(tmp_path / "own.csv")))}) == 3


def test_corrections_are_refused_for_built_in_datasets():
    with pytest.raises(ValueError, match="corrections is for your texts"):
        SourceSettings(corrections="fixes.csv")
