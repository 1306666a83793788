"""Makes the expected token ids of the difficult texts, with llama.cpp as the oracle.

    python make.py FOLDER        FOLDER holds the two model files named in MODELS

Needs the PyPI packages llama-cpp-python (0.3.36 made the files here) and gguf. Writes texts.json and one NAME.json per
model: the ids of each text with special tokens parsed ("parse") and as plain text ("plain"), without begin or end tokens.

Also cuts SmolLM2's vocabulary (Apache-2.0) to its first tokens and merges, small enough for the repository (tiny.gguf),
and writes its ids under each family of pre-tokenizers (tiny.json).
"""

import json
import pathlib
import sys
import tempfile

from gguf import GGUFReader, GGUFWriter
from llama_cpp import Llama

HERE = pathlib.Path(__file__).parent
MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma-3-270m-q4_k_m.gguf"}


def texts():
    """Each entry is one trap, or one script."""
    yield from SCRIPTS
    yield from ODDITIES
    for character in (" ", "\n", "\t", "a", "0", "=", "-", "é", "漢", "😀", "\r\n", "\u00a0", "\u3000", "ab ", " \n"):
        for count in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100):
            yield f"x{character * count}y{character * count}"
    yield " " * 1000
    yield "a" * 1000
    for byte in range(256):
        yield f"c{chr(byte)}d {chr(byte)}"
    # One text of every tenth assigned block's beginning, without surrogates and what Unicode 16 added.
    yield "".join(chr(code) for code in range(0x20, 0x1C80, 37))
    yield "".join(chr(code) for code in range(0x1D00, 0xD800, 911))
    yield " ".join(chr(code) for code in range(0xF900, 0x10D00, 307))
    yield " ".join(chr(code) for code in range(0x1F300, 0x1FA00, 41))


SCRIPTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. Ça coûte 12 €, naïve!",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश",
    "আমি বাংলায় গান গাই। தமிழ் மொழி. తెలుగు. ಕನ್ನಡ. മലയാളം. ગુજરાતી. ਪੰਜਾਬੀ. සිංහල",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ພາສາລາວ ភាសាខ្មែរ မြန်မာဘာသာ བོད་སྐད",
    "いろはにほへと ちりぬるを。カタカナ、ｶﾀｶﾅ。日本語の文章です。",
    "视野无限广，窗外有蓝天。繁體中文測試，𠮷野家。",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. ㄱㄴㄷ",
    "ქართული ენა. Հայերեն լեզու. አማርኛ ቋንቋ. ᏣᎳᎩ. ᐃᓄᒃᑎᑐᑦ. ᠮᠣᠩᠭᠣᠯ. ꦧꦱꦗꦮ. 𐌲𐌿𐍄𐌹𐍃𐌺. 𓀀𓁐",
    "English עברית mixed العربية 123 ١٢٣ back\u200f to\u200e left \u202bembedded\u202c.",
]

ODDITIES = [
    "",
    " ",
    "a",
    " a",
    "\ufeffwith a byte order mark",
    "👩\u200d👩\u200d👧\u200d👦 👍🏽 🏳️\u200d🌈 🇩🇪🇯🇵 ❤️ ☎ ⚠️ 1️⃣",
    "e\u0301 a\u0308\u0323 n\u0303 Z\u0351\u036b\u0343\u036aa\u0310l\u0369g\u034eo\u0321 \u0301lone o\u0302\u0301x",
    "\u0000\u0001\u0007\u001b[31mred\u001b[0m\u007f\u0085\u009f",
    "zero\u200bwidth\u200cnon\u200djoiner\u2060word \u00adsoft",
    "\u2028line\u2029paragraph\u000bvertical\u000cfeed\u00a0nbsp\u2003em\u3000wide",
    "don't DON'T I'll I'LL we've WE'VE he'd HE'D it's IT'S I'm I'M they're THEY'RE 'tis o'clock 's 'S '' ' 'x ſ 'ſ",
    "don’t I’ll ‘quoted’ “double” «guillemets» „low“",
    "0 1 12 123 1234 12345 1234567 3.14159 1,000,000.00 -7 +8 1e-9 0xDEADBEEF 2024-02-29T23:59:60Z",
    "½ ² ₃ Ⅳ ⑤ ٣٤٥ ३४५ 三四五 𝟙𝟚 １２３",
    "ＦＵＬＬ ｗｉｄｔｈ ﬁ ﬂ ǅ ℵ ℃ Ω K 𝒳 𝔘𝔫𝔦",
    "def f(x: int) -> str:\n    \"\"\"Doc.\"\"\"\n    return f\"{x!r:>{10}}\"  # comment\n\n\nif __name__ == '__main__':\n\tprint(f(3))\n",
    "int main(void)\r\n{\r\n\tfor (int i = 0; i < 10; ++i) { a[i] &= ~(1u << i); }\r\n\r\n\treturn 0;\r\n}\r\n",
    "<html><body class=\"x\"><h1>Title</h1><p>a&nbsp;b</p><ul><li>1</li></ul></body></html>",
    "SELECT * FROM t WHERE a >= 1 AND b <> 'x''y' -- end\n;",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\\u0041\": \"\\n\"}}",
    "https://example.org/a%20b?c=d&e=f#g user@example.com C:\\Windows\\System32 ~/.config/x",
    "camelCase snake_case SCREAMING_CASE kebab-case PascalCase x2y3z HTML5Parser iPhone",
    "\\frac{a}{b} $x^2_{i,j}$ \\alpha\\beta ∑∫∂√∞≤≥≠≈ ⊂⊃ → ⇒ ↔ ∀∃",
    "| a | b |\n|---|:-:|\n| 1 | 2 |\n\n- [x] done\n* item\n1. one\n\n```rust\nlet x = 1;\n```\n",
    "...!?!?!?---===___***###@@@$$$%%%^^^&&&((()))[[[]]]{{{}}}<<<>>>///\\\\\\|||~~~```",
    "trailing space ",
    "trailing spaces   ",
    "trailing newline\n",
    "\n\nleading newlines",
    "   leading spaces",
    " \n \n  \n\n \t \n x",
    "a\rb\r\nc\n\rd\r\r\n\n",
    "\t\tindented\n\t\t\tmore\n        spaces\n\t  mixed",
    "a  b   c    d     e\u00a0\u00a0f \u3000 g",
    "▁ ▁▁ a▁b ▁a",
    "Ġ Ċ ĉ ġ byte alphabet Ā ā Ń",
    "<0x0A><0x41> <0xFF> <0x> 0x0A>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
    "<bos><eos><pad><unk><mask> <|endoftext|> <s></s> [INST] x [/INST] <unused0><unused98> <image_soft_token>",
    "a<|im_end|>b <|im_end|> c<|im_end|><|im_end|>",
    "<|im_end <|im_end| |im_end|> <|IM_END|> <<|im_end|>> <|im_<|im_end|>end|>",
    "<repo_name>x<file_sep>y<jupyter_script>z<gh_stars>0<issue_start><reponame><filename>",
    "<h1><h2></h1><table><tr><td>x</td></tr></table><blockquote><b><i></i></b><code><sub><sup><strong></span>",
    "<start_of_image><end_of_image> [multimodal] [@BOS@] <2mass> ▁▁▁▁ \n\n\n\n\t\t\t",
    "supercalifragilisticexpialidocious antidisestablishmentarianism Donaudampfschifffahrtselektrizitätenhauptbetriebswerk",
    "\ue000\uf8ff private \ufffd replacement \ufdd0 noncharacter \uffff \U0010ffff",
    "The the THE tHe\nthe.The,the;the:the the's",
]


TINY_TOKENS = 2000
PRETOKENIZERS = ["smollm", "gpt-2", "default", "falcon", "llama-bpe", "smaug-bpe", "qwen2", "qwen35"]


def write_tiny(path, source, pre):
    """The first tokens of a vocabulary with the merges among them, and no tensors."""

    def field(key):
        return source.fields["tokenizer.ggml." + key].contents()

    tokens = field("tokens")[:TINY_TOKENS]
    known = set(tokens)
    merges = [pair for pair in field("merges") if {*pair.split(" "), pair.replace(" ", "")} <= known]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(field("token_type")[:TINY_TOKENS])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def encoded(path, cases):
    model = Llama(model_path=str(path), vocab_only=True, verbose=False)

    def ids(text, special):
        return model.tokenize(text.encode(), add_bos=False, special=special) if text else []

    return {"parse": [ids(text, True) for text in cases], "plain": [ids(text, False) for text in cases]}


def write_json(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")).replace("],[", "],\n[") + "\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    cases = list(texts())
    (HERE / "texts.json").write_text(json.dumps(cases, separators=(",\n", ":")) + "\n")
    for name, file in MODELS.items():
        write_json(f"{name}.json", encoded(folder / file, cases))
    source = GGUFReader(folder / MODELS["smollm2"])
    write_tiny(HERE / "tiny.gguf", source, PRETOKENIZERS[0])
    tiny = {}
    for pre in PRETOKENIZERS:
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch) / "tiny.gguf"
            write_tiny(path, source, pre)
            # The texts made by repetition add little here.
            tiny[pre] = encoded(path, cases[: len(SCRIPTS) + len(ODDITIES)])["parse"]
    write_json("tiny.json", tiny)


if __name__ == "__main__":
    main()
