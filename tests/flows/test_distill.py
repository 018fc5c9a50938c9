"""Deployments, and one run of the flow from data to champion."""

import inspect
import json
import sys

import httpx
import psutil
import pytest
from support.pipeline import Pipeline
from support.prefect import ask, free_port, post, string
from support.project import ROOT
from support.warm import programs

from amtss.config import yaml
from flows import pipeline as steps
from flows.distill import distill
from flows.monitor import monitor
from flows.onboard import onboard_language
from flows.parameters import PRESETS
from flows.teacher import teacher

SCREEN = 30
"""Lines."""


class TestDeployments:
    def test_name_existing_flows_and_presets(self) -> None:
        flows = {"flows/distill.py:distill": distill,
                 "flows/onboard.py:onboard_language": onboard_language,
                 "flows/monitor.py:monitor": monitor}
        deployments = yaml.load((ROOT / "prefect.yaml").read_text())["deployments"]
        others = [entry for entry in deployments if entry["entrypoint"] not in flows]
        assert [f"{entry['entrypoint']} {entry['name']}" for entry in others] == [
            "flows/teacher.py:teacher remote"]
        assert "flows/distill.py:distill own" in {
            f"{entry['entrypoint']} {entry['name']}" for entry in deployments}
        for entry in (entry for entry in deployments if entry not in others):
            flows[entry["entrypoint"]].validate_parameters(entry["parameters"])
            assert entry["parameters"]["preset"] in PRESETS
            assert not any(schedule["active"] for schedule in entry.get("schedules", []))

    def test_bodies_fit_a_screen(self) -> None:
        for function in (distill, monitor, onboard_language, teacher, steps.run, steps.teach,
                         steps.teach_remotely):
            assert len(inspect.getsource(getattr(function, "fn", function)).splitlines()) <= SCREEN


def check_monitoring(pipeline: Pipeline, url: str) -> None:
    """A run of `monitor` fails where texts have drifted, and says why."""
    (pipeline.root / "odd.csv").write_text("text,lang\n" + f"{'漢字 ' * 80},en\n" * 100)
    files = json.dumps(["o?d.csv"])
    with pytest.raises(AssertionError, match="expected the run to succeed"):
        pipeline.run(sys.executable, "-m", "flows", "run", "monitor/demo", "--param",
                     f"files={files}")
    (pipeline.root / "odd.csv").unlink()
    run, = (run for run in ask(pipeline.root, url, "flow_runs") if run["name"] == "monitor demo")
    assert run["state"]["type"] == "FAILED"
    assert "exit status 3" in run["state"]["message"]
    shown = next(artifact["data"] for artifact in ask(pipeline.root, url, "artifacts")
                 if artifact["key"] == "drift")
    assert "Drift in en: " in shown


@pytest.mark.slow
def test_a_deployment_runs_from_data_to_champion(pipeline: Pipeline) -> None:
    path = pipeline.root / "prefect.yaml"
    settings = yaml.load(path.read_text())
    settings["deployments"] = [entry for entry in settings["deployments"]
                               if entry.get("parameters", {}).get("preset") == "demo"
                               and "languages" not in entry["parameters"]]
    path.write_text(yaml.dump(settings))
    path = pipeline.root / "dvc.yaml"  # stages without the seconds of their imports
    path.write_text(path.read_text().replace("cmd: amtss", f"cmd: {programs() / 'amtss'}"))
    pipeline.commit()
    url = f"http://127.0.0.1:{free_port()}/api"
    pipeline.environment |= {"PREFECT_API_URL": url,
                             "MLFLOW_TRACKING_URI": f"sqlite:///{pipeline.root / 'mlflow.db'}"}
    before = (pipeline.root / "params.yaml").read_bytes()
    try:
        pipeline.run(sys.executable, "-m", "flows", "up")
        deployment = next(entry["id"] for entry in ask(pipeline.root, url, "deployments")
                          if entry["parameters"] == {"preset": "demo"})
        create = f"{url}/deployments/{deployment}/create_flow_run"
        assert httpx.post(create, json={"parameters": {"preset": "demo"}}).status_code == 401
        response = post(pipeline.root, create, {"parameters": {"preset": "nosuch"}})
        assert "'nosuch' is not one of" in response.text
        pipeline.run(sys.executable, "-m", "flows", "run", "distill/demo")
        secret = string(pipeline.root)
        assert not any(secret in " ".join(process.info["cmdline"] or ())
                       for process in psutil.process_iter(["cmdline"]))
        assert sorted(path.name for path in (pipeline.root / ".prefect").iterdir() if path.is_file()
                      and secret.encode() in path.read_bytes()) == ["auth_string", "profiles.toml"]
        assert "distill/demo" in pipeline.run("prefect", "deployment", "ls")  # with no variable
        runs = ask(pipeline.root, url, "flow_runs")
        assert [run["state"]["type"] for run in runs] == ["COMPLETED"]
        names = {run["name"] for run in ask(pipeline.root, url, "task_runs")}
        assert names >= {"gate", "teach@en", "teach@more", "score@en", "score@more", "distil",
                         "baseline", "evaluate", "report", "register", "promote"}
        shown = {artifact["key"]: artifact["data"]
                 for artifact in ask(pipeline.root, url, "artifacts")}
        assert shown["teach-en"] == shown["distil"] == 100.0
        assert [row["language"] for row in json.loads(shown["accuracy"])] == ["en", "average"]
        assert "is champion now" in shown["outcome"]
        check_monitoring(pipeline, url)
    finally:
        pipeline.run(sys.executable, "-m", "flows", "down")
    with pytest.raises(httpx.ConnectError, match="refused"):
        httpx.get(f"{url}/health")
    assert not (pipeline.root / ".prefect" / "worker.pid").exists()
    assert (pipeline.root / "params.yaml").read_bytes() == before
    assert pipeline.run("git", "status", "--porcelain") == ""
    branch = pipeline.run("git", "branch", "--list", "runs/*", "--format=%(refname:short)").strip()
    pipeline.run("git", "merge", "--quiet", branch)
    pipeline.run("dvc", "checkout")  # from the cache they share
    assert (pipeline.root / "artifacts" / "report" / "report.html").is_file()
    assert pipeline.repro() == []
