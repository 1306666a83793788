//! The heap against the rule taken literally: token by token, longest first, over every fragment.

use super::{Fragment, SpecialTrie, Specials};

/// The rule as stated: for each token, longest first, cut all fragments left to right.
fn literal<'t>(text: &'t str, tokens: &[&str]) -> Vec<Fragment<'t>> {
    let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
    order.sort_by_key(|&id| std::cmp::Reverse(tokens[id as usize].len()));
    let mut fragments = vec![Fragment::Text(text)];
    for id in order {
        let mut next = Vec::new();
        for fragment in fragments {
            let Fragment::Text(mut rest) = fragment else {
                next.push(fragment);
                continue;
            };
            while let Some(at) = rest.find(tokens[id as usize]) {
                if at > 0 {
                    next.push(Fragment::Text(&rest[..at]));
                }
                next.push(Fragment::Token(id));
                rest = &rest[at + tokens[id as usize].len()..];
            }
            if !rest.is_empty() {
                next.push(Fragment::Text(rest));
            }
        }
        fragments = next;
    }
    fragments
}

fn fast<'t>(trie: &SpecialTrie, text: &'t str, specials: Specials) -> Vec<Fragment<'t>> {
    let mut fragments = Vec::new();
    trie.partition(text, specials, &mut |fragment| fragments.push(fragment));
    fragments
}

fn trie(tokens: &[&str]) -> SpecialTrie {
    SpecialTrie::new(
        tokens
            .iter()
            .enumerate()
            .map(|(id, &text)| (id as u32, text, false)),
    )
}

#[test]
fn agrees_with_the_literal_rule() {
    let tokens = [
        "abc", "cdef", "ab", "bc", "a", "fa", "cabc", "ee", "eee", "é",
    ];
    let trie = trie(&tokens);
    let mut state = 7_u32;
    for length in 0..60 {
        for _ in 0..40 {
            let text: String = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ['a', 'b', 'c', 'd', 'e', 'f', 'é', 'e'][(state >> 29) as usize]
                })
                .collect();
            assert_eq!(
                fast(&trie, &text, Specials::Parse),
                literal(&text, &tokens),
                "{text}"
            );
        }
    }
}

#[test]
fn the_longest_wins_even_from_the_right() {
    let found = fast(&trie(&["abc", "cdef"]), "abcdef", Specials::Parse);
    assert_eq!(found, [Fragment::Text("ab"), Fragment::Token(1)]);
}

#[test]
fn plain_text_cannot_spell_control_tokens() {
    let trie = SpecialTrie::new([(0, "<end>", true), (1, "<b>", false)].into_iter());
    let text = "<b><end>";
    assert_eq!(
        fast(&trie, text, Specials::Parse),
        [Fragment::Token(1), Fragment::Token(0)]
    );
    assert_eq!(
        fast(&trie, text, Specials::Plain),
        [Fragment::Token(1), Fragment::Text("<end>")]
    );
}

#[test]
fn long_runs_are_not_quadratic() {
    let runs: Vec<String> = (2..32).map(|length| " ".repeat(length)).collect();
    let tokens: Vec<&str> = runs.iter().map(String::as_str).collect();
    let text = " ".repeat(1 << 20);
    let found = fast(&trie(&tokens), &text, Specials::Plain);
    assert_eq!(found.len(), (1_usize << 20).div_ceil(31));
}
