"""Peak memory and start-up of the stages at XNLI's size, on made-up texts.

    python bench/size.py FOLDER [--rows 392702] [--only STAGE ...] [--out FILE.json]

Writes a project into FOLDER: sentence pairs as long as XNLI's in five languages, a tokenizer of
250,002 pieces, a tiny teacher and the paper's student. Then it runs the stages as processes and
prints the peak resident memory and the seconds of each. Trainings run `STEPS` steps, then whatever
follows an epoch; their start-up is the time from the process' start to the first step.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from amtss.config import yaml

LETTERS = {"ar": ("بتثجحدرسعفقكلمنهوي", "اوي"), "en": ("bcdfghklmnprstvw", "aeiou"),
           "es": ("bcdfglmnprstvz", "aeioá"), "fr": ("bcdfglmnprstvj", "aeiué"),
           "ru": ("бвгджзклмнпрст", "аеиоу")}
"""A language's consonants and vowels."""
LABELS = ("entailment", "neutral", "contradiction")
SIZE, OTHERS = 392_702, {"validation": 2490, "test": 5010}
"""Rows of XNLI's train split and of the others, which shrink in proportion with `--rows`."""
WORDS, PIECES = 60_000, 45_000
"""Words per language, and how many of them are a piece of the vocabulary; others split up."""
VOCABULARY = 250_002
LENGTHS = {"premise": (22.0, 0.68), "hypothesis": (11.0, 0.42)}
"""Mean number of words, and the standard deviation of its logarithm, measured on XNLI."""
STEPS = 50
FIRST = "first step after "
ENCODER = {"layers": 4, "width": 200, "heads": 4, "feed_forward": 800}
PARAMS: dict[str, Any] = {
    "project": "size", "languages": list(LETTERS),
    "data": {"source": "dataset", "path": "source",
             "columns": {"text": "premise", "pair": "hypothesis"}},
    "validation": {"max_leaked": 1.0, "max_duplicates": 1.0, "max_conflicting": 1.0},
    "teaching": {"max_length": 128, "epochs": 1, "batch_size": 32, "learning_rate": 1.0e-2,
                 "precision": "fp32"},
    "teachers": {"multilingual": {"languages": ["all"], "checkpoint": "teacher"}},
    "scoring": {"batch_size": 128, "precision": "fp32"},
    "student": {"architecture": ENCODER, "tokenizer": "teacher", "max_length": 128},
    "distil": {"max_epochs": 1, "top_k": 3, "precision": "fp32"}}
STAGES = (*(f"{stage} {code}" for stage in ("data", "validate") for code in LETTERS), "gate",
          "teach multilingual", "score multilingual", "start", "distil", "distil", "baseline",
          "floor", "evaluate")
"""In the order measured. `distil` runs twice: without cached tokens, then with them."""


def words(language: str) -> list[str]:
    """Words of a language; frequent ones are short."""
    consonants, vowels = LETTERS[language]
    syllables = [a + b for a in consonants for b in vowels]
    draw = np.random.default_rng(len(syllables))
    words: dict[str, None] = {}
    while len(words) < WORDS:
        size = 1 + sum(len(words) > limit for limit in (40, 1000, 8000, 30_000))
        words["".join(draw.choice(syllables, size + draw.integers(2)))] = None
    return list(words)


def rows(language: str, split: str, size: int) -> pa.Table:
    """Sentence pairs with XNLI's lengths and Zipf's frequencies. Every other word of a hypothesis
    says the label, so that a few steps teach it: stages refuse models that have learnt nothing."""
    draw = np.random.default_rng([len(language), size, sum(map(ord, language + split))])
    known = np.array(words(language), dtype=object)
    share = np.cumsum(1 / (np.arange(WORDS) + 5.0))
    labels, columns = draw.integers(0, len(LABELS), size), {}
    for column, (mean, spread) in LENGTHS.items():
        lengths = np.maximum(1, draw.lognormal(np.log(mean) - spread ** 2 / 2, spread, size)
                             ).astype(int)
        picked = known[np.searchsorted(share, draw.random(lengths.sum()) * share[-1])]
        if column == "hypothesis":
            picked[::2] = known[np.repeat(labels, lengths)[::2]]
        ends = np.cumsum(lengths)
        columns[column] = [" ".join(picked[end - length:end])
                           for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
    return pa.table(columns | {"label": labels.astype(np.int64)})


def synthesise(root: Path, size: int) -> None:
    """Write the project: data, checkpoint with its tokenizer, params.yaml."""
    configs, counts = [], {"train": size} | {split: max(count * size // SIZE, 60)
                                             for split, count in OTHERS.items()}
    for language in LETTERS:
        folder = root / "source" / language
        folder.mkdir(parents=True)
        for split, count in counts.items():
            pyarrow.parquet.write_table(rows(language, split, count), folder / f"{split}.parquet")
        configs.append({"config_name": language, "data_files": [
            {"split": split, "path": f"{language}/{split}.parquet"}
            for split in counts]})
    (root / "source" / "README.md").write_text(f"---\n{yaml.dump({'configs': configs})}---\n")
    settings = PARAMS | {"data": PARAMS["data"] | {"labels": list(LABELS)}}
    (root / "params.yaml").write_text(yaml.dump(settings))
    checkpoint(root / "teacher")


def checkpoint(folder: Path) -> None:
    """A tiny XLM-R whose vocabulary has the size of the real one."""
    from transformers import (
        XLMRobertaConfig,
        XLMRobertaForSequenceClassification,
        XLMRobertaTokenizer,
    )

    own = [(f"▁{word}", -8.0 - rank / 10_000) for language in LETTERS
           for rank, word in enumerate(words(language)[:PIECES])]
    syllables = {a + b for left, right in LETTERS.values() for a in left for b in right}
    letters = {letter for kinds in LETTERS.values() for letter in "".join(kinds)}
    own += [(piece, -12.0) for piece in sorted(syllables)]
    own += [(piece, -15.0) for piece in ("▁", *sorted(letters))]
    pieces = dict([(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")] + own)
    unused = [(f"[{at}]", -20.0) for at in range(VOCABULARY - 1 - len(pieces))]
    tokenizer = XLMRobertaTokenizer(vocab=[*pieces.items(), *unused, ("<mask>", 0.0)])
    assert len(tokenizer) == VOCABULARY, len(tokenizer)
    tokenizer.save_pretrained(folder)
    XLMRobertaForSequenceClassification(XLMRobertaConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1,
        id2label=dict(enumerate(LABELS)), label2id={name: at for at, name in enumerate(LABELS)},
    )).save_pretrained(folder)


def measure(root: Path, stage: str) -> dict[str, Any]:
    """Run a stage as a process."""
    name, *_ = stage.split()
    command = ([sys.executable, str(Path(__file__).resolve()), "--short", stage]
               if name in ("teach", "distil", "baseline")
               else [sys.executable, "-m", "amtss", *stage.split()])
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"amtss {stage} failed")
    first = re.search(f"{FIRST}(.+) (.+)", output)
    return {"stage": stage, "peak, GiB": round(usage.ru_maxrss / 2**20, 2),
            "seconds": round(time.perf_counter() - started, 1),
            "CPU s": round(usage.ru_utime + usage.ru_stime, 1),
            "to the first step, s": first and float(first[1]),
            "CPU s to it": first and float(first[2])}


def short(stage: str) -> None:
    """Run a training's command in this process, with `STEPS` steps per epoch."""
    import psutil

    from amtss.cli import main as cli
    from amtss.distillation import learner
    from amtss.teachers import trainer

    def track(items: Sequence[Any], title: str) -> Iterator[Any]:
        seconds = time.time() - psutil.Process().create_time()
        print(f"{FIRST}{seconds:.1f} {time.process_time():.1f}", flush=True)
        yield from islice(items, STEPS)

    arguments = trainer._arguments

    def shortened(*positional: Any) -> Any:
        training_arguments = arguments(*positional)
        training_arguments.max_steps = STEPS
        return training_arguments

    learner.track = track  # type: ignore[assignment]
    trainer._arguments = shortened
    sys.argv = ["amtss", *stage.split()]
    cli.main()  # its start is a little slower than usual: `learner` was imported before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("size"))
    parser.add_argument("--rows", type=int, default=SIZE, help="of a language's train split")
    parser.add_argument("--only", nargs="*", default=STAGES, help="stages, such as 'data en'")
    parser.add_argument("--short", help="the stage to run in this process")
    parser.add_argument("--out", type=Path, default=None, help="JSON")
    options = parser.parse_args()
    if options.short:
        short(options.short)
    if not (options.folder / "params.yaml").exists():
        with measuring.processes(1) as pool:  # so that the stages' peak does not include it
            pool.submit(synthesise, options.folder, options.rows).result()
    rows = []
    for stage in options.only:
        rows.append(measure(options.folder, stage))
        print(f"{stage}: {rows[-1]['peak, GiB']} GiB", flush=True)
    measuring.report(options, measuring.table(f"{options.rows:,} rows a language", rows),
                     {"rows": options.rows, "stages": rows})


if __name__ == "__main__":
    main()
