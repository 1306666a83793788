//! What reaches a terminal.

use super::*;

#[test]
fn a_model_cannot_steer_the_terminal() {
    assert_eq!(harmless("a\tb\n"), "a\tb\n");
    assert_eq!(
        harmless("\x1b]0;title\x07é\u{9b}31m\r"),
        "\u{fffd}]0;title\u{fffd}é\u{fffd}31m\u{fffd}"
    );
}

#[test]
fn colour_is_off_unless_asked_for() {
    assert_eq!(Paint(false).paint(Style::Error, "x"), "x");
    assert_eq!(Paint(true).paint(Style::Error, "x"), "\x1b[1;31mx\x1b[0m");
}
