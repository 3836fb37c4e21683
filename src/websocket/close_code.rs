//! Close codes: what each number means, who may send it, and what to do about it.

mod table;

use std::fmt;
use std::str::FromStr;

/// The number in a Close frame, or the one an application sees in its place (RFC 6455 §7.1.5, §7.4).
/// Unknown values survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The work is done.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// An endpoint leaves: server shutdown, page left.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// The peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// The peer sent a kind of data that is not accepted.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// Never sent: stands for a Close frame without a code.
    pub const NO_STATUS_RECEIVED: CloseCode = CloseCode(1005);
    /// Never sent: stands for an end without a Close frame.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// A payload that does not fit its message's type.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// The peer broke a rule of the application.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// A message larger than the receiver takes.
    pub const MESSAGE_TOO_BIG: CloseCode = CloseCode(1009);
    /// The client misses an extension that it needs.
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode(1010);
    /// An endpoint met an error of its own.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// The server restarts.
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// The server is overloaded for now.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// A gateway got a bad answer from the server behind it.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);
    /// Never sent: stands for a failed TLS handshake.
    pub const TLS_HANDSHAKE: CloseCode = CloseCode(1015);

    /// What is known of it: its own entry, or else that of its range. Every number has one.
    #[must_use]
    pub fn info(self) -> &'static CodeInfo {
        table::CODES
            .iter()
            .chain(table::RANGES)
            .find(|info| info.first <= self.0 && self.0 <= info.last)
            .unwrap_or(&table::BEYOND)
    }

    /// Its registered name; `None` for a number without an entry of its own.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let info = self.info();
        info.is_single().then_some(info.name)
    }

    /// What kind of ending it speaks of.
    #[must_use]
    pub fn category(self) -> Category {
        self.info().category
    }

    /// May it stand in a Close frame (RFC 6455 §7.4)? True for the defined codes but 1004, 1005, 1006 and 1015, and
    /// for all of 3000 to 4999.
    #[must_use]
    pub const fn is_valid_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// What well-known subprotocols mean by it.
    pub fn known_uses(self) -> impl Iterator<Item = &'static KnownUse> {
        table::KNOWN_USES.iter().filter(move |known| known.code == self.0)
    }

    /// Every code with an entry of its own, in order.
    pub fn registered() -> impl Iterator<Item = CloseCode> {
        table::CODES.iter().map(|info| CloseCode(info.first))
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// A text that is no close code: not a decimal number from 0 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a close code is a number from 0 to 65535")]
pub struct NotACloseCode;

impl FromStr for CloseCode {
    type Err = NotACloseCode;

    fn from_str(text: &str) -> Result<CloseCode, NotACloseCode> {
        text.parse().map(CloseCode).map_err(|_| NotACloseCode)
    }
}

/// One row of the table: all that is said of a code, or of a range without entries of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// The first number it speaks of.
    pub first: u16,
    /// The last number it speaks of; equal to `first` for a single code.
    pub last: u16,
    /// The registered name, or what the range is called.
    pub name: &'static str,
    /// What kind of ending it speaks of.
    pub category: Category,
    /// What it says.
    pub meaning: &'static str,
    /// When it turns up in practice.
    pub appears: &'static str,
    /// What to do about it.
    pub fix: &'static str,
    /// Completes the sentence "it applies when ...".
    pub applies_when: &'static str,
    /// May it stand in a Close frame?
    pub on_wire: OnWire,
    /// Who sends it.
    pub sender: Sender,
    /// What the other endpoint gets to see.
    pub peer_sees: PeerSees,
    /// Whether to connect again.
    pub reconnect: Reconnect,
    /// The RFC section or registry entry that says so.
    pub reference: &'static str,
}

impl CodeInfo {
    /// Does it speak of one code only?
    #[must_use]
    pub const fn is_single(&self) -> bool {
        self.first == self.last
    }
}

/// What one subprotocol means by a private code.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct KnownUse {
    /// The number.
    pub code: u16,
    /// The name that the subprotocol gives it.
    pub name: &'static str,
    /// The value of `Sec-WebSocket-Protocol` for which this holds.
    pub subprotocol: &'static str,
}

macro_rules! attribute {
    ($(#[$meta:meta])* $type:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $text:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[doc = $doc])+ $variant,)+ }

        impl $type {
            /// The name in reports: `snake_case`, stable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }

            /// The same for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $($type::$variant => $text,)+ }
            }
        }
    };
}

attribute! {
    /// The kind of ending that a close code speaks of.
    Category {
        /// The work was done.
        Normal = "normal", "normal end";
        /// An endpoint leaves, as planned.
        Departure = "departure", "planned departure of one endpoint";
        /// One endpoint finds that the other broke the protocol or sent bytes it can't use.
        Violation = "violation", "protocol or data error";
        /// One endpoint refuses to go on with the other.
        Refusal = "refusal", "refused by a rule or a limit";
        /// An endpoint, or something behind it, failed.
        Failure = "failure", "failure on the sender's side";
        /// There was no closing handshake.
        Abnormal = "abnormal", "abnormal end, without a closing handshake";
        /// Kept for the protocol itself.
        Reserved = "reserved", "reserved, no meaning defined";
        /// Left to libraries and frameworks.
        Library = "library", "library or framework code";
        /// Left to applications.
        Private = "private", "private use by an application";
        /// Outside of what may be used.
        Invalid = "invalid", "not a valid close code";
    }
}

attribute! {
    /// Whether a code may stand in a Close frame.
    OnWire {
        /// It may.
        Allowed = "allowed", "yes, it may be sent in a Close frame";
        /// It is an API's value for something that is not on the wire.
        LocalOnly = "local_only", "no, never: an endpoint reports it to its own application";
        /// No RFC and no registry entry gives it a meaning.
        Unassigned = "unassigned", "no: it has no meaning yet, and most receivers fail the connection (1002)";
        /// It lies outside the ranges.
        Invalid = "invalid", "no: it lies outside the ranges, and most receivers fail the connection (1002)";
    }
}

attribute! {
    /// Who sends a code.
    Sender {
        /// Client or server.
        Either = "either", "client or server";
        /// The client alone.
        Client = "client", "the client only";
        /// The server alone.
        Server = "server", "the server only";
        /// A gateway or proxy in the server's place.
        Gateway = "gateway", "a gateway or proxy in front of the server";
        /// Nobody: the receiver's own library makes it up.
        Nobody = "nobody", "nobody: the library of the endpoint that reports it makes it up";
        /// Nobody who keeps to the protocol.
        InError = "in_error", "nobody who keeps to the protocol";
    }
}

attribute! {
    /// What the endpoint on the other end sees of it.
    PeerSees {
        /// A Close frame with this code.
        ThisCode = "this_code", "a Close frame with this code, which it should answer with a Close of its own";
        /// It sent an empty Close, and sees what it got in answer.
        ItsOwnEmptyClose = "its_own_empty_close",
            "it sent the empty Close itself, and reports the answer: usually empty as well, so 1005";
        /// Not a Close from here, or not yet.
        NoHandshake = "no_handshake",
            "often 1006 too, possibly much later; or the code of a Close that was sent to it and never answered";
        /// A failed TLS handshake.
        TlsFailure = "tls_failure", "a TLS handshake that failed; no WebSocket was ever open";
        /// An error in the frame.
        Error = "error", "a Close frame it has to take for an error; most libraries answer with 1002";
    }
}

attribute! {
    /// Whether, and how, a client should connect again.
    Reconnect {
        /// There is no need.
        NotNeeded = "not_needed", "not needed: connect again only for new work";
        /// Yes, backing off.
        Backoff = "backoff", "yes, automatically, with exponential backoff and jitter";
        /// Yes, after a first pause.
        DelayThenBackoff = "delay_then_backoff", "yes, automatically: after a first delay with jitter, then with exponential backoff";
        /// Not before something was changed.
        AfterFix = "after_fix", "not before the cause is fixed: the same will happen again";
        /// The application's documents say.
        AsDocumented = "as_documented", "as the application or library documents the code";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn rows() -> impl Iterator<Item = &'static CodeInfo> {
        table::CODES.iter().chain(table::RANGES)
    }

    #[test]
    fn every_field_of_every_row_says_something() {
        for row in rows() {
            for text in [row.name, row.meaning, row.appears, row.fix, row.applies_when, row.reference] {
                assert!(!text.trim().is_empty(), "{} has an empty field", row.first);
                assert_eq!(text, text.trim(), "{} has stray space", row.first);
                assert!(!text.contains("  "), "{} has doubled space: {text}", row.first);
                assert!(!text.contains('\n'), "{} has a line break", row.first);
            }
            for sentence in [row.meaning, row.appears, row.fix] {
                assert!(sentence.ends_with('.'), "{} ends without a full stop: {sentence}", row.first);
            }
            assert!(!row.applies_when.ends_with('.'), "{}: a clause, not a sentence", row.first);
        }
    }

    #[test]
    fn codes_are_single_sorted_and_unique() {
        let codes: Vec<u16> = table::CODES.iter().map(|row| row.first).collect();
        assert!(table::CODES.iter().all(CodeInfo::is_single));
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        let names: HashSet<&str> = table::CODES.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), codes.len(), "two codes share a name");
    }

    #[test]
    fn the_registry_is_complete() {
        let registered: Vec<u16> = CloseCode::registered().map(|code| code.0).collect();
        let expected: Vec<u16> = (1000..=1015).chain([3000, 3003, 3008]).collect();
        assert_eq!(registered, expected);
    }

    #[test]
    fn ranges_cover_every_number_once() {
        let mut next = 0u32;
        for range in table::RANGES {
            assert_eq!(u32::from(range.first), next, "gap or overlap before {}", range.first);
            assert!(range.first < range.last);
            next = u32::from(range.last) + 1;
        }
        assert_eq!(next, 65_536);
    }

    #[test]
    fn the_table_and_the_wire_rule_agree_on_every_number() {
        // Miri takes a thousand times as long.
        for number in (0..=u16::MAX).step_by(if cfg!(miri) { 199 } else { 1 }) {
            let code = CloseCode(number);
            let info = code.info();
            assert!((info.first..=info.last).contains(&number), "{number} got the row of {}", info.first);
            assert_eq!(info.on_wire == OnWire::Allowed, code.is_valid_on_wire(), "{number}");
        }
    }

    #[test]
    fn a_code_that_is_never_sent_has_no_sender() {
        for row in table::CODES {
            let never = row.on_wire == OnWire::LocalOnly;
            assert_eq!(never, matches!(row.first, 1005 | 1006 | 1015), "{}", row.first);
            assert!(!never || row.sender == Sender::Nobody, "{}", row.first);
            assert!(!never || row.peer_sees != PeerSees::ThisCode, "{}", row.first);
        }
    }

    #[test]
    fn a_code_without_meaning_is_sent_in_error_alone() {
        for row in rows() {
            let meaningless = matches!(row.on_wire, OnWire::Unassigned | OnWire::Invalid);
            assert_eq!(meaningless, row.sender == Sender::InError, "{}", row.first);
            assert_eq!(meaningless, row.peer_sees == PeerSees::Error, "{}", row.first);
        }
    }

    #[test]
    fn names_are_the_registry_s() {
        assert_eq!(CloseCode(1001).name(), Some("Going Away"));
        assert_eq!(CloseCode(1006).name(), Some("Abnormal Closure"));
        assert_eq!(CloseCode(3003).name(), Some("Forbidden"));
        assert_eq!(CloseCode(3001).name(), None);
        assert_eq!(CloseCode(4001).name(), None);
    }

    #[test]
    fn unknown_codes_take_their_category_from_their_range() {
        assert_eq!(CloseCode(0).category(), Category::Invalid);
        assert_eq!(CloseCode(999).category(), Category::Invalid);
        assert_eq!(CloseCode(1016).category(), Category::Reserved);
        assert_eq!(CloseCode(2999).category(), Category::Reserved);
        assert_eq!(CloseCode(3999).category(), Category::Library);
        assert_eq!(CloseCode(4000).category(), Category::Private);
        assert_eq!(CloseCode(4999).category(), Category::Private);
        assert_eq!(CloseCode(5000).category(), Category::Invalid);
        assert_eq!(CloseCode(65_535).category(), Category::Invalid);
    }

    #[test]
    fn only_a_number_of_sixteen_bits_parses() {
        assert_eq!("1006".parse(), Ok(CloseCode(1006)));
        assert_eq!("65535".parse(), Ok(CloseCode(65_535)));
        assert_eq!("65536".parse::<CloseCode>(), Err(NotACloseCode));
        assert_eq!("-1".parse::<CloseCode>(), Err(NotACloseCode));
        assert_eq!("normal".parse::<CloseCode>(), Err(NotACloseCode));
    }
}
