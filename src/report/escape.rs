//! Attacker's bytes on their way to a terminal.

use std::fmt::Write as _;

/// `text` with everything escaped that a terminal might act on or that could deceive a reader: control characters,
/// bidirectional and other format controls, and characters outside of what prints.
#[must_use]
pub(super) fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) {
            out.push(character);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
    }
    out
}

fn is_harmless(character: char) -> bool {
    let deceives = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !character.is_control() && !deceives
}

/// `text` escaped and cut to `width` columns, with `…` where it was cut.
#[must_use]
pub(super) fn cell(text: &str, width: usize) -> String {
    use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
    let text = terminal(text);
    if text.width() <= width {
        return text;
    }
    let mut out = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(character);
    }
    out.push('…');
    out
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
    fn cells_are_cut_by_columns() {
        assert_eq!(cell("日本語", 5), "日本…");
        assert_eq!(cell("abc", 3), "abc");
    }
}
