"""Cuts RWKV's "World" vocabulary (Apache-2.0) to a size for the repository, and makes the ids that llama.cpp gives with it.

    python make_world.py [STEP]

Needs the PyPI packages rwkv (0.8.32 made the files here; its vocabulary and its tokenizer, which must agree with llama.cpp),
llama-cpp-python (0.3.36) and gguf. Writes world.gguf, `<s>`, the 256 bytes, every STEP-th token after them, and two unused ones, and
world.json, the ids of the scripts and oddities of make.py with special tokens parsed.
"""

import ast
import importlib.resources
import pathlib
import sys
import tempfile

from gguf import GGUFWriter, TokenType
from make import HERE, ODDITIES, SCRIPTS, encoded, write_json

STEP = 20


def vocabulary(step):
    """The tokens from id 1 on: the bytes, then the cut."""
    path = importlib.resources.files("rwkv") / "rwkv_vocab_v20230424.txt"
    tokens = []
    for line in path.read_text(encoding="utf-8").splitlines():
        _, rest = line.split(" ", 1)
        literal, length = rest.rsplit(" ", 1)
        token = ast.literal_eval(literal)
        token = token.encode() if isinstance(token, str) else token
        assert len(token) == int(length)
        tokens.append(token)
    return tokens[:256] + tokens[256::step]


def write_gguf(path, tokens):
    spelt = ["<s>", *(repr(token)[2:-1] for token in tokens)]
    kinds = [TokenType.CONTROL] + [TokenType.NORMAL] * len(tokens)
    for _ in range(2):
        spelt.append(f"[PAD{len(spelt)}]")
        kinds.append(TokenType.UNUSED)
    writer = GGUFWriter(path, "rwkv7")
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list(spelt)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def by_the_authors(tokens, cases):
    """The ids of the models' own tokenizer, which knows no special tokens."""
    from rwkv.rwkv_tokenizer import TRIE_TOKENIZER

    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "vocabulary.txt"
        path.write_text("".join(f"{i} {token!r} {len(token)}\n" for i, token in enumerate(tokens, 1)))
        tokenizer = TRIE_TOKENIZER(str(path))
        return [tokenizer.encode(text) for text in cases]


def main():
    tokens = vocabulary(int(sys.argv[1]) if len(sys.argv) > 1 else STEP)
    cases = SCRIPTS + ODDITIES
    write_gguf(HERE / "world.gguf", tokens)
    expected = encoded(HERE / "world.gguf", cases)["parse"]
    for text, ids, own in zip(cases, expected, by_the_authors(tokens, cases), strict=True):
        assert ids == own or "<s>" in text, text
    write_json("world.json", expected)


if __name__ == "__main__":
    main()
