"""The image's recipe, held against what the service imports."""

import ast
import sys
from pathlib import Path

import yaml

from tasks.store.caching import project_modules

PROJECT = Path(__file__).parents[2]
# What a module is called where its package is called otherwise, and what others bring.
PACKAGES = {"prometheus_client": "prometheus-client", "pydantic_settings": "pydantic-settings"}
BROUGHT = {"starlette", "pydantic_core"}


def named() -> set[str]:
    lines = (PROJECT / "deploy" / "docker" / "requirements.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_image_has_what_the_service_imports_when_it_starts():
    found = set()
    for name, path in {**project_modules("serving.app"), **project_modules("serving.champion")}.items():
        # No step is among them.
        assert name.count(".") > 1 or not name.startswith("tasks.") or name in ("tasks.core", "tasks.network"), name
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    others = found - set(sys.stdlib_module_names) - {"tasks", "serving", "flows"} - BROUGHT - {"keras"}
    assert {PACKAGES.get(name, name) for name in others} <= named()


def test_every_requirement_of_the_image_is_pinned():
    pinned = {line.partition("==")[0].lower() for line in (PROJECT / "constraints.txt").read_text().splitlines()}
    assert {name.lower().replace("-", "_") for name in named()} <= {name.replace("-", "_") for name in pinned}


def test_the_compose_file_starts_four_services_on_loopback_alone():
    services = yaml.safe_load((PROJECT / "deploy" / "docker" / "compose.yaml").read_text())["services"]
    assert {"server", "worker", "mlflow", "service"} <= set(services)
    ports = [port for its in services.values() for port in its.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
