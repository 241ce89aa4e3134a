import pytest

from tasks.reporting.prefect_server import origin_of

ADDRESS = "http://127.0.0.1:4200/api"


@pytest.fixture(autouse=True)
def nothing_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", f"PREFECT_API_URL={ADDRESS}\n"),
        ("prefect.toml", f'[api]\nurl = "{ADDRESS}"\n'),
        ("pyproject.toml", f'[tool.prefect.api]\nurl = "{ADDRESS}"\n'),
        ("profiles.toml", f'active = "a"\n[profiles.a]\nPREFECT_API_URL = "{ADDRESS}"\n'),
    ],
)
def test_the_origin_of_an_address_is_a_file_unless_a_variable_sets_it(tmp_path, monkeypatch, name, content):
    assert origin_of(ADDRESS) is None
    (tmp_path / name).write_text(content)
    assert origin_of(ADDRESS) == str(tmp_path / name)
    monkeypatch.setenv("PREFECT_API_URL", ADDRESS)
    assert origin_of(ADDRESS) == "PREFECT_API_URL"
