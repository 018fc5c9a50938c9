import subprocess
import sys
import tempfile
from pathlib import Path

from amtss.temporary import temporary_folder


def test_a_temporary_folder_outlives_no_kill(tmp_path: Path) -> None:
    code = ("import os, signal, tempfile; from pathlib import Path"
            "\nfrom amtss.temporary import temporary_folder"
            "\nwith temporary_folder(Path(), 'register'):"
            "\n    tempfile.mkdtemp(); os.kill(os.getpid(), signal.SIGKILL)")
    with temporary_folder(tmp_path, "register") as alive:
        assert Path(tempfile.mkdtemp()).parent == alive
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
        assert len(list(tmp_path.iterdir())) == 2
        with temporary_folder(tmp_path, "register") as own:
            assert {*tmp_path.iterdir()} == {alive, own}
    assert list(tmp_path.iterdir()) == []
    assert not Path(tempfile.gettempdir()).is_relative_to(tmp_path)
