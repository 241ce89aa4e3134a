"""The project's texts and comments use standard English terms, not the private vocabulary of earlier versions."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SUFFIXES = {"", ".py", ".md", ".toml", ".yaml", ".jinja", ".html"}
CHECKED = [
    *(".ci/run", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "README.md", "artifacts/README.md"),
    *("deployment.yaml", "pyproject.toml"),
    *("benchmarks", "deploy", "docs", "flows", "serving", "tasks", "tests"),
]

# Patterns and what to write instead. A space also matches a line break, with the # of a comment.
WORDS = {
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again",
    r"thrice": "three times",
    r"in vain": "leave it out, or 'without success'",
    r"be had": "is (not) available",
    r"no news": "not interesting",
    r"for ever": "forever",
    r"but for|all but": "except",
    r"beside": "with, next to",
    r"stands(?! for| out| by)": "is, exists",
    r"where there (is|are) no(ne)?": "if there is none",
    r"tell(s|ing)? whether": "return whether",
    r"told (of|what|so)": "called with, informed",
    r"nobody foresaw": "unexpected",
    r"whoever": "name the actor",
    r"be it (killed|one|a|the)": "even if",
    r"parted|dealt": "separated, split, assigned",
    r"strangers?|RotError": "foreign files, DamagedError",
    r"rot": "damage",
    r"house|rooms?|floors?(?!\()": "package, layer",
    r"(made|make|makes|making)( it| them)? again": "rebuilt, rebuild",
    r"what( \S+){1,3} (comes|come|came) to": "the result of",
    r"[Rr]eturn what `?\w+`? (wrote|left|leaves|made|has \w+)": "name the thing",
    r"(?<!here\s)is no (?!longer)[a-z]+": "is not a",
}
# Files in which a word has its usual meaning.
ALLOWED = {"tests/test_words.py": set(WORDS)}


def find_words(text: str, allowed: set[str] = frozenset()) -> list[tuple[int, str, str]]:
    """Return line, words found and words to use instead."""
    hits = []
    for pattern, better in WORDS.items():
        if pattern not in allowed:
            spaced = pattern.replace(" ", r"[\s#]+")
            for match in re.finditer(rf"\b({spaced})\b", text):
                hits.append((text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), better))
    return sorted(hits)


def files_of(entry: str) -> list[Path]:
    path = PROJECT / entry
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)


@pytest.mark.parametrize("entry", CHECKED)
def test_words_are_standard_terms(entry):
    hits = []
    for file in filter(Path.is_file, files_of(entry)):
        name = file.relative_to(PROJECT).as_posix()
        hits += [
            f"{name}:{line}: {words!r}; write {better}"
            for line, words, better in find_words(file.read_text("utf-8"), ALLOWED.get(name, set()))
        ]
    assert not hits, "\n".join(hits)


def test_a_phrase_is_found_across_lines_and_reported_with_its_line():
    assert find_words("first\n# the file cannot be\n# had today\n") == [(2, "be # had", "is (not) available")]
