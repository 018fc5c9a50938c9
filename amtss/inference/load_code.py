"""The code that loads an export, for its model card."""

from collections.abc import Sequence

FOLDER = "path/to/this/folder"
TRANSFORMERS = """\
from transformers import pipeline

classify = pipeline("text-classification", model="{place}")
print(classify(["hello"], truncation=True))  # texts in {language}
"""
STUDENT = """\
import amtss

student = amtss.load_student("{place}")
for answer in student.predict(["hello"], lang="{language}"):
    print(answer.label, answer.score)
"""
ONNX = """\
import json

import numpy as np
import onnxruntime
{download}from tokenizers import Tokenizer

folder = {folder}
with open(f"{{folder}}/config.json", encoding="utf-8") as file:
    config = json.load(file)
tokenizer = Tokenizer.from_file(f"{{folder}}/tokenizer.json")
session = onnxruntime.InferenceSession(f"{{folder}}/model.onnx")

texts, language = ["hello"], "{language}"
encoded = tokenizer.encode_batch(texts)
logits, = session.run(["logits"], {{
    "input_ids": np.array([text.ids for text in encoded]),
    "attention_mask": np.array([text.attention_mask for text in encoded]),
    "language": np.full(len(texts), config["languages"].index(language))}})
print([config["labels"][best] for best in logits.argmax(axis=1)])
"""


def lines(kind: str, languages: Sequence[str], place: str) -> str:
    """Python that prints what the student says of a text in the first of `languages`.

    Args:
        kind: transformers, student, or one of the formats of ONNX.
        place: a repository of the hub, or a version's URI; empty for a local folder.
    """
    known = {"transformers": TRANSFORMERS, "student": STUDENT}
    return known.get(kind, ONNX).format(
        place=place or FOLDER, language=languages[0],
        download="from huggingface_hub import snapshot_download\n" if place else "",
        folder=f'snapshot_download("{place}")' if place else f'"{FOLDER}"')
