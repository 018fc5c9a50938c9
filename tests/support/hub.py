"""A small imitation of the hub, to run params/xnli.yaml without the real one.

    PYTHONPATH=tests python -m support.hub FOLDER [XNLI]

fills a cache of the hub in FOLDER/hub with everything that the preset names: random checkpoints of
the same architectures, each with its own tokenizer, and XNLI, copied from the folder XNLI or
generated. It prints the variables that make every stage read this cache, offline.
"""

import base64
import hashlib
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet

from amtss.config import yaml
from amtss.config.params import load_params
from support.project import ROOT
from support.training import write_checkpoint

XNLI = load_params(ROOT / "params" / "xnli.yaml")
KINDS = {"FacebookAI/xlm-roberta-large": "xlm-roberta", "FacebookAI/roberta-large": "roberta",
         "almanach/camembert-large": "camembert"}
LABELS = ("entailment", "neutral", "contradiction")
MAIN = "0123456789abcdef0123456789abcdef01234567"
"""The commit of `main`, for names that the preset does not pin."""
TOKEN = "hf_of_the_tests"  # noqa: S105 - no secret
"""The one that may write."""
ROWS = {"train": 60, "validation": 30, "test": 30}
SIZES = {"data.sample": {"rows": 60}, "teaching.epochs": 2, "teaching.batch_size": 8,
         "teaching.learning_rate": 3e-3, "distil.max_epochs": 5, "distil.batch_size": 8,
         "distil.learning_rate": 3e-4, "distil.kd_weight": 0.1}
"""Changes to the preset for a run on few rows that learns something, by dotted key."""
PREMISES = {
    "ar": "الطالب {} يقرأ كتابا جديدا في المكتبة كل يوم",
    "en": "The student {} reads a new book in the library every day",
    "es": "El estudiante {} lee un libro nuevo en la biblioteca todos los días",
    "fr": "L'étudiant {} lit un nouveau livre à la bibliothèque tous les jours",
    "ru": "Студент {} каждый день читает в библиотеке новую книгу"}
HYPOTHESES = {
    "ar": ("شخص {} يقرأ", "الطالب {} يحب المدرسة", "لا أحد {} يقرأ شيئا"),
    "en": ("Somebody {} is reading", "The student {} likes the school", "Nobody {} reads at all"),
    "es": ("Alguien {} está leyendo", "Al estudiante {} le gusta la escuela", "Nadie {} lee nada"),
    "fr": ("Quelqu'un {} lit", "L'étudiant {} aime l'école", "Personne {} ne lit rien"),
    "ru": ("Кто-то {} читает", "Студент {} любит школу", "Никто {} ничего не читает")}


def pairs(code: str, split: str, rows: int) -> pa.Table:
    """Rows with XNLI's columns for one language; the hypothesis gives the label away."""
    draw = random.Random(f"{code}-{split}")
    labels = [index % 3 for index in range(rows)]
    words = [f"{split[:2]}{index}-{draw.randrange(100)}" for index in range(rows)]
    return pa.table({"premise": [PREMISES[code].format(word) for word in words],
                     "hypothesis": [HYPOTHESES[code][label].format(word)
                                    for label, word in zip(labels, words, strict=True)],
                     "label": labels})


def write_xnli(folder: Path, codes: Sequence[str] = XNLI.languages) -> Path:
    """Write the data set in the hub's layout: a config per language, ClassLabel in the card."""
    features = [{"name": name, "dtype": "string"} for name in ("premise", "hypothesis")]
    features.append({"name": "label", "dtype": {"class_label": {"names": dict(enumerate(LABELS))}}})
    files = {code: [{"split": split, "path": f"{code}/{split}-*"} for split in ROWS]
             for code in codes}
    card = {"dataset_info": [{"config_name": code, "features": features} for code in codes],
            "configs": [{"config_name": code, "data_files": files[code]} for code in codes]}
    for code in codes:
        (folder / code).mkdir(parents=True)
        for split, rows in ROWS.items():
            pyarrow.parquet.write_table(pairs(code, split, rows),
                                        folder / code / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text(f"---\n{yaml.dump(card)}---\n", encoding="utf-8")
    return folder


@cache
def repositories() -> Path:
    """A folder with OWNER/NAME for every name of the preset; made once per process."""
    root = Path(tempfile.mkdtemp(prefix="amtss-hub-"))
    write_xnli(root / str(XNLI.data.hub))
    languages = {"xlm-roberta": XNLI.languages, "roberta": ("en",), "camembert": ("fr",)}
    for name, kind in KINDS.items():  # encoders without a classifier, as on the hub
        tables = [pairs(code, "train", ROWS["train"]) for code in languages[kind]]
        texts = [text for table in tables for column in ("premise", "hypothesis")
                 for text in table[column].to_pylist()]
        write_checkpoint(root / name, kind, texts=texts, positions=512)
    return root


def pinned() -> dict[str, str]:
    """Hub id -> commit for every name of the preset."""
    revisions = {str(teacher.checkpoint): teacher.revision for teacher in XNLI.teachers.values()}
    revisions |= {str(XNLI.data.hub): XNLI.data.revision}
    return {name: MAIN if revision in (None, "main") else str(revision)
            for name, revision in revisions.items()}


def fill(cache_folder: Path, data: Path | None = None) -> None:
    """Fill a cache of the hub with everything that the preset names.

    Args:
        data: a folder in the hub's layout with XNLI; None for generated rows.
    """
    for name, commit in pinned().items():
        kind = "datasets" if name == XNLI.data.hub else "models"
        folder = cache_folder / "--".join([kind, *name.split("/")])
        source = data if data and kind == "datasets" else repositories() / name
        shutil.copytree(source, folder / "snapshots" / commit, dirs_exist_ok=True)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(commit)


class Answers(BaseHTTPRequestHandler):
    """Answers as the hub's server does for `repositories()`, refusals included.

    It takes what is pushed to repositories of the owner `me`, and of `large` whose weights it wants
    uploaded by themselves; `public` has public ones alone, and `readonly` lets nobody write.
    """

    pushed: ClassVar[Path]
    """Folder with OWNER/NAME for every repository that was pushed."""

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(None)

    def do_PUT(self) -> None:
        path = self.pushed / "uploads" / Path(self.path).name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self._read())
        self._send(b"", "")

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self._read()
        asked = path.removeprefix("/api/models/").split("/")
        owner, name = asked[:2]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "", "Invalid username or password.")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._send(b"{}", "")
        elif path.endswith("/info/lfs/objects/batch"):
            self._answer_uploads(json.loads(body))
        elif asked[2] == "preupload":
            files = [{"path": file["path"], "shouldIgnore": False, "uploadMode": "lfs" if owner ==
                      "large" and file["path"].endswith(".safetensors") else "regular"}
                     for file in json.loads(body)["files"]]
            self._send(json.dumps({"files": files}).encode(), "")
        else:
            self._commit(self.pushed / owner / name, body)

    def _read(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers["Content-Length"]))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size + 2)[:-2]
        self.rfile.readline()
        return content

    def _create(self, asked: dict[str, str]) -> None:
        owner, name = asked["organization"], asked["name"]
        folder = self.pushed / owner / name
        page = json.dumps({"url": f"{self._address}/{owner}/{name}"}).encode()
        if owner == "readonly":
            self._refuse(403, "", f"You don't have the rights to create a model under {owner!r}")
        elif folder.is_dir():
            self._send(page, "", status=409)
        else:
            folder.mkdir(parents=True)
            if asked.get("visibility") == "private" and owner != "public":
                (folder / ".private").touch()
            self._send(page, "")

    @property
    def _address(self) -> str:
        return f"http://{self.headers['Host']}"

    def _answer_uploads(self, asked: dict[str, Any]) -> None:
        self._send(json.dumps({"objects": [{**file, "actions": {"upload": {
            "href": f"{self._address}/uploads/{file['oid']}"}}} for file in asked["objects"]]}
        ).encode(), "")

    def _commit(self, folder: Path, body: bytes) -> None:
        for line in body.splitlines():
            key, value = json.loads(line).values()
            if key == "file":
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                shutil.copy(self.pushed / "uploads" / value["oid"], folder / value["path"])
        page = f"{self._address}/{folder.parent.name}/{folder.name}/commit/{MAIN}"
        self._send(json.dumps({"commitUrl": page, "commitOid": MAIN}).encode(), MAIN)

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, body: bytes | None) -> None:
        path = unquote(urlsplit(self.path).path)
        owner, name, *rest = path.removeprefix("/api/").removeprefix("/").removeprefix(
            "models/").removeprefix("datasets/").split("/")
        commit = pinned().get(f"{owner}/{name}")
        if (self.pushed / owner / name).is_dir():
            self._serve(self.pushed / owner / name, MAIN, rest, body)
        elif owner == "gated":
            self._refuse(401 if name == "asked" else 403, "GatedRepo", "Access is restricted")
        elif owner == "down":
            self._refuse(503, "", "Service Unavailable")
        elif owner == "token":
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif commit is None:
            self._refuse(401, "RepoNotFound", "Invalid username or password.")
        elif rest and rest[1] not in (commit, "main"):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {rest[1]}")
        else:
            self._serve(repositories() / owner / name, commit, rest, body)

    def _serve(self, root: Path, commit: str, rest: list[str], body: bytes | None) -> None:
        kind, file = rest[0] if rest else "revision", root / "/".join(rest[2:])
        if kind == "revision":
            answer = {"id": "/".join(root.parts[-2:]), "sha": commit,
                      "private": (root / ".private").exists()}
            self._send(json.dumps(answer).encode(), commit)
        elif kind == "tree":
            self._send(json.dumps([
                {"type": "file", "path": path.relative_to(root).as_posix(), "oid": _sha(path),
                 "size": path.stat().st_size} for path in root.rglob("*") if path.is_file()
            ]).encode(), commit)
        elif file.is_file():
            self._send(file.read_bytes(), commit, _sha(file), body)
        else:
            self._refuse(404, "EntryNotFound", "Entry not found")

    def _send(self, content: bytes, commit: str, tag: str = "", body: bytes | None = None,
              status: int = 200) -> None:
        self.send_response(status)
        for key, value in (("Content-Length", str(len(content))), ("X-Repo-Commit", commit),
                           ("ETag", f'"{tag}"')):
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content if body is None else body)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        for key, value in (("X-Error-Code", code), ("X-Error-Message", message)):
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _sha(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def served() -> Iterator[str]:
    """Run such a server; its address, for HF_ENDPOINT."""
    with tempfile.TemporaryDirectory(prefix="amtss-hub-") as folder:
        answers = type("Answers", (Answers,), {"pushed": Path(folder)})
        server = ThreadingHTTPServer(("127.0.0.1", 0), answers)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    fill(folder / "hub", Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    print(f"HF_HUB_OFFLINE=1 HF_HUB_CACHE={folder / 'hub'}")
