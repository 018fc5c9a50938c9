"""The entry point: errors become one line on stderr, and libraries are quiet."""

import atexit
import gc
import io
import logging
import os
import sys
import traceback
from typing import NoReturn

import typer

from amtss import dvc_cache, processes
from amtss.cli.project import locks
from amtss.cli.stages import app
from amtss.errors import AlteredError, AmtssError, ParamsError


def main() -> None:
    """Run a command. A user's mistake becomes one line on stderr and a non-zero exit status."""
    gc.set_threshold(100_000, 10, 10)  # the default takes a sixth of a training's start
    atexit.register(gc.freeze)  # a last collection of all of memory takes a second, for nothing
    quiet()
    processes.join()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a character that the terminal lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with locks:
            raise SystemExit(app(standalone_mode=False) or 0)
    except typer.Abort:
        raise SystemExit(130) from None
    except typer.TyperException as error:
        message = str(error.format_message())
        if message:  # there is none if the help has been printed instead
            _fail(f"{message.rstrip('.')}; see `amtss --help`")
        raise SystemExit(2) from None
    except AlteredError as error:
        _fail(dvc_cache.message(error))
    except ParamsError as error:  # all that is wrong in params.yaml at once
        _fail(*error.lines)
    except AmtssError as error:
        _fail(str(error))
    except BrokenPipeError:  # as of `amtss predict | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        from amtss.files import is_full

        if not is_full(error):
            if processes.hand_over(repr(error), traceback.format_exc()):
                raise SystemExit(1) from None
            raise
        _fail(f"expected to be able to write, found: {error}; free space, then run the same "
              "command again")


def _fail(*messages: str) -> NoReturn:
    from amtss.table import one_line

    lines = [*map(one_line, messages)]
    if not processes.hand_over(lines[0]):
        print(*(f"amtss: {line}" for line in lines), sep="\n", file=sys.stderr)
    raise SystemExit(1) from None


def quiet() -> None:
    """Switch off libraries' telemetry and log messages, and their progress bars if stderr is not a
    terminal. Variables that the user has set win.

    Threads wait without spinning: on a busy machine a small model then trains in one minute instead
    of ten.
    """
    defaults = {"OMP_WAIT_POLICY": "PASSIVE", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
                "GX_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
                "MLFLOW_LOGGING_LEVEL": "CRITICAL", "TRANSFORMERS_VERBOSITY": "error",
                "DATASETS_VERBOSITY": "critical", "HF_HUB_VERBOSITY": "error",
                "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "true"}
    if not sys.stderr.isatty():
        defaults |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1",
                     "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # They log every error that they also raise or recover from.
    for name in ("great_expectations", "urllib3"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False  # not to handlers that something else in this process has set up
