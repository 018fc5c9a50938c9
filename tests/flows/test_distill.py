"""Deployments, and one run of the flow from data to champion."""

import inspect
import json
import sys

import httpx
import pytest
import yaml
from support.pipeline import Pipeline
from support.prefect import ask, free_port
from support.project import ROOT

from flows import pipeline as steps
from flows.distill import distill
from flows.onboard import onboard_language
from flows.teacher import teacher


class TestDeployments:
    def test_are_of_flows_and_presets_that_are_there(self) -> None:
        flows = {"flows/distill.py:distill": distill,
                 "flows/onboard.py:onboard_language": onboard_language}
        declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
        assert [f"{each['entrypoint']} {each['name']}" for each in declared
                if each["entrypoint"] not in flows] == ["flows/teacher.py:teacher remote"]
        for each in (each for each in declared if each["entrypoint"] in flows):
            flows[each["entrypoint"]].validate_parameters(each["parameters"])
            assert (ROOT / "params" / f"{each['parameters']['preset']}.yaml").is_file()
            assert not any(schedule["active"] for schedule in each.get("schedules", []))

    def test_bodies_fit_a_screen(self) -> None:
        for each in (distill, onboard_language, teacher, steps.run, steps.teach, steps.send):
            assert len(inspect.getsource(getattr(each, "fn", each)).splitlines()) <= 30


@pytest.mark.slow
def test_a_deployment_runs_from_data_to_champion(pipeline: Pipeline) -> None:
    declared = pipeline.root / "prefect.yaml"
    read = yaml.safe_load(declared.read_text())
    read["deployments"] = [each for each in read["deployments"]
                           if each.get("parameters") == {"preset": "demo"}]
    declared.write_text(yaml.safe_dump(read))
    pipeline.commit()
    url = f"http://127.0.0.1:{free_port()}/api"
    pipeline.environment |= {"PREFECT_API_URL": url,
                             "MLFLOW_TRACKING_URI": f"sqlite:///{pipeline.root / 'mlflow.db'}"}
    before = (pipeline.root / "params.yaml").read_bytes()
    try:
        pipeline.run(sys.executable, "-m", "flows", "up")
        number = next(each["id"] for each in ask(url, "deployments") if each["name"] == "demo")
        refused = httpx.post(f"{url}/deployments/{number}/create_flow_run",
                             json={"parameters": {"preset": "nosuch"}})
        assert "'nosuch' is not one of" in refused.text
        pipeline.run(sys.executable, "-m", "flows", "run", "distill/demo")
        ended = ask(url, "flow_runs")
        assert [each["state"]["type"] for each in ended] == ["COMPLETED"]
        names = {each["name"] for each in ask(url, "task_runs")}
        assert names >= {"gate", "teach@en", "teach@more", "score@en", "score@more", "distil",
                         "baseline", "evaluate", "report", "register", "promote"}
        shown = {each["key"]: each["data"] for each in ask(url, "artifacts")}
        assert shown["teach-en"] == shown["distil"] == 100.0
        assert [row["language"] for row in json.loads(shown["accuracy"])] == ["en", "average"]
        assert "is champion now" in shown["outcome"]
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


