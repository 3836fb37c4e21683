//! The packets that sentences name, for where these have other numbers: among several files, or in another file.

use super::model::Connection;
use std::borrow::Cow;

const PACKET: &str = "packet ";
const FILE: &str = " of file ";

/// A packet as a sentence names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its number.
    pub packet: u32,
    /// The number of its file, from 1, where the sentence has one.
    pub file: Option<u32>,
}

/// `text` with each packet called as `name` calls it. What stands in quotation marks is somebody else's word.
#[must_use]
pub fn renamed(text: &str, mut name: impl FnMut(Named) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut is_quoted) = (text, false);
    loop {
        let end = next_quote(rest, is_quoted);
        let (part, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
        if is_quoted {
            out.push_str(part);
        } else {
            rename(part, &mut name, &mut out);
        }
        let Some(after) = after.strip_prefix('"') else { return out };
        out.push('"');
        (rest, is_quoted) = (after, !is_quoted);
    }
}

/// Where the next quotation mark stands that begins a quotation or ends it: within one, a mark behind a backslash is
/// the text's own.
fn next_quote(text: &str, is_quoted: bool) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_mark = byte == b'"' && !is_escaped;
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        is_mark
    })
}

/// `text` in quotation marks, its own ones and its backslashes marked as such.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn rename(text: &str, name: &mut impl FnMut(Named) -> String, out: &mut String) {
    let mut pieces = text.split(PACKET);
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        match named(piece) {
            Some((packet, rest)) => {
                out.push_str(&name(packet));
                out.push_str(rest);
            }
            None => {
                out.push_str(PACKET);
                out.push_str(piece);
            }
        }
    }
}

/// The packet that `text` begins with, and what follows it.
fn named(text: &str) -> Option<(Named, &str)> {
    let (packet, rest) = number(text)?;
    let file = rest.strip_prefix(FILE).and_then(number);
    let (file, rest) = file.map_or((None, rest), |(file, rest)| (Some(file), rest));
    Some((Named { packet, file }, rest))
}

fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// `text` as one of several files' has it: each packet with its file's number. `before` files come ahead of those that
/// the sentence counts; one that it does not count is the first.
#[must_use]
pub fn with_files(text: &str, before: usize) -> String {
    let before = u32::try_from(before).unwrap_or(u32::MAX);
    renamed(text, |it| format!("{PACKET}{}{FILE}{}", it.packet, before.saturating_add(it.file.unwrap_or(1))))
}

/// Gives each packet that the sentences on `connection` name its file, as [`with_files`] does.
pub fn name_files(connection: &mut Connection<'_>, before: usize) {
    connection.verdict.why = Cow::Owned(with_files(&connection.verdict.why, before));
    let ends = [&mut connection.endpoints.client, &mut connection.endpoints.server];
    ends.into_iter().for_each(|end| end.why = with_files(&end.why, before).into());
    connection.vantage.why = with_files(&connection.vantage.why, before).into();
    connection.diagnosis.iter_mut().for_each(|one| one.text = with_files(&one.text, before));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_named_with_its_file() {
        let text = "FIN in packet 7; before packet 12 of file 2, a packet of 3 bytes, packets";
        assert_eq!(
            with_files(text, 0),
            "FIN in packet 7 of file 1; before packet 12 of file 2, a packet of 3 bytes, packets"
        );
        assert_eq!(
            with_files("in packet 7, packet 9 of file 2", 3),
            "in packet 7 of file 4, packet 9 of file 5"
        );
        assert_eq!(with_files("packet 99999999999", 0), "packet 99999999999");
    }

    #[test]
    fn what_is_quoted_stays_as_it_was() {
        let text = "Close 1000 \"see packet 3\" in packet 4";
        assert_eq!(with_files(text, 0), "Close 1000 \"see packet 3\" in packet 4 of file 1");
        assert_eq!(renamed("a \" b", |_| String::new()), "a \" b");
        for reason in ["a\" packet 3", "\\", "\\\"", "\" packet 3 \"", "packet 3\\"] {
            let text = |packet: &str| format!("Close 4000 {} in packet {packet}", quoted(reason));
            assert_eq!(with_files(&text("4"), 0), text("4 of file 1"), "{reason}");
            assert_eq!(
                with_files(&format!("with the reason {reason:?} in packet 4"), 0),
                format!("with the reason {reason:?} in packet 4 of file 1")
            );
        }
    }
}
