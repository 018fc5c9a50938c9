import pyarrow as pa
import pytest
from support.project import unfolded
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from amtss.config.schema import Validation
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.tokenization import unknown


def words(**special: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words a and b, and begins every text with <s>."""
    vocabulary = {"<s>": 0, "<unk>": 1, "a": 2, "b": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{"unk_token": "<unk>"} | special)


def of(*texts: str, **splits: pa.Table) -> Corpus:
    ids = [str(i) for i in range(len(texts))]
    return Corpus("el", {"train": pa.table({"id": ids, "text": texts})} | splits, "", None)


class TestShare:
    def test_of_training_texts_without_special_tokens(self) -> None:
        logs = pa.table({"id": ["log"], "text": ["β a"], "pair": ["b b"]})
        test = pa.table({"id": ["test"], "text": ["β β β"]})
        corpus = of("a α b", "b", unlabelled=logs, test=test)
        assert unknown.share(words(), corpus) == 2 / 8

    def test_mixed_texts_do_not_count(self) -> None:
        logs = pa.table({"id": ["log", "mixed-0"], "text": ["a", "b b b b b"]})
        assert unknown.share(words(), of("α", unlabelled=logs)) == 1 / 2

    def test_of_a_sample_of_many(self) -> None:
        texts = ["a", "α"] * (3 * unknown.SAMPLE // 2)  # every third text is read
        assert unknown.share(words(), of(*texts)) == 1 / 2

    def test_of_texts_without_tokens(self) -> None:
        assert unknown.share(words(), of(" ")) == 0.0

    @pytest.mark.parametrize("mark", ["bos_token", "eos_token"])
    def test_a_mark_of_a_text_s_ends_is_no_unknown_token(self, mark: str) -> None:
        assert unknown.share(words(**{mark: "<unk>"}), of("α")) == 0.0


class TestCheck:
    LIMITS = Validation(warn_unknown=0.2, max_unknown=0.5)

    def check(self, *texts: str, refuse: bool = True) -> None:
        unknown.check(words(), [of("a"), of(*texts)], self.LIMITS, "the student's tokenizer",
                      "raise student.architecture.vocabulary", refuse)

    def test_at_the_limit_there_is_nothing_to_say(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.check("a a a a α")
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(("texts", "refuse", "share"), [
        ("a α", True, "50.0%"), ("α", False, "100.0%")], ids=["few", "only scored"])
    def test_a_warning(self, texts: str, refuse: bool, share: str,
                       capsys: pytest.CaptureFixture[str]) -> None:
        self.check(texts, refuse=refuse)
        assert unfolded(capsys.readouterr().err) == (
            f"amtss: warning: el: {share} of its tokens are unknown to the student's tokenizer; "
            "raise student.architecture.vocabulary\n")

    def test_too_many(self) -> None:
        with pytest.raises(CheckpointError, match=r"^el: expected a tokenizer that reads it, found "
                           r"66\.7% unknown tokens with the student's tokenizer; raise student\."
                           r"architecture\.vocabulary, or allow them by validation\.max_unknown$"):
            self.check("a α β")
