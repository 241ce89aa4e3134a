"""The files of work pools, images and clusters are complete, valid and consistent."""

import asyncio
import json
import re
import tomllib
from copy import deepcopy
from itertools import chain
from pathlib import Path
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun
from prefect.utilities.templating import apply_values, find_placeholders
from prefect.workers.process import ProcessJobConfiguration

from tasks.core.layout import INBOX
from tasks.store.fingerprint import project_modules

PROJECT = Path(__file__).parents[2]
POOLS = {path.stem: json.loads(path.read_text()) for path in (PROJECT / "deploy" / "pools").glob("*.json")}
OBJECTS = [
    its
    for path in (PROJECT / "deploy" / "kubernetes").glob("*.yaml")
    for its in yaml.safe_load_all(path.read_text())
    if its
]
COMPOSE = yaml.safe_load((PROJECT / "deploy" / "docker" / "compose.yaml").read_text())
DEPLOYMENTS = yaml.safe_load((PROJECT / "deployment.yaml").read_text())["deployments"]
IMAGE = f"imdb-pipeline:{tomllib.loads((PROJECT / 'pyproject.toml').read_text())['project']['version']}"
RECIPE = (PROJECT / "deploy" / "docker" / "Dockerfile.pipeline").read_text()
# Variables that the server sets for each run.
RUN = {"name": "lucky-cat", "command": "prefect flow-run execute", "labels": {"a": "b"}, "annotations": {}}


def defaults(pool: dict) -> dict:
    """Return the default values of a pool's variables."""
    return {name: its["default"] for name, its in pool["variables"]["properties"].items() if "default" in its}


def check_job(manifest: dict) -> None:
    """Validate a job against Kubernetes' schema; two of its fields are in the pod too, for Prefect's worker."""
    pod = manifest["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    named = {**manifest, "metadata": {**manifest["metadata"], "name": "lucky-cat"}}
    kubernetes_validate.validate(named, "1.37", strict=True)


def containers() -> list[dict]:
    """Return every container in the cluster's files."""
    pods = [its["spec"]["template"]["spec"] for its in OBJECTS if its["kind"] in ("Deployment", "Job")]
    return [container for pod in pods for container in pod["containers"]]


def find_secrets(described: object) -> list[str]:
    """Return the names of variables with plain secrets, as in {NAME: ...}, {name: NAME, value: ...} or NAME=..., and
    the passwords in addresses.
    """
    told = json.dumps(described, sort_keys=True)
    names = r'\b\w*(?:SECRET|PASSWORD|TOKEN|_KEY)\w*(?=(?:": |", "value": |=)(?!"\{\{ prefect\.blocks\.))'
    return re.findall(rf"{names}|://[^\s/@]*:[^\s/@]+@", told)


@pytest.mark.parametrize("name", ["process", "docker", "kubernetes"])
def test_a_pool_template_uses_exactly_the_variables_it_defines(name):
    pool = POOLS[name]
    asked = {its.name for its in find_placeholders(pool["job_configuration"])}
    assert asked == set(pool["variables"]["properties"])


def test_the_job_of_the_kubernetes_pool_matches_the_kubernetes_schema():
    pool = POOLS["kubernetes"]
    manifest = apply_values(pool["job_configuration"]["job_manifest"], defaults(pool) | RUN)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["args"] = container["args"].split()  # as Prefect's worker does
    misspelt = {**manifest, "spec": {**manifest["spec"], "backoflimit": 1}}
    check_job(deepcopy(manifest))
    with pytest.raises(kubernetes_validate.ValidationError, match="backoflimit"):
        check_job(misspelt)


@pytest.mark.parametrize("described", OBJECTS, ids=[f"{its['kind']} {its['metadata']['name']}" for its in OBJECTS])
def test_each_cluster_object_matches_the_kubernetes_schema(described):
    kubernetes_validate.validate(described, "1.37", strict=True)  # its command only warns of an unknown kind
    with pytest.raises(kubernetes_validate.ValidationError, match="metadatum"):
        kubernetes_validate.validate(described | {"metadatum": {}}, "1.37", strict=True)


@pytest.mark.parametrize(("name", "worker"), [("docker", "Docker"), ("kubernetes", "Kubernetes")])
@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[its["name"] for its in DEPLOYMENTS])
def test_prefects_worker_configures_a_container_for_each_deployment(name, worker, deployment, monkeypatch):
    module = pytest.importorskip(f"prefect_{name}.worker", reason=f"pip install '.[{name}]'")
    made_by = getattr(module, f"{worker}WorkerJobConfiguration")
    variables = deployment["work_pool"]["job_variables"]
    configuration = asyncio.run(made_by.from_template_and_values(POOLS[name], variables, client=object()))
    configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="lucky-cat"))
    if name == "docker":
        assert (configuration.image, configuration.volumes) == (IMAGE, ["imdb-store:/store"])
        assert configuration.env.items() >= {"ARTIFACTS_STORE": "/store", **variables["env"]}.items()
        return
    (container,) = configuration.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert {its["name"]: its["value"] for its in container["env"]}.items() >= variables["env"].items()
    check_job(configuration.job_manifest)


def test_a_process_gets_the_environment_of_its_deployment_and_its_pool():
    pool = json.loads(re.sub(r"{{ prefect\.blocks[^}]*}}", "of a block", json.dumps(POOLS["process"])))
    variables = DEPLOYMENTS[0]["work_pool"]["job_variables"]
    made = asyncio.run(ProcessJobConfiguration.from_template_and_values(pool, variables, client=object()))
    assert set(made.env) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *variables["env"]}


@pytest.mark.parametrize(
    "written",
    [
        {"IMDB_TOKEN": "plain"},
        {"AWS_SECRET_ACCESS_KEY": 4711},
        {"env": [{"value": "plain", "name": "AWS_SECRET_ACCESS_KEY"}]},
        ["DB_PASSWORD=plain"],
        "IMDB_TOKEN='plain' python -m serving",
        {"MLFLOW_BACKEND_STORE_URI": "postgresql://mlflow:plain@db/mlflow"},
    ],
)
def test_a_secret_is_found_in_each_notation(written):
    assert find_secrets(written)


def test_no_deployment_file_contains_a_secret():
    assert find_secrets([POOLS, OBJECTS, DEPLOYMENTS, COMPOSE]) == []
    assert not [its for its in OBJECTS if its["kind"] == "Secret"]
    # A deployment's variables are stored in plain text when it is deployed, so only the pool may refer to blocks.
    assert "prefect.blocks" not in json.dumps(DEPLOYMENTS)


def test_every_pod_runs_the_current_image_as_a_non_root_user():
    assert {its["image"] for its in containers()} == {IMAGE}
    assert {POOLS[name]["variables"]["properties"]["image"]["default"] for name in ("docker", "kubernetes")} == {IMAGE}
    user = int(re.search(r"^USER (\d+)$", RECIPE, re.MULTILINE)[1])
    pods = [its["spec"]["template"]["spec"] for its in OBJECTS if its["kind"] in ("Deployment", "Job")]
    pods.append(POOLS["kubernetes"]["job_configuration"]["job_manifest"]["spec"]["template"]["spec"])
    assert {pod["securityContext"]["runAsUser"] for pod in pods} == {user}
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)


def test_objects_and_services_that_pods_refer_to_are_defined():
    there = {(its["kind"], its["metadata"]["name"]) for its in OBJECTS}
    manifest = POOLS["kubernetes"]["job_configuration"]["job_manifest"]
    told = json.dumps([manifest, *OBJECTS])
    referred = {("ConfigMap", name) for name in re.findall(r'"configMapRef": {"name": "([^"]+)"', told)}
    referred |= {("PersistentVolumeClaim", name) for name in re.findall(r'"claimName": "([^"]+)"', told)}
    assert {kind for kind, _name in referred} == {"ConfigMap", "PersistentVolumeClaim"}
    assert referred <= there
    namespaces = {its["metadata"].get("namespace") for its in OBJECTS if its["kind"] != "Namespace"}
    assert namespaces == {POOLS["kubernetes"]["variables"]["properties"]["namespace"]["default"]}
    (settings,) = [its["data"] for its in OBJECTS if its["kind"] == "ConfigMap"]
    ports = {its["metadata"]["name"]: its["spec"]["ports"][0]["port"] for its in OBJECTS if its["kind"] == "Service"}
    for name, variable in (("prefect", "PREFECT_API_URL"), ("mlflow", "MLFLOW_TRACKING_URI")):
        assert settings[variable].startswith(f"http://{name}:{ports[name]}")


def test_workers_and_docs_use_the_pool_of_the_deployments():
    (pool,) = {its["work_pool"]["name"] for its in DEPLOYMENTS}
    places = [PROJECT / "Makefile", PROJECT / "deploy" / "docker" / "compose.yaml", *(PROJECT / "docs").glob("*.md")]
    named = [
        re.findall(r"(?:--pool |work-pool (?:create|inspect|update) )([\w-]+)", path.read_text()) for path in places
    ]
    assert set(chain(*named)) == {pool}
    told = [" ".join([*its["command"], *its.get("args", [])]) for its in containers()]
    assert {name for its in told for name in re.findall(r"(?:--pool|work-pool create) ([\w-]+)", its)} == {pool}


def test_the_image_contains_all_files_that_deployments_and_pods_use():
    held = [PROJECT / name for line in re.findall(r"^COPY (.*) \S+$", RECIPE, re.MULTILINE) for name in line.split()]
    entries = {its["entrypoint"].partition(":")[0].removesuffix(".py").replace("/", ".") for its in DEPLOYMENTS}
    require = {path for entry in entries for path in project_modules(entry).values()}
    asked = re.findall(r"[\w/]+\.(?:py|yaml|json)\b", json.dumps([its.get("args", []) for its in containers()]))
    assert {"flows/automations.py", "deployment.yaml", "deploy/pools/kubernetes.json"} <= set(asked)
    require |= {PROJECT / name for name in asked} | set((PROJECT / "tasks" / "core" / "presets").glob("*.toml"))
    for path in require:
        assert path.exists()
        assert any(path == place or place in path.parents for place in held), path


def test_hourly_scoring_in_a_container_reads_and_writes_in_the_store():
    store = re.search(r"ARTIFACTS_STORE=(\S+)", RECIPE)[1]
    assert f"ln -s {store} artifacts" in RECIPE
    (hourly,) = (its["parameters"]["settings"] for its in DEPLOYMENTS if its["name"] == "hourly")
    places = {"input": f"artifacts/{INBOX}", "output": "artifacts/scored"}
    assert hourly == {**places, "registered_model": "imdb-classifier"}
