//! `wsclose explain`: what a close code means, or how two of them differ; the words of a verdict; key logs.
//!
//! Everything said of codes comes from the table in [`crate::websocket::close_code`]; the differences between any two
//! codes are the attributes in which their rows differ, and a few pairs that are often confused have a note of their
//! own. The words stand in a table beside this file.

mod compare;
mod json;
mod layout;
mod words;

pub use json::write_json;
pub use words::{KEY_LOG_RECIPES, KeyLogRecipe, Topic, WORDS, Word};

use crate::anomaly::Anomaly;
use crate::diagnosis::finding::Id;
use crate::websocket::close_code::CloseCode;
use compare::Comparison;
use layout::Page;
use std::io::{self, Write};

/// Explains `topics` as text for people: each by itself, or two codes side by side.
///
/// `width` is the number of columns to fill; it is held between 72 and 100.
///
/// # Errors
/// Whatever `out` refuses.
pub fn write_text(out: &mut impl Write, topics: &[Topic], width: usize) -> io::Result<()> {
    let mut page = Page::new(out, width);
    if let [Topic::Code(first), Topic::Code(second)] = topics
        && first != second
    {
        return side_by_side(&mut page, &Comparison::new(*first, *second));
    }
    for (position, topic) in topics.iter().enumerate() {
        if position > 0 {
            page.blank()?;
        }
        match topic {
            Topic::Code(code) => one(&mut page, *code)?,
            Topic::Word(word) => one_word(&mut page, word)?,
            Topic::Diagnosis(id) => one_name(&mut page, id.name(), "a diagnosis", id.meaning(), id.advice())?,
            Topic::Anomaly(one) => one_name(&mut page, one.name(), "an oddity", one.meaning(), None)?,
            Topic::KeyLog => key_log(&mut page)?,
            Topic::List => list(&mut page)?,
        }
    }
    Ok(())
}

fn one_word(page: &mut Page<'_, impl Write>, word: &Word) -> io::Result<()> {
    page.line(&format!("{} ({})", word.word, word.place()))?;
    page.paragraph("Meaning", word.meaning)?;
    page.paragraph("Evidence", word.evidence)?;
    page.paragraph("Fix", word.fix)
}

fn one_name(
    page: &mut Page<'_, impl Write>,
    name: &str,
    of: &str,
    meaning: &str,
    advice: Option<&str>,
) -> io::Result<()> {
    page.line(&format!("{name} ({of})"))?;
    page.paragraph("Meaning", meaning.trim())?;
    advice.map_or(Ok(()), |advice| page.paragraph("Fix", advice))
}

fn list(page: &mut Page<'_, impl Write>) -> io::Result<()> {
    page.line(
        "Words of a verdict: its kind, its cause, who began it, what hid the end; of what stands beside it",
    )?;
    WORDS.iter().try_for_each(|word| page.entry(word.word, word.meaning))?;
    page.blank()?;
    page.line("Diagnoses of a connection and findings over the capture, the weightiest first")?;
    Id::ALL.iter().try_for_each(|id| page.entry(id.name(), id.meaning().trim()))?;
    page.blank()?;
    page.line("Oddities that are counted")?;
    Anomaly::ALL.iter().try_for_each(|one| page.entry(one.name(), one.meaning().trim()))?;
    page.blank()?;
    page.line("Besides: any close code, and keylog")
}

fn key_log(page: &mut Page<'_, impl Write>) -> io::Result<()> {
    page.line("A key log holds the keys of TLS sessions. Start it before the connections begin:")?;
    for recipe in KEY_LOG_RECIPES {
        page.paragraph(recipe.of, recipe.how)?;
    }
    page.line("Then:")?;
    page.paragraph("analyse", "wsclose --keylog keys.log capture.pcapng")?;
    page.paragraph("keep", "wsclose inject-keys --keylog keys.log capture.pcapng -o with-keys.pcapng")?;
    page.line("Whoever has the key log or a capture with keys can read the traffic.")
}

/// `1006 Abnormal Closure`, or `4123 (private use: 4000-4999)`.
fn title(code: CloseCode) -> String {
    match code.name() {
        Some(name) => format!("{code} {name}"),
        None => format!("{code} ({})", code.info().name),
    }
}

/// What is said of one code: a label and a text each.
fn paragraphs(code: CloseCode) -> Vec<(&'static str, String)> {
    let info = code.info();
    let mut paragraphs = vec![
        ("Category", info.category.text().to_owned()),
        ("Meaning", info.meaning.to_owned()),
        ("Appears", info.appears.to_owned()),
        ("Fix", info.fix.to_owned()),
        ("On the wire", info.on_wire.text().to_owned()),
        ("Sent by", info.sender.text().to_owned()),
        ("Peer sees", info.peer_sees.text().to_owned()),
        ("Reconnect", info.reconnect.text().to_owned()),
        ("Reference", info.reference.to_owned()),
    ];
    let uses: Vec<String> = code
        .known_uses()
        .map(|known| format!("{} in subprotocol {}", known.name, known.subprotocol))
        .collect();
    if !uses.is_empty() {
        paragraphs.push(("Known use", uses.join("; ")));
    }
    paragraphs
}

fn one(page: &mut Page<'_, impl Write>, code: CloseCode) -> io::Result<()> {
    page.line(&title(code))?;
    paragraphs(code).iter().try_for_each(|(label, text)| page.paragraph(label, text))
}

fn side_by_side(page: &mut Page<'_, impl Write>, comparison: &Comparison) -> io::Result<()> {
    let (first, second) = (comparison.first, comparison.second);
    page.columns("", &title(first), &title(second))?;
    page.rule()?;
    let right = paragraphs(second);
    let text_of = |label: &str, of: &[(&str, String)]| {
        of.iter().find(|(name, _)| *name == label).map(|(_, text)| text.clone()).unwrap_or_default()
    };
    let left = paragraphs(first);
    let only_right = right.iter().filter(|(label, _)| left.iter().all(|(name, _)| name != label));
    for (label, _) in left.iter().chain(only_right) {
        page.columns(label, &text_of(label, &left), &text_of(label, &right))?;
    }
    page.blank()?;
    differences(page, comparison)
}

fn differences(page: &mut Page<'_, impl Write>, comparison: &Comparison) -> io::Result<()> {
    page.line("Key differences")?;
    if let Some(note) = comparison.note {
        page.bullet(note)?;
    }
    if comparison.differences.is_empty() {
        page.bullet(comparison.alike())?;
    }
    for difference in &comparison.differences {
        page.bullet(&difference.sentence(comparison.first, comparison.second))?;
    }
    page.blank()?;
    page.line("Which applies when")?;
    for code in [comparison.first, comparison.second] {
        page.bullet(&format!("{code} when {}.", code.info().applies_when))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(codes: &[u16], width: usize) -> String {
        let topics: Vec<Topic> = codes.iter().copied().map(|code| Topic::Code(CloseCode(code))).collect();
        let mut out = Vec::new();
        write_text(&mut out, &topics, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The text with all runs of space and line breaks made one space.
    fn flat(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn says(text: &str, statements: &[&str]) {
        let flat = flat(text);
        for statement in statements {
            assert!(flat.contains(statement), "lacks {statement:?}:\n{text}");
        }
    }

    #[test]
    fn code_1001_tells_of_a_departure_and_how_to_reconnect() {
        says(
            &text(&[1001], 100),
            &[
                "1001 Going Away",
                "Category planned departure of one endpoint",
                "An endpoint is going away: a server shuts down, or a browser leaves the page.",
                "Reconnect automatically with exponential backoff, after a short delay when the server restarts",
                "On the wire yes, it may be sent in a Close frame",
                "Reference RFC 6455 §7.4.1",
            ],
        );
    }

    #[test]
    fn code_1006_is_never_sent_and_names_causes_and_remedies() {
        says(
            &text(&[1006], 100),
            &[
                "1006 Abnormal Closure",
                "lost without a Close frame. It is never sent",
                "A crash or a killed process; a pulled cable",
                "a firewall, NAT or load balancer that killed an idle connection",
                "Reconnect with exponential backoff",
                "Use ping/pong to detect dead connections early",
                "Check network timeouts and load-balancer idle limits",
                "On the wire no, never",
                "Reference RFC 6455 §7.1.5, §7.4.1",
            ],
        );
    }

    #[test]
    fn codes_1001_and_1006_side_by_side_say_which_applies_when() {
        let text = text(&[1001, 1006], 100);
        assert!(
            text.lines()
                .any(|line| line.contains("1001 Going Away") && line.contains("1006 Abnormal Closure"))
        );
        says(
            &text,
            &[
                "Key differences",
                "1001 is a farewell that was sent; 1006 is the lack of one.",
                "On the wire: 1001 yes, it may be sent in a Close frame; 1006 no, never:",
                "Sent by: 1001 client or server; 1006 nobody",
                "Which applies when",
                "1001 when an endpoint left on purpose and said so in a Close frame",
                "1006 when the connection ended and no Close frame had been received",
            ],
        );
    }

    #[test]
    fn an_unknown_code_is_explained_by_its_range() {
        says(
            &text(&[4123], 80),
            &["4123 (private use: 4000-4999)", "yes, it may be sent", "RFC 6455 §7.4.2"],
        );
        says(&text(&[2500], 80), &["2500 (reserved for the protocol: 1000-2999)", "it has no meaning yet"]);
        says(&text(&[7], 80), &["7 (unused range 0-999)", "it lies outside the ranges"]);
    }

    #[test]
    fn a_private_code_with_a_known_use_names_its_subprotocol() {
        says(&text(&[4401], 80), &["Known use Unauthorized in subprotocol graphql-transport-ws"]);
        says(&text(&[4401, 4123], 80), &["Known use Unauthorized in"]);
        says(&text(&[4123, 4401], 80), &["Known use Unauthorized in"]);
    }

    #[test]
    fn two_codes_of_one_range_differ_only_in_number() {
        says(&text(&[4123, 4124], 80), &["Only the number"]);
        says(&text(&[1002, 1007], 80), &["Only what happened"]);
    }

    #[test]
    fn no_line_is_wider_than_asked_for_within_the_bounds() {
        for (asked, most) in [(0, 72), (72, 72), (90, 90), (100, 100), (400, 100)] {
            for codes in [&[1001, 1006][..], &[1010, 3000], &[1011], &[4401, 65_535], &[1000, 1001, 1002]] {
                for line in text(codes, asked).lines() {
                    assert!(line.chars().count() <= most, "{asked}: {line:?}");
                    assert_eq!(line, line.trim_end(), "stray space at the end");
                }
            }
        }
    }

    #[test]
    fn words_and_key_logs_are_explained_beside_codes() {
        let topics: Vec<Topic> = ["rst", "1006", "keylog"].map(|topic| topic.parse().unwrap()).into();
        let mut out = Vec::new();
        write_text(&mut out, &topics, 80).unwrap();
        let text = String::from_utf8(out).unwrap();
        says(&text, &["rst (verdict.cause) Meaning TCP was reset", "1006 Abnormal Closure", "SSLKEYLOGFILE"]);
        for of in ["Chromium", "Firefox", "Node", "Python", "curl", "Java", "Go"] {
            let lines = text.lines().filter(|line| line.trim_start().starts_with(of)).count();
            assert_eq!(lines, 1, "{of}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn every_word_of_who_began_it_that_is_no_end_is_explained() {
        for by in ["network", "proxy", "both", "unknown"] {
            assert!(matches!(by.parse(), Ok(Topic::Word(_))), "{by}");
        }
    }

    #[test]
    fn a_diagnosis_and_an_oddity_are_explained_and_all_are_listed() {
        let page = |topics: &[&str]| {
            let topics: Vec<Topic> = topics.iter().map(|topic| topic.parse().unwrap()).collect();
            let mut out = Vec::new();
            write_text(&mut out, &topics, 80).unwrap();
            String::from_utf8(out).unwrap()
        };
        says(
            &page(&["idle-limit", "tcp_gap"]),
            &[
                "idle-limit (a diagnosis) Meaning It had been silent as long",
                "tcp_gap (an oddity) Meaning Bytes",
            ],
        );
        let list = page(&["list"]);
        assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
        let names = Id::ALL.iter().map(|id| id.name()).chain(Anomaly::ALL.iter().map(|one| one.name()));
        for name in names.chain(WORDS.iter().map(|word| word.word)) {
            assert!(list.lines().any(|line| line.trim_start().starts_with(name)), "{name}");
        }
    }

    #[test]
    fn a_diagnosis_says_what_to_do() {
        let page = |topic: &str| {
            let mut out = Vec::new();
            write_text(&mut out, &[topic.parse().unwrap()], 100).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (id, advice) in [
            ("proxy-ended", "Fix see the proxy's log: an idle limit, a reload, a restart."),
            ("idle-limit", "Fix send pings at least twice as often as the limit runs out"),
            ("abort", "Fix see why it aborts: a process killed or closed with unread data"),
            ("many-at-once", "Fix let the server or proxy send Close 1001 or 1012 before it stops"),
        ] {
            says(&page(id), &[advice]);
        }
        assert!(!page("page-left").contains("Fix"), "nothing is wrong with it");
    }

    #[test]
    fn the_same_code_twice_is_no_comparison() {
        assert!(!text(&[1006, 1006], 80).contains("Key differences"));
    }

    #[test]
    fn every_pair_of_codes_can_be_compared() {
        let all: Vec<u16> =
            CloseCode::registered().map(|code| code.0).chain([7, 2500, 3500, 4500, 5500]).collect();
        for first in &all {
            for second in all.iter().filter(|second| *second != first) {
                let text = flat(&text(&[*first, *second], 100));
                assert!(text.contains(&format!("{first} when ")), "{first} {second}");
                assert!(text.contains(&format!("{second} when ")), "{first} {second}");
                assert!(
                    !text.contains("Only the number"),
                    "{first} {second}: rows of two kinds can't be alike"
                );
            }
        }
    }
}
