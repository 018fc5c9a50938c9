import pytest
from support.prefect import tiny

from amtss.config.params import _tuples
from amtss.config.schema import Params
from amtss.errors import ParamsError, RegistryError
from flows import tasks
from flows.subprocesses import CommandError, StoppedError


class TestTasks:
    def test_only_trainings_have_epochs(self) -> None:
        params = Params.model_validate(_tuples(tiny()))
        assert [tasks.max_epochs(params, target) for target in (
            "teach@en", "score@en", "distil", "baseline", "evaluate")] == [3, 0, 2, 2, 0]

    def test_a_linear_teacher_has_no_progress_to_show(self) -> None:
        values = tiny()
        values["teachers"]["lin"] = {"kind": "linear", "languages": ["all"]}
        assert tasks.max_epochs(Params.model_validate(_tuples(values)), "teach@lin") == 0

    @pytest.mark.parametrize(("error", "retried"), [
        (CommandError("exited with -9"), True), (CommandError("exited with 1"), False),
        (RegistryError("MLFLOW_TRACKING_URI: expected MLflow to answer at h, found: no"), True),
        (ParamsError("Connection refused"), False), (StoppedError("stopped"), False)], ids=str)
    def test_only_errors_that_may_pass_are_retried(self, error: Exception, retried: bool) -> None:
        from prefect.states import Failed

        assert tasks.worth_retrying(None, None, Failed(data=error)) == retried
