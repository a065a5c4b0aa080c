//! Every frame, word for word.

use pointsman::view::tui::theme::Theme;

use super::scenes::scenes;
use super::stage::lines;

/// The sizes that are promised: everything, the usual, a narrow one, a very wide one.
const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (60, 20), (200, 60)];

#[test]
fn every_state_in_every_size() {
    for (name, mut stage) in scenes() {
        let mut text = String::new();
        for (width, height) in SIZES {
            text.push_str(&format!("======== {width}×{height}\n{}\n", stage.lines(width, height)));
        }
        insta::with_settings!({ snapshot_path => "frames", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, text);
        });
    }
}

/// At 80×24 nothing that one must know is cut off.
#[test]
fn a_small_terminal_has_header_gates_and_footer_whole() {
    for (name, mut stage) in scenes() {
        let waits = ["waiting", "failing_gate", "no_data", "unreadable_gate"].contains(&name);
        let frame = stage.lines(80, 24);
        if waits {
            for words in ["lag", "at most 1.0 MiB", "read 1.4 s ago", "4m 10s left", "q quit", "writes → SOURCE"] {
                assert!(frame.contains(words), "{name}: {words} is missing in\n{frame}");
            }
        }
    }
}

/// Colour says nothing that words and signs do not: the text is the same without it.
#[test]
fn without_colour_the_words_are_the_same() {
    for (name, mut stage) in scenes() {
        let coloured = stage.frame(120, 40, Theme::new(true, true));
        let plain = stage.frame(120, 40, Theme::new(false, true));
        assert_eq!(lines(&coloured), lines(&plain), "{name}");
        let colours = |cell: &ratatui::buffer::Cell| (cell.fg, cell.bg);
        let none = (ratatui::style::Color::Reset, ratatui::style::Color::Reset);
        assert!(plain.content().iter().all(|cell| colours(cell) == none), "{name} has colours under NO_COLOR");
    }
}

/// A terminal without Unicode gets none of ours; what others wrote is theirs.
#[test]
fn the_signs_of_ascii_are_enough() {
    for (name, mut stage) in scenes() {
        if name == "long_names" || name == "step" {
            continue;
        }
        let frame = lines(&stage.frame(120, 40, Theme::new(false, false)));
        assert!(frame.is_ascii(), "{name}:\n{frame}");
        assert!(frame.contains("REHEARSAL") || frame.contains("PRODUCTION") || name == "frozen", "{name}:\n{frame}");
    }
}
