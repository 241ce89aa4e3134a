"""The image's requirements match what the service imports."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]
# Packages whose name differs from their module's; modules that come with another requirement.
PACKAGES = {"prometheus_client": "prometheus-client", "pydantic_settings": "pydantic-settings"}
INDIRECT = {"starlette", "pydantic_core"}


def requirements() -> set[str]:
    lines = (PROJECT / "deploy" / "docker" / "requirements.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


STARTUP = """
import json, sys, serving.__main__, serving.app, serving.champion, serving.connections
print(json.dumps({name: getattr(module, "__file__", None) for name, module in sys.modules.items()}))
"""


def test_the_image_installs_everything_that_the_service_imports_at_startup():
    done = subprocess.run([sys.executable, "-c", STARTUP], cwd=PROJECT, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    own = {name: path for name, path in loaded.items() if path and name.partition(".")[0] in ("serving", "tasks")}
    assert {"serving.app", "tasks.network.bundle"} <= own.keys()
    imported = set()
    for name, path in own.items():
        # The service imports none of the pipeline's steps.
        assert name.count(".") > 1 or not name.startswith("tasks.") or Path(path).name == "__init__.py", name
        for node in ast.parse(Path(path).read_text()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"tasks", "serving", "flows"} - INDIRECT
    assert {PACKAGES.get(name, name) for name in others} <= requirements()


def test_every_requirement_of_the_image_is_pinned():
    pinned = {line.partition("==")[0].lower() for line in (PROJECT / "constraints.txt").read_text().splitlines()}
    assert {name.lower().replace("-", "_") for name in requirements()} <= {name.replace("-", "_") for name in pinned}


def test_the_compose_file_publishes_ports_on_loopback_only():
    services = yaml.safe_load((PROJECT / "deploy" / "docker" / "compose.yaml").read_text())["services"]
    assert {"server", "worker", "mlflow", "service"} <= set(services)
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
