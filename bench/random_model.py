"""Writes a model with random weights in the shape of a real one, for timing: nothing that large can be carried.

Usage: `python bench/random_model.py SHAPE OUT.gguf`, SHAPE one of those below. Matrices are Q4_0 (their codes uniform, their scales such
that activations stay near 1), norms, gates and convolutions f32, the vocabulary that of the tiny fixtures or, where a shape says so, as
large as the real one. What is timed does not depend on the values; with these no number overflows. Both engines read the file. Needs the
Python packages gguf and numpy.
"""

from __future__ import annotations

import dataclasses
import math
import sys

import gguf
import numpy as np

VOCAB = 288
CONTEXT = 32768
BLOCK = 32


@dataclasses.dataclass(frozen=True)
class Shape:
    """Dimensions; `interval` is every how many layers one is full attention (0: all), `experts` is (count, chosen, width, shared)."""

    arch: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    interval: int = 0
    key_heads: int = 0
    value_heads: int = 0
    experts: tuple[int, int, int, int] | None = None
    # RWKV-7's low-rank projections: of decay, learning rate, value residual and gate.
    ranks: tuple[int, int, int, int] | None = None
    # Latent attention's: latents, and keys that all heads share.
    latents: tuple[int, int] | None = None
    # Channels of the RG-LRU, and the window of the layers between.
    lru: tuple[int, int] | None = None
    vocabulary: int = VOCAB


SHAPES = {
    # The layers of Qwen3.5-0.8B.
    "qwen3.5-0.8b": Shape("qwen35", 1024, 24, 8, 2, 256, 3584, 4, 16, 16),
    # Four layers of Qwen3.5-35B-A3B.
    "qwen3.5-35b-a3b-4-layers": Shape("qwen35moe", 2048, 4, 16, 2, 256, 512, 4, 16, 32, (256, 8, 512, 512)),
    # Six layers of Qwen3-30B-A3B.
    "qwen3-30b-a3b-6-layers": Shape("qwen3moe", 2048, 6, 32, 4, 128, 768, experts=(128, 8, 768, 0)),
    # The first four layers of Kimi-Linear-48B-A3B: the dense one, two of delta attention, one of latent attention; heads of 128.
    "kimi-linear-48b-a3b-4-layers": Shape("kimi-linear", 2304, 4, 32, 1, 128, 9216, 4, experts=(256, 8, 1024, 1024), latents=(512, 64)),
    # The first six layers of RecurrentGemma-2B: four recurrent, two of attention with a window.
    "recurrentgemma-2b-6-layers": Shape("recurrentgemma", 2560, 6, 10, 1, 256, 7680, 3, lru=(2560, 2048)),
    # RWKV-7 World 0.4B, with as many rows of logits; the low-rank matrices are F16, as converters leave them.
    "rwkv7-0.4b": Shape("rwkv7", 1024, 24, 16, 16, 64, 4096, ranks=(64, 64, 32, 128), vocabulary=65536),
}


class Writer:
    def __init__(self, shape: Shape, path: str):
        self.shape = shape
        self.rng = np.random.default_rng(7)
        self.file = gguf.GGUFWriter(path, shape.arch)

    def matrix(self, name: str, *shape: int) -> None:
        """Q4_0: 32 columns as an f16 scale and 16 bytes of codes."""
        *rows, cols = shape
        blocks = self.rng.integers(0, 256, (math.prod(rows), cols // BLOCK, 18), dtype=np.uint8)
        # Codes less 8 are uniform over -8..8, of standard deviation 4.6.
        scale = np.frombuffer(np.float16(1 / (4.6 * math.sqrt(cols))).tobytes(), np.uint8)
        blocks[..., :2] = scale
        data = blocks.reshape(*rows, -1)
        self.file.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def floats(self, name: str, *shape: int, mean: float = 0.0, deviation: float = 0.1) -> None:
        self.file.add_tensor(name, self.rng.normal(mean, deviation, shape).astype(np.float32))

    def norm(self, name: str, width: int) -> None:
        self.floats(name, width, mean=1.0)

    def biased(self, name: str, rows: int, cols: int) -> None:
        self.matrix(f"{name}.weight", rows, cols)
        self.floats(f"{name}.bias", rows)

    def halves(self, name: str, rows: int, cols: int) -> None:
        """F16, of the same scale as `matrix`."""
        self.file.add_tensor(name, self.rng.normal(0, 1 / math.sqrt(cols), (rows, cols)).astype(np.float16))

    def layer_norm(self, name: str, width: int) -> None:
        self.norm(f"{name}.weight", width)
        self.floats(f"{name}.bias", width)


def attention(w: Writer, prefix: str) -> None:
    s = w.shape
    gates = 2 if s.interval else 1
    w.matrix(f"{prefix}attn_q.weight", gates * s.heads * s.head_dim, s.hidden)
    w.matrix(f"{prefix}attn_k.weight", s.kv_heads * s.head_dim, s.hidden)
    w.matrix(f"{prefix}attn_v.weight", s.kv_heads * s.head_dim, s.hidden)
    w.matrix(f"{prefix}attn_output.weight", s.hidden, s.heads * s.head_dim)
    w.norm(f"{prefix}attn_q_norm.weight", s.head_dim)
    w.norm(f"{prefix}attn_k_norm.weight", s.head_dim)


def delta_net(w: Writer, prefix: str) -> None:
    s = w.shape
    keys, values = s.key_heads * 128, s.value_heads * 128
    w.matrix(f"{prefix}attn_qkv.weight", 2 * keys + values, s.hidden)
    w.matrix(f"{prefix}attn_gate.weight", values, s.hidden)
    w.floats(f"{prefix}ssm_alpha.weight", s.value_heads, s.hidden, deviation=0.03)
    w.floats(f"{prefix}ssm_beta.weight", s.value_heads, s.hidden, deviation=0.03)
    w.floats(f"{prefix}ssm_conv1d.weight", 2 * keys + values, 4, deviation=0.5)
    w.floats(f"{prefix}ssm_a", s.value_heads, mean=-1.0)
    w.floats(f"{prefix}ssm_dt.bias", s.value_heads, mean=-1.0)
    w.norm(f"{prefix}ssm_norm.weight", 128)
    w.matrix(f"{prefix}ssm_out.weight", s.hidden, values)


def feed_forward(w: Writer, prefix: str) -> None:
    s = w.shape
    if s.experts is None:
        for part in ("gate", "up"):
            w.matrix(f"{prefix}ffn_{part}.weight", s.feed_forward, s.hidden)
        w.matrix(f"{prefix}ffn_down.weight", s.hidden, s.feed_forward)
        return
    count, _, width, shared = s.experts
    w.floats(f"{prefix}ffn_gate_inp.weight", count, s.hidden, deviation=0.03)
    for part in ("gate", "up"):
        w.matrix(f"{prefix}ffn_{part}_exps.weight", count, width, s.hidden)
    w.matrix(f"{prefix}ffn_down_exps.weight", count, s.hidden, width)
    if shared:
        for part in ("gate", "up"):
            w.matrix(f"{prefix}ffn_{part}_shexp.weight", shared, s.hidden)
        w.matrix(f"{prefix}ffn_down_shexp.weight", s.hidden, shared)
        w.floats(f"{prefix}ffn_gate_inp_shexp.weight", s.hidden, deviation=0.03)


def kimi_linear(w: Writer) -> None:
    s, f = w.shape, w.file
    (latents, shared), values = s.latents, s.heads * s.head_dim
    attends = [(layer + 1) % s.interval == 0 for layer in range(s.layers)]
    f.add_context_length(CONTEXT)
    f.add_vocab_size(VOCAB)
    f.add_embedding_length(s.hidden)
    f.add_block_count(s.layers)
    f.add_feed_forward_length(s.feed_forward)
    f.add_head_count(s.heads)
    f.add_head_count_kv([int(attention) for attention in attends])
    f.add_layer_norm_rms_eps(1e-5)
    f.add_ssm_conv_kernel(4)
    f.add_kda_head_dim(s.head_dim)
    f.add_kv_lora_rank(latents)
    f.add_rope_dimension_count(shared)
    f.add_key_length(latents + shared)
    f.add_key_length_mla(s.head_dim + shared)
    f.add_value_length_mla(s.head_dim)
    f.add_expert_count(s.experts[0])
    f.add_expert_used_count(s.experts[1])
    f.add_expert_feed_forward_length(s.experts[2])
    f.add_expert_shared_count(s.experts[3] // s.experts[2])
    f.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    f.add_expert_weights_scale(2.446)
    f.add_leading_dense_block_count(1)
    tokenizer(w)
    w.norm("output_norm.weight", s.hidden)
    for layer, attention in enumerate(attends):
        prefix = f"blk.{layer}."
        w.norm(f"{prefix}attn_norm.weight", s.hidden)
        w.norm(f"{prefix}ffn_norm.weight", s.hidden)
        w.matrix(f"{prefix}attn_output.weight", s.hidden, values)
        if attention:
            w.matrix(f"{prefix}attn_q.weight", s.heads * (s.head_dim + shared), s.hidden)
            w.matrix(f"{prefix}attn_kv_a_mqa.weight", latents + shared, s.hidden)
            w.norm(f"{prefix}attn_kv_a_norm.weight", latents)
            w.matrix(f"{prefix}attn_k_b.weight", s.heads, latents, s.head_dim)
            w.matrix(f"{prefix}attn_v_b.weight", s.heads, s.head_dim, latents)
        else:
            kimi_delta(w, prefix)
        kimi_feed_forward(w, prefix, is_dense=layer == 0)


def kimi_delta(w: Writer, prefix: str) -> None:
    s = w.shape
    values = s.heads * s.head_dim
    for kind in "qkv":
        w.matrix(f"{prefix}attn_{kind}.weight", values, s.hidden)
        w.floats(f"{prefix}ssm_conv1d_{kind}.weight", values, 1, 4, deviation=0.5)
    for kind in "fg":
        w.matrix(f"{prefix}ssm_{kind}_a.weight", s.head_dim, s.hidden)
        w.matrix(f"{prefix}ssm_{kind}_b.weight", values, s.head_dim)
    w.matrix(f"{prefix}ssm_beta.weight", s.heads, s.hidden)
    w.floats(f"{prefix}ssm_a", s.heads, 1, mean=-1.0)
    w.floats(f"{prefix}ssm_dt.bias", values, mean=-1.0)
    w.norm(f"{prefix}ssm_norm.weight", s.head_dim)


def kimi_feed_forward(w: Writer, prefix: str, is_dense: bool) -> None:
    s = w.shape
    count, _, width, shared = s.experts
    suffix, inner = ("", s.feed_forward) if is_dense else ("_shexp", shared)
    for part in ("gate", "up"):
        w.matrix(f"{prefix}ffn_{part}{suffix}.weight", inner, s.hidden)
    w.matrix(f"{prefix}ffn_down{suffix}.weight", s.hidden, inner)
    if is_dense:
        return
    w.floats(f"{prefix}ffn_gate_inp.weight", count, s.hidden, deviation=0.03)
    w.floats(f"{prefix}exp_probs_b.bias", count)
    for part in ("gate", "up"):
        w.matrix(f"{prefix}ffn_{part}_exps.weight", count, width, s.hidden)
    w.matrix(f"{prefix}ffn_down_exps.weight", count, s.hidden, width)


def recurrent_gemma(w: Writer) -> None:
    s, f = w.shape, w.file
    channels, window = s.lru
    attends = [(layer + 1) % s.interval == 0 for layer in range(s.layers)]
    f.add_context_length(CONTEXT)
    f.add_vocab_size(VOCAB)
    f.add_embedding_length(s.hidden)
    f.add_block_count(s.layers)
    f.add_feed_forward_length(s.feed_forward)
    f.add_head_count(s.heads)
    f.add_head_count_kv([s.kv_heads if attention else 0 for attention in attends])
    f.add_key_length(s.head_dim)
    f.add_value_length(s.head_dim)
    f.add_layer_norm_rms_eps(1e-6)
    f.add_rope_freq_base(1e4)
    f.add_rope_dimension_count(s.head_dim // 2)
    f.add_sliding_window(window)
    f.add_final_logit_softcapping(30.0)
    f.add_ssm_conv_kernel(4)
    f.add_ssm_inner_size(channels)
    f.add_ssm_group_count(s.heads)
    tokenizer(w)
    w.norm("output_norm.weight", s.hidden)
    for layer, attention in enumerate(attends):
        prefix = f"blk.{layer}."
        w.norm(f"{prefix}attn_norm.weight", s.hidden)
        w.norm(f"{prefix}ffn_norm.weight", s.hidden)
        if attention:
            w.matrix(f"{prefix}attn_q.weight", s.heads * s.head_dim, s.hidden)
            w.matrix(f"{prefix}attn_k.weight", s.kv_heads * s.head_dim, s.hidden)
            w.matrix(f"{prefix}attn_v.weight", s.kv_heads * s.head_dim, s.hidden)
            w.biased(f"{prefix}attn_output", s.hidden, s.heads * s.head_dim)
        else:
            rg_lru(w, prefix)
        w.biased(f"{prefix}ffn_gate", s.feed_forward, s.hidden)
        w.biased(f"{prefix}ffn_up", s.feed_forward, s.hidden)
        w.biased(f"{prefix}ffn_down", s.hidden, s.feed_forward)


def rg_lru(w: Writer, prefix: str) -> None:
    s, channels = w.shape, w.shape.lru[0]
    block = channels // s.heads
    w.biased(f"{prefix}ssm_in", channels, s.hidden)
    w.biased(f"{prefix}ssm_gate", channels, s.hidden)
    w.biased(f"{prefix}ssm_out", s.hidden, channels)
    w.floats(f"{prefix}ssm_conv1d.weight", channels, 4, deviation=0.5)
    w.floats(f"{prefix}ssm_conv1d.bias", channels)
    w.file.add_tensor(f"{prefix}ssm_a", -np.exp(w.rng.uniform(-7, 0, channels)).astype(np.float32))
    for kind in ("input", "recurrence"):
        w.matrix(f"{prefix}ssm_{kind}_gate.weight", s.heads, block, block)
        w.floats(f"{prefix}ssm_{kind}_gate.bias", channels)


def rwkv7(w: Writer, layer: int) -> None:
    """A layer of RWKV-7. The first one's value residual has the learning rate's rank, as in real files; nothing reads it."""
    s, prefix = w.shape, f"blk.{layer}."
    decay, rate, value, gate = s.ranks
    for norm in ("attn_norm", "attn_norm_2", "time_mix_ln"):
        w.layer_norm(prefix + norm, s.hidden)
    w.floats(f"{prefix}time_mix_lerp_fused.weight", 6, 1, 1, s.hidden, mean=0.5)
    w.floats(f"{prefix}channel_mix_lerp_k.weight", s.hidden, mean=0.5)
    for letter, rank in (("w", decay), ("a", rate), ("v", value if layer else rate), ("g", gate)):
        if letter != "g":
            w.floats(f"{prefix}time_mix_{letter}0.weight", s.hidden, mean=-1.0)
        w.halves(f"{prefix}time_mix_{letter}1.weight", rank, s.hidden)
        w.halves(f"{prefix}time_mix_{letter}2.weight", s.hidden, rank)
    for part, mean in (("k_k", 1.0), ("k_a", 1.0), ("r_k", 0.0)):
        w.floats(f"{prefix}time_mix_{part}.weight", s.hidden, mean=mean)
    for part in ("receptance", "key", "value", "output"):
        w.matrix(f"{prefix}time_mix_{part}.weight", s.hidden, s.hidden)
    w.matrix(f"{prefix}channel_mix_key.weight", s.feed_forward, s.hidden)
    w.matrix(f"{prefix}channel_mix_value.weight", s.hidden, s.feed_forward)


def rwkv7_keys(w: Writer) -> None:
    s, f = w.shape, w.file
    decay, rate, value, gate = s.ranks
    f.add_context_length(CONTEXT)
    f.add_embedding_length(s.hidden)
    f.add_block_count(s.layers)
    f.add_layer_norm_eps(1e-5)
    f.add_wkv_head_size(s.head_dim)
    f.add_decay_lora_rank(decay)
    f.add_iclr_lora_rank(rate)
    f.add_value_residual_mix_lora_rank(value)
    f.add_gate_lora_rank(gate)
    f.add_feed_forward_length(s.feed_forward)
    f.add_head_count(0)


def world_tokenizer(w: Writer) -> None:
    """A World vocabulary: the end of a text, the 256 bytes, the end of a turn, unused entries."""
    spelt = ["<s>", *(repr(bytes([byte]))[2:-1] for byte in range(256)), "\\n\\n"]
    kinds = [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * 257
    unused = range(len(spelt), w.shape.vocabulary)
    w.file.add_tokenizer_model("rwkv")
    w.file.add_token_list(spelt + [f"[PAD{i}]" for i in unused])
    w.file.add_token_types(kinds + [gguf.TokenType.UNUSED] * len(unused))
    w.file.add_bos_token_id(0)
    w.file.add_eos_token_id(0)
    w.file.add_eot_token_id(257)


def keys(w: Writer) -> None:
    s, f = w.shape, w.file
    f.add_context_length(CONTEXT)
    f.add_vocab_size(VOCAB)
    f.add_embedding_length(s.hidden)
    f.add_block_count(s.layers)
    f.add_feed_forward_length(s.feed_forward)
    f.add_head_count(s.heads)
    f.add_head_count_kv(s.kv_heads)
    f.add_key_length(s.head_dim)
    f.add_value_length(s.head_dim)
    f.add_layer_norm_rms_eps(1e-6)
    f.add_rope_freq_base(1e7)
    if s.interval:
        f.add_ssm_conv_kernel(4)
        f.add_ssm_state_size(128)
        f.add_ssm_group_count(s.key_heads)
        f.add_ssm_time_step_rank(s.value_heads)
        f.add_ssm_inner_size(s.value_heads * 128)
        f.add_uint32(f"{s.arch}.full_attention_interval", s.interval)
        f.add_rope_dimension_count(s.head_dim // 4)
        f.add_rope_dimension_sections([11, 11, 10, 0])
    if s.experts:
        f.add_expert_count(s.experts[0])
        f.add_expert_used_count(s.experts[1])
        f.add_expert_feed_forward_length(s.experts[2])
        if s.experts[3]:
            f.add_expert_shared_feed_forward_length(s.experts[3])


def tokenizer(w: Writer) -> None:
    """A byte-level vocabulary: a control token, the 256 bytes, unused entries."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    tokens = ["<|endoftext|>", *(chr(b) if b in printable else chr(next(spare)) for b in range(256))]
    kinds = [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * 256
    unused = VOCAB - len(tokens)
    w.file.add_tokenizer_model("gpt2")
    w.file.add_tokenizer_pre("qwen2")
    w.file.add_token_list(tokens + [f"<|unused_{i}|>" for i in range(unused)])
    w.file.add_token_types(kinds + [gguf.TokenType.UNUSED] * unused)
    w.file.add_token_merges(["Ġ t"])
    w.file.add_eos_token_id(0)


def recurrent(w: Writer) -> None:
    rwkv7_keys(w)
    world_tokenizer(w)
    for norm in ("token_embd_norm", "output_norm"):
        w.layer_norm(norm, w.shape.hidden)
    for layer in range(w.shape.layers):
        rwkv7(w, layer)


def transformer(w: Writer) -> None:
    shape = w.shape
    keys(w)
    tokenizer(w)
    w.norm("output_norm.weight", shape.hidden)
    second = "post_attention_norm" if shape.interval else "ffn_norm"
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        w.norm(f"{prefix}attn_norm.weight", shape.hidden)
        w.norm(f"{prefix}{second}.weight", shape.hidden)
        is_attention = not shape.interval or (layer + 1) % shape.interval == 0
        (attention if is_attention else delta_net)(w, prefix)
        feed_forward(w, prefix)


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        raise SystemExit(f"usage: random_model.py {{{','.join(SHAPES)}}} OUT.gguf")
    shape = SHAPES[sys.argv[1]]
    w = Writer(shape, sys.argv[2])
    w.file.add_name(f"random {sys.argv[1]}")
    w.matrix("token_embd.weight", shape.vocabulary, shape.hidden)
    w.matrix("output.weight", shape.vocabulary, shape.hidden)
    layers = recurrent if shape.ranks else kimi_linear if shape.latents else recurrent_gemma if shape.lru else transformer
    layers(w)
    w.file.write_header_to_file()
    w.file.write_kv_data_to_file()
    w.file.write_tensors_to_file()
    w.file.close()


if __name__ == "__main__":
    main()
