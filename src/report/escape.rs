//! Text from packets, files and file names on its way to a terminal: any of it may be an attacker's.

use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Marks without width that one character may carry: no language needs more.
const MARKS_MAX: u32 = 4;

/// `text` with everything escaped that a terminal might act on or that could deceive a reader: control characters,
/// bidirectional and other format controls, and characters outside of what prints.
#[must_use]
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for character in text.chars() {
        // Without width of its own it is a mark on what stands before it; heaps of them hide text and spill over lines.
        marks = if character.width() == Some(0) { marks + 1 } else { 0 };
        if is_harmless(character) && marks <= MARKS_MAX && !(marks > 0 && out.is_empty()) {
            out.push(character);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
    }
    out
}

/// An error about an input, escaped, with the input's name in front unless it names it by itself.
#[must_use]
pub fn named(path: &str, reason: &str) -> String {
    let (path, reason) = (terminal(path), terminal(reason));
    let behind = ["can't open ", "can't read "].iter().find_map(|words| reason.strip_prefix(words));
    let names_it =
        behind.and_then(|rest| rest.strip_prefix(&path)).is_some_and(|rest| rest.starts_with(": "));
    if names_it { reason } else { format!("{path}: {reason}") }
}

pub(super) fn is_harmless(character: char) -> bool {
    let deceives = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !character.is_control() && !deceives
}

/// `text` escaped and cut to `width` columns, with `…` where it was cut.
#[must_use]
pub(super) fn cell(text: &str, width: usize) -> String {
    cut(&terminal(text), width)
}

/// `text`, which is escaped already, cut to `width` columns, with `…` where it was cut.
#[must_use]
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = fitting(text.chars(), width);
    out.push('…');
    out
}

/// `text` escaped and cut to `width` columns at its start, with `…` where it was cut: for paths, whose end tells most.
#[must_use]
pub(super) fn cell_end(text: &str, width: usize) -> String {
    let text = terminal(text);
    if text.width() <= width {
        return text;
    }
    let end = fitting(text.chars().rev(), width);
    std::iter::once('…').chain(end.chars().rev()).collect()
}

/// As many characters as leave one of `width` columns free.
fn fitting(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 1_usize;
    characters
        .take_while(|character| {
            used = used.saturating_add(character.width().unwrap_or(0));
            used <= width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_act_on() {
        let hostile = "a\u{1b}[31mred\u{7}\r\n\u{202e}txt.exe\0";
        assert_eq!(terminal(hostile), "a\\u{1b}[31mred\\u{7}\\u{d}\\u{a}\\u{202e}txt.exe\\u{0}");
        assert_eq!(terminal("grüße 日本"), "grüße 日本");
    }

    #[test]
    fn marks_without_width_are_few() {
        assert_eq!(terminal("e\u{301}a"), "e\u{301}a");
        let heap = format!("x{}", "\u{301}".repeat(100));
        assert!(cell(&heap, 20).chars().count() <= 24, "{}", cell(&heap, 20).len());
        assert_eq!(terminal("\u{301}"), "\\u{301}", "nothing stands before it");
    }

    #[test]
    fn an_error_names_its_file_once() {
        assert_eq!(named("a.pcap", "can't open a.pcap: no"), "can't open a.pcap: no");
        assert_eq!(named("a\u{7}", "cut short"), "a\\u{7}: cut short");
        // Names that are words of the message.
        assert_eq!(named("cut", "cut short at byte 3"), "cut: cut short at byte 3");
        assert_eq!(named("open", "can't open openly: no"), "open: can't open openly: no");
    }

    #[test]
    fn cells_are_cut_by_columns() {
        assert_eq!(cell("日本語", 5), "日本…");
        assert_eq!(cell("abc", 3), "abc");
        assert_eq!(cell_end("日本語", 5), "…本語");
        assert_eq!(cell_end("abcd", 3), "…cd");
    }
}
