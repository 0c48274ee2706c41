"""What the installation files and docs/agent.md tell people to run is what the program takes."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.edge import cli
from agents.edge.agent import Exit

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs/agent.md").read_text()
UNIT = ROOT / "deploy/systemd/imp-agent.service"


def commands_in(text: str) -> list[list[str]]:
    """Every command line of ours in the code blocks, without whatever runs it."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    verbs = r"imp-agent (?:join|run|status|stop|version)\b.*"
    return [shlex.split(line)[1:] for line in re.findall(rf"(?:^|-- )({verbs})", blocks, re.M)]


def documents() -> dict[str, dict[str, Any]]:
    found = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/agent.yaml").read_text()))
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def pod() -> dict[str, Any]:
    return documents()["StatefulSet/imp-agent"]["spec"]["template"]["spec"]


def test_every_command_in_the_docs_is_one() -> None:
    commands = commands_in(DOCS)

    assert {command[0] for command in commands} >= {"join", "status"}
    for command in commands:
        cli.parser().parse_args(command)


@pytest.mark.parametrize("verb", ["join", "run", "status", "stop"])
def test_options_named_in_the_docs_exist(verb: str) -> None:
    row = re.search(rf"^\| `imp-agent {verb}` \|(.*)$", DOCS, re.MULTILINE)
    assert row
    known = cli.parser().parse_args([verb]).__dict__
    for option in re.findall(r"--([a-z-]+)", row[1]):
        assert option.replace("-", "_") in known


def test_every_exit_code_is_documented() -> None:
    table = DOCS.split("| exit code |")[1].split("\n\n")[0]

    assert {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)} == set(Exit)


def test_every_file_named_in_the_docs_exists() -> None:
    for name in re.findall(r"(?:deploy|requirements)/[a-zA-Z./-]+\w", DOCS):
        assert (ROOT / name).is_file(), name


def test_the_unit_starts_the_agent_and_spares_envoy() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]

    cli.parser().parse_args(service["ExecStart"].split()[1:])
    assert service["KillMode"] == "process"
    final = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert final == {Exit.USAGE, Exit.NOT_RUNNING, Exit.REVOKED, Exit.LOCKED}


def test_the_pod_joins_and_runs_on_one_volume() -> None:
    join, run = pod()["initContainers"][0], pod()["containers"][0]
    joined, running = (cli.parser().parse_args(each["args"]) for each in (join, run))

    assert joined.state_dir == running.state_dir
    assert running.on_revoked == "serve"
    assert running.listen == ("0.0.0.0", 9464)
    known = {each["name"] for each in join["env"]}
    assert set(re.findall(r"\$\((\w+)\)", " ".join(join["args"]))) == known
    mounts = [{each["mountPath"] for each in c["volumeMounts"]} for c in (join, run)]
    assert all("/var/lib/imp-agent" in each for each in mounts)


def test_the_pods_hook_stops_the_gateway_of_the_same_folder() -> None:
    run = pod()["containers"][0]
    script = run["lifecycle"]["preStop"]["exec"]["command"][-1]
    arguments = cli.parser().parse_args(shlex.split(script.split("imp-agent ")[1]))

    assert arguments.gateway
    assert arguments.state_dir == cli.parser().parse_args(run["args"]).state_dir


def test_probes_and_services_point_at_ports_that_exist() -> None:
    run = pod()["containers"][0]
    ports = {each["name"]: each["containerPort"] for each in run["ports"]}
    for probe in ("readinessProbe", "livenessProbe"):
        assert run[probe]["httpGet"]["port"] in ports
    target = documents()["Service/imp-gateway"]["spec"]["ports"][0]["targetPort"]
    assert target in ports.values()


def test_the_pod_is_locked_down() -> None:
    spec = pod()
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
