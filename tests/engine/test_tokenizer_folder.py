"""Tokenizers of hub folders: equal to the libraries that those files are written for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from codellama_model import codellama, sentencepiece_model, tokenizer_file
from hub_tokenizers import (
    PRE_TOKENIZERS,
    byte_level,
    sentencepiece_file,
    sentencepiece_style,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from token_corpus import corpus

from midfill_engine.errors import ModelFormatError
from midfill_engine.tokenizer import Tokenizer, build_from_folder, load_tokenizer

SPECIALS = ("<|endoftext|>", "<|fim_prefix|>", "<|im_end|>")
BYTE_PIECES = [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
CONTROLS = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
TEXTS = st.text(
    st.one_of(
        st.sampled_from(list("    \n\n\r\tabcdefgh(){}_=.,:;0123é漢🙂\0'")),
        st.characters(codec="utf-8", exclude_characters="▁"),
    ),
    max_size=60,
)
KINDS = ("llama", "llama-new", "gemma")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tokenizer, object]]:
    """Ours and the reference, for every kind."""
    folder = tmp_path_factory.mktemp("folders")
    made = {name: byte_level(name, SPECIALS) for name in PRE_TOKENIZERS}
    made |= {name: sentencepiece_style(name) for name in KINDS}
    return {
        name: (build_from_folder(write(folder / name, reference)), reference)
        for name, reference in made.items()
    }


def check(text: str, pair: tuple[Tokenizer, object]) -> None:
    ours, reference = pair
    ids = ours.encode(text)
    if reference.pre_tokenizer.__class__.__name__ == "Metaspace" and text.startswith(" "):  # type: ignore[attr-defined]
        # The library lets such a text be; SentencePiece puts a space before every one.
        text = " " + text
    assert ids == reference.encode(text, add_special_tokens=False).ids  # type: ignore[attr-defined]
    decoded = ours.decode(ids)
    assert decoded in (text, f" {text}")


@pytest.mark.parametrize("name", [*PRE_TOKENIZERS, *KINDS])
def test_the_corpus_is_encoded_as_by_the_library(
    name: str, pairs: dict[str, tuple[Tokenizer, object]]
) -> None:
    for text in corpus().values():
        # The library takes time squared for a text without a space in it.
        check(text[:20_000], pairs[name])


@pytest.mark.parametrize("name", [*PRE_TOKENIZERS, *KINDS])
@given(text=TEXTS)
@settings(deadline=None, max_examples=60)
def test_any_text_is_encoded_as_by_the_library(
    name: str, text: str, pairs: dict[str, tuple[Tokenizer, object]]
) -> None:
    check(text, pairs[name])


def test_runs_are_taken_out_first_where_the_family_does_so(
    pairs: dict[str, tuple[Tokenizer, object]], tmp_path: Path
) -> None:
    ours = pairs["gemma"][0]
    ours.save(tmp_path / "saved.json")
    for tokenizer in (ours, load_tokenizer(tmp_path / "saved.json")):
        pieces = [tokenizer.token_bytes(token_id) for token_id in tokenizer.encode(" " * 11 + "a")]
        assert pieces == [b" " * 8, b" " * 3, b"a"]


@pytest.mark.parametrize("name", [*PRE_TOKENIZERS, *KINDS])
def test_text_never_becomes_special(name: str, pairs: dict[str, tuple[Tokenizer, object]]) -> None:
    ours = pairs[name][0]
    for marker in (*SPECIALS, "<s>", "</s>", "<unk>"):
        special = ours.special_id(marker)
        for text in (marker, f"x {marker}\n{marker}"):
            assert special is None or special not in ours.encode(text)
            assert ours.decode(ours.encode_fragment(text)) == text
    assert ours.special_id(SPECIALS[1] if name in PRE_TOKENIZERS else "</s>") is not None


def test_added_tokens_that_are_not_special_are_shown(tmp_path: Path) -> None:
    reference = byte_level("qwen2", added=("<tool_call>", "<|fim_middle|>"))
    ours = build_from_folder(write(tmp_path, reference))
    tool, marker = ours.special_id("<tool_call>"), ours.special_id("<|fim_middle|>")
    assert tool is not None
    assert marker is not None
    assert (ours.token_bytes(tool), ours.token_bytes(marker)) == (b"<tool_call>", b"")


def test_the_configuration_says_where_a_text_begins_and_ends(tmp_path: Path) -> None:
    reference = byte_level("qwen2", SPECIALS)
    end, begin, other = map(reference.token_to_id, SPECIALS)
    named = {"eos_token": SPECIALS[0], "bos_token": {"content": SPECIALS[1]}}
    cases = [
        ({}, (None, None)),
        ({"tokenizer_config": named}, (None, end)),
        ({"tokenizer_config": {**named, "add_bos_token": True}}, (begin, end)),
        ({"config": {"eos_token_id": end}}, (None, end)),
        ({"generation_config": {"eos_token_id": [other, end]}}, (None, other)),
        ({"tokenizer_config": named, "config": {"eos_token_id": other}}, (None, end)),
    ]
    for number, (files, expected) in enumerate(cases):
        ours = build_from_folder(write(tmp_path / str(number), reference, **files))
        assert (ours.bos_id, ours.eos_id) == expected


def test_a_prompt_begins_as_the_post_processor_says(tmp_path: Path) -> None:
    folder = write(tmp_path, sentencepiece_style("llama"), config={"bos_token_id": 1})
    assert build_from_folder(folder).bos_id == 1
    without = {"add_bos_token": False}
    folder = write(tmp_path, sentencepiece_style("llama"), tokenizer_config=without)
    assert build_from_folder(folder).bos_id is None


def test_there_are_as_many_ids_as_the_model_has(tmp_path: Path) -> None:
    reference = sentencepiece_style("llama")
    count = reference.get_vocab_size()
    for size in (count - 4, count + 9):
        config = {"vocab_size": size}
        ours = build_from_folder(write(tmp_path / str(size), reference, config=config))
        assert ours.vocab_size == size
        # The last pieces of the vocabulary are among these.
        assert max(ours.encode("f():\n a = b ( a")) < size


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": {"type": "Unigram"}}, "Unigram"),
        ({"model": {"type": "WordPiece", "vocab": {}}}, "WordPiece"),
        ({"pre_tokenizer": {"type": "BertPreTokenizer"}}, "neither"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "unknown way"),
        (
            {
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated"},
                        {"type": "ByteLevel", "use_regex": False},
                    ],
                }
            },
            "x\\+.*qwen2",
        ),
        ({"model": []}, "object"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = write(tmp_path, byte_level("qwen2")) / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | change), encoding="utf-8")
    with pytest.raises(ModelFormatError, match=says):
        build_from_folder(tmp_path)


def test_a_folder_without_a_tokenizer_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"neither tokenizer.json nor tokenizer.model"):
        build_from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b"{")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        build_from_folder(tmp_path)


def test_a_sentencepiece_file_is_read(tmp_path: Path) -> None:
    pieces = [("▁", -9.0, 1), ("a", -9.0, 1), ("b", -9.0, 1), ("▁a", -1.5, 1), ("  x", 0.0, 4)]
    path = tmp_path / "tokenizer.model"
    path.write_bytes(sentencepiece_file([*CONTROLS, *BYTE_PIECES, *pieces]))
    ours = build_from_folder(tmp_path)
    assert [ours.token_bytes(token_id) for token_id in ours.encode("aba")] == [b" a", b"b", b"a"]
    assert (ours.bos_id, ours.eos_id, ours.vocab_size) == (1, 2, 264)
    path.write_bytes(sentencepiece_file([*CONTROLS, *BYTE_PIECES, *pieces], bos=-1))
    assert build_from_folder(tmp_path).bos_id is None
    path.write_bytes(sentencepiece_file([*CONTROLS, *BYTE_PIECES, *pieces], dummy_prefix=False))
    assert not build_from_folder(tmp_path).space_prefix


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no pieces"),
        (b"\xff", "no SentencePiece model"),
        (b"\xff" * 40, "no SentencePiece model"),
        (b"\x0a\x7fshort", "ends too early"),
        (b"\x08\x01", "a number stands"),
        (b"\x0f\x01", "unknown kind of field"),
        (sentencepiece_file(CONTROLS, model_type=1), "kind unigram"),
        (sentencepiece_file(CONTROLS, remove_spaces=True), "removes spaces"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(ModelFormatError, match=says):
        build_from_folder(tmp_path)


def test_a_trained_sentencepiece_model_is_encoded_as_by_itself(tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece", reason="the reference is not installed")
    library.SentencePieceTrainer.train(
        sentence_iterator=iter("\n".join(corpus().values())[:60_000].split("\n")),
        model_prefix=str(tmp_path / "tokenizer"),
        model_type="bpe",
        vocab_size=900,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        user_defined_symbols=["▁▁", "▁▁▁▁", "\n\n", "<table>"],
        minloglevel=2,
    )
    reference = library.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    ours = build_from_folder(tmp_path)
    for text in corpus().values():
        assert ours.encode(text) == reference.encode(text)
    for text in ("     a\n\n\n  b", "<table>a</table>", "a    b"):
        assert ours.encode(text) == reference.encode(text)


def code_llama_folders(folder: Path) -> list[Path]:
    """Code Llama's tokenizer as Meta ships it, and converted."""
    files = tokenizer_file("codellama-tokenizer.model")
    own = folder / "own"
    own.mkdir()
    shutil.copy(files, own / "tokenizer.model")
    transformers = pytest.importorskip("transformers", reason="what converts it is not installed")
    fast = transformers.CodeLlamaTokenizerFast(vocab_file=str(files))
    fast.save_pretrained(folder / "converted")
    (folder / "converted" / "tokenizer.model").unlink()
    return [own, folder / "converted"]


@pytest.mark.filterwarnings("ignore")
def test_code_llama_is_the_same_from_either_file(tmp_path: Path) -> None:
    reference = sentencepiece_model()
    for folder in code_llama_folders(tmp_path):
        ours = build_from_folder(folder)
        assert (ours.bos_id, ours.eos_id, ours.vocab_size) == (1, 2, 32016)
        for marker in ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"):
            assert ours.special_id(marker) == codellama().special_id(marker)
        for text in corpus().values():
            assert ours.encode(text) == reference.encode(text)
        for token_id in range(32016):
            assert ours.token_bytes(token_id) == codellama().token_bytes(token_id)


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_without_markers_never_gets_one(tmp_path: Path) -> None:
    for folder in code_llama_folders(tmp_path):
        (folder / "config.json").write_text('{"vocab_size": 32000}', encoding="utf-8")
        ours = build_from_folder(folder)
        assert ours.vocab_size == 32000
        assert ours.special_id("▁<PRE>") is None
        for text in ("<PRE>", "List <E> x", " <SUF", "▁<EOT>", " <MID> <EOT><EOT>"):
            assert max(ours.encode(text)) < 32000
            assert ours.decode(ours.encode_fragment(text)) == text.replace("▁", " ")
