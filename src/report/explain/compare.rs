//! What two close codes differ in.

use crate::websocket::close_code::{CloseCode, CodeInfo};
use serde::Serialize;

/// Two close codes beside each other.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    /// The code named first.
    #[serde(skip)]
    pub(super) first: CloseCode,
    /// The code named second.
    #[serde(skip)]
    pub(super) second: CloseCode,
    /// What people mix up about this pair.
    pub(super) note: Option<&'static str>,
    /// The attributes in which they differ.
    pub(super) differences: Vec<Difference>,
}

/// One attribute that two codes do not share.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// The attribute, as a report's field.
    attribute: &'static str,
    /// The attribute, for people.
    #[serde(skip)]
    label: &'static str,
    /// What it is for the first code.
    first: &'static str,
    /// What it is for the second.
    second: &'static str,
}

impl Difference {
    pub(super) fn sentence(&self, first: CloseCode, second: CloseCode) -> String {
        format!("{}: {first} {}; {second} {}.", self.label, self.first, self.second)
    }
}

impl Comparison {
    pub(super) fn new(first: CloseCode, second: CloseCode) -> Comparison {
        let attributes = attributes(first.info()).into_iter().zip(attributes(second.info()));
        let differences = attributes
            .filter(|((_, _, one), (_, _, other))| one != other)
            .map(|((attribute, label, first), (_, _, second))| Difference { attribute, label, first, second })
            .collect();
        Comparison { first, second, note: note(first, second), differences }
    }

    /// What to say of two codes that share every attribute.
    pub(super) fn alike(&self) -> &'static str {
        if self.first.info() == self.second.info() {
            "Only the number: both fall in the same range and are alike in all that the protocol says."
        } else {
            "Only what happened: kind of ending, sender and reconnect policy are alike."
        }
    }
}

/// The attributes that are compared: field, label, text.
fn attributes(info: &CodeInfo) -> [(&'static str, &'static str, &'static str); 5] {
    [
        ("category", "Kind of ending", info.category.text()),
        ("on_wire", "On the wire", info.on_wire.text()),
        ("sender", "Sent by", info.sender.text()),
        ("peer_sees", "The other end sees", info.peer_sees.text()),
        ("reconnect", "Reconnect", info.reconnect.text()),
    ]
}

/// What is to be said of pairs that are often confused, whichever is named first.
fn note(first: CloseCode, second: CloseCode) -> Option<&'static str> {
    let pair = (first.min(second).0, first.max(second).0);
    NOTES.iter().find(|(low, high, _)| (*low, *high) == pair).map(|(_, _, note)| *note)
}

const NOTES: &[(u16, u16, &str)] = &[
    (
        1000,
        1001,
        "1000 says that the work is done; 1001 says that the sender leaves, done or not. After 1001 from a server a \
         client normally wants its connection back.",
    ),
    (
        1000,
        1005,
        "Both are orderly. With 1000 the Close frame holds the code; with 1005 the Close frame is empty and the \
         number is made up by the receiver's library. Some libraries report 1000 for an empty Close.",
    ),
    (
        1000,
        1006,
        "1000 ends with a Close frame that was received; 1006 ends without one. An endpoint that calls close(1000) but \
         gets no Close in answer reports 1006 itself, while its peer reports 1000.",
    ),
    (
        1001,
        1006,
        "1001 is a farewell that was sent; 1006 is the lack of one. A server that is stopped in order says 1001; the \
         same server killed says nothing, and its clients report 1006. After 1001 the receiver knows that nothing more \
         was to come; after 1006 nobody knows which of the last messages arrived. 1001 needs no search for a fault; \
         1006 does, when it repeats.",
    ),
    (
        1001,
        1012,
        "A server that shuts down may use either. 1012 promises that it comes back; 1001 does not, and browsers send \
         it as well when a page is left.",
    ),
    (
        1002,
        1006,
        "The two ends of one failure: an endpoint that fails the connection sends 1002, and by RFC 6455 §7.1.5 itself \
         reports 1006, as it received no Close. Its peer reports 1002.",
    ),
    (
        1005,
        1006,
        "Neither is ever sent. 1005: a Close frame came, but it was empty. 1006: no Close frame came at all. 1005 is \
         an orderly end, 1006 is not.",
    ),
    (
        1006,
        1011,
        "1011 is a failure that could still say so; 1006 is one that could not. A keepalive timeout in Python's \
         websockets library is sent as 1011, but the side that timed out reports 1006.",
    ),
    (
        1006,
        1015,
        "With 1015 no WebSocket was ever open. Most browsers report a failed TLS handshake as 1006 too, so that a \
         1006 without an open event before it may be a certificate problem.",
    ),
    (
        1012,
        1013,
        "1012: the server goes down and comes back. 1013: the server is up, but has no room for this client.",
    ),
    (
        3000,
        3003,
        "As 401 and 403 in HTTP: 3000 asks the client to log in, 3003 says that logging in would not help.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_pair_swaps_the_sides_and_keeps_the_note() {
        let forth = Comparison::new(CloseCode(1001), CloseCode(1006));
        let back = Comparison::new(CloseCode(1006), CloseCode(1001));
        assert_eq!(forth.note, back.note);
        assert!(forth.note.is_some());
        let swapped: Vec<_> = back
            .differences
            .into_iter()
            .map(|Difference { attribute, label, first, second }| Difference {
                attribute,
                label,
                first: second,
                second: first,
            })
            .collect();
        assert_eq!(forth.differences, swapped);
    }

    #[test]
    fn only_differing_attributes_are_listed() {
        let comparison = Comparison::new(CloseCode(1007), CloseCode(1002));
        let attributes: Vec<_> =
            comparison.differences.iter().map(|difference| difference.attribute).collect();
        assert_eq!(attributes, [""; 0], "1002 and 1007 differ in meaning, not in attributes");
        let comparison = Comparison::new(CloseCode(1012), CloseCode(1013));
        let attributes: Vec<_> =
            comparison.differences.iter().map(|difference| difference.attribute).collect();
        assert_eq!(attributes, ["category"]);
    }

    #[test]
    fn every_note_stands_under_a_sorted_unique_pair() {
        assert!(NOTES.iter().all(|(low, high, _)| low < high));
        assert!(NOTES.is_sorted_by_key(|(low, high, _)| (low, high)));
        assert!(NOTES.windows(2).all(|pair| (pair[0].0, pair[0].1) != (pair[1].0, pair[1].1)));
    }
}
