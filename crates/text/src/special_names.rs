//! Which tokens end a generation, decided as llama.cpp decides it: by the file's ids, then by well-known names.
//!
//! Files often name one end token only (`<|endoftext|>`), while chat models stop at another (`<|im_end|>`). Generation that
//! misses the second runs on for ever, so the names that are in use are listed here. A token with such a name is a control
//! token whatever its type says: text must not be able to spell it.
//!
//! 1. Fill-in-the-middle roles that the file leaves open are filled by name; padding, repository and file separator end a
//!    generation.
//! 2. Every token with a name in [`END_NAMES`] ends a generation, and so do the file's `eos`, `eot` and `eom`.
//! 3. Two families use such a name for something else: where `<|end|>` stands beside a return and a call token it only
//!    ends a part, and beside `<|tool_response>` or `<|plamo:eos|>` the token `</s>` is ordinary text.
//!
//! Where several tokens could fill one open role, the lowest id does (llama.cpp's choice is unspecified).

use crate::vocabulary::{SpecialIds, TokenType};

const END_NAMES: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

const FIM_PREFIX: &[&str] = &[
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
];
const FIM_SUFFIX: &[&str] = &[
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
];
const FIM_MIDDLE: &[&str] = &[
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
    "<|code_middle|>",
    "<|middle|>",
];
const FIM_PADDING: &[&str] = &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"];
const FIM_REPOSITORY: &[&str] = &[
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
];
const FIM_SEPARATOR: &[&str] = &["<|file_sep|>"];

/// Control-looking tokens that must stay visible, whatever their type says.
const ALWAYS_SHOWN: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// Settles the end-of-generation ids (sorted), and corrects `types` where a name overrules it.
pub(crate) fn settle(
    special: &SpecialIds,
    types: &mut [TokenType],
    id_of: impl Fn(&str) -> Option<u32>,
) -> Vec<u32> {
    let mut ends = Vec::new();
    let mut set_type = |id: u32, to: TokenType| {
        if let Some(slot) = types.get_mut(id as usize) {
            *slot = to;
        }
    };
    let by_name = |names: &[&str]| names.iter().filter_map(|name| id_of(name)).min();
    let roles = [
        (special.fim_pre, FIM_PREFIX, false),
        (special.fim_suf, FIM_SUFFIX, false),
        (special.fim_mid, FIM_MIDDLE, false),
        (special.fim_pad, FIM_PADDING, true),
        (special.fim_rep, FIM_REPOSITORY, true),
        (special.fim_sep, FIM_SEPARATOR, true),
    ];
    for (named, names, ends_generation) in roles {
        let found = if named.is_some() {
            None
        } else {
            by_name(names)
        };
        if let Some(id) = found {
            set_type(id, TokenType::Control);
        }
        if ends_generation {
            ends.extend(named.or(found));
        }
    }
    for id in END_NAMES.iter().filter_map(|name| id_of(name)) {
        ends.push(id);
        set_type(id, TokenType::Control);
    }
    for id in ALWAYS_SHOWN.iter().filter_map(|name| id_of(name)) {
        set_type(id, TokenType::UserDefined);
    }
    ends.extend(
        [special.eos, special.eot, special.eom]
            .into_iter()
            .flatten(),
    );

    let is_end = |name: &str| id_of(name).filter(|id| ends.contains(id));
    let calls = is_end("<|call|>").or(is_end("<|calls|>"));
    let part_end = is_end("<|end|>")
        .filter(|_| calls.is_some() && (is_end("<|return|>").or(is_end("<|flush|>"))).is_some());
    let plain_s = is_end("</s>").filter(|_| {
        is_end("<|tool_response>")
            .or(is_end("<|plamo:eos|>"))
            .is_some()
    });
    if let Some(id) = part_end {
        set_type(id, TokenType::UserDefined);
    }
    if let Some(id) = plain_s {
        set_type(id, TokenType::Normal);
    }
    ends.retain(|&id| Some(id) != part_end && Some(id) != plain_s);
    ends.sort_unstable();
    ends.dedup();
    ends
}
