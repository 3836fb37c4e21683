//! The words of a verdict that are no codes, and how to take a key log.

use crate::anomaly::Anomaly;
use crate::diagnosis::finding::Id;
use crate::websocket::close_code::CloseCode;
use serde::Serialize;
use std::str::FromStr;

/// A word of a verdict: a kind, a cause, who began it, or what hid the end.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Word {
    /// The word as reports have it.
    pub word: &'static str,
    /// What it is a word for: `kind`, `cause`, `closed_by`, `blind` or `clean` of a verdict; `confidence` of a diagnosis;
    /// `teardown` of a connection.
    pub field: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The packets that show it.
    pub evidence: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

/// One way to make a program write a TLS key log.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct KeyLogRecipe {
    /// The program or language.
    pub of: &'static str,
    /// A command, or a line of code.
    pub how: &'static str,
}

/// Something that can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A close code.
    Code(CloseCode),
    /// A word of a verdict.
    Word(&'static Word),
    /// What a diagnosis or a finding says.
    Diagnosis(Id),
    /// An oddity.
    Anomaly(Anomaly),
    /// How to take a key log, so that wsclose can read what is encrypted.
    KeyLog,
    /// All words there are.
    List,
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Topic, String> {
        let named = match text {
            "keylog" => Some(Topic::KeyLog),
            "list" => Some(Topic::List),
            _ => word(text),
        };
        named.map_or_else(|| text.parse().map(Topic::Code).map_err(|_| unknown(text)), Ok)
    }
}

/// A word that reports use.
fn word(text: &str) -> Option<Topic> {
    // A frame's name is written in capitals; reports have it in small letters.
    let is_named = |word: &&Word| {
        word.word == text || (word.field == "teardown" && word.word.eq_ignore_ascii_case(text))
    };
    let of_verdict = || WORDS.iter().find(is_named).map(Topic::Word);
    let of_diagnosis = || Id::ALL.iter().find(|id| id.name() == text).map(|id| Topic::Diagnosis(*id));
    let anomaly = || Anomaly::ALL.iter().find(|one| one.name() == text).map(|one| Topic::Anomaly(*one));
    of_verdict().or_else(of_diagnosis).or_else(anomaly)
}

/// Why `text` is no topic, with the word that comes closest where one does.
fn unknown(text: &str) -> String {
    let words = WORDS.iter().map(|word| word.word);
    let names = Id::ALL.iter().map(|id| id.name()).chain(Anomaly::ALL.iter().map(|one| one.name()));
    let all = words.chain(names).chain(["keylog", "list"]);
    let near = all.map(|word| (strsim::jaro(word, text), word)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match near {
        Some((likeness, word)) if likeness > NEAR => format!("; did you mean {word}?"),
        _ => String::new(),
    };
    format!(
        "expected a close code from 0 to 65535, a word of a report (rst, idle-limit, tcp_gap, ...) or keylog{hint} \
         `wsclose explain list` has them all"
    )
}

/// Likeness from which a word may have been meant; clap takes the same.
const NEAR: f64 = 0.7;

impl Word {
    /// The field of a connection that holds it: `verdict.cause`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.field {
            "confidence" => "diagnosis.confidence".to_owned(),
            "teardown" => "teardown.kind".to_owned(),
            field => format!("verdict.{field}"),
        }
    }
}

/// Every kind, every cause, who began it, everything that may hide an end, and words that stand beside a verdict.
pub static WORDS: &[Word] = &[
    Word {
        word: "coded",
        field: "kind",
        meaning: "A Close frame was on the wire; the label is the code of the first one.",
        evidence: "a Close frame that its sender sent before it had received the other side's FIN or RST (over HTTP/2 \
                   END_STREAM or RST_STREAM)",
        fix: "explain the code itself",
    },
    Word {
        word: "abnormal",
        field: "kind",
        meaning: "The connection was open, it ended, and no Close was sent: applications report 1006.",
        evidence: "the end of TCP or of the HTTP/2 stream, and all bytes of both sides before it",
        fix: "explain its cause: fin, rst or timeout",
    },
    Word {
        word: "refused",
        field: "kind",
        meaning: "The opening handshake failed: there never was a WebSocket. Browsers report it as 1006.",
        evidence: "an answer other than a valid 101 (over HTTP/2: 2xx), an end of TCP or of the HTTP/2 stream before the \
                   answer, or a SYN refused or unanswered",
        fix: "read the status: 401 and 403 are authentication or Origin, 404 the path, 400 and 426 a proxy that drops \
              the Upgrade header, 502 to 504 the server behind it; without an answer, see that the server listens \
              and that no firewall stands between",
    },
    Word {
        word: "open",
        field: "kind",
        meaning: "The capture ended, and the connection had not.",
        evidence: "no Close, no FIN, no reset, no end of the HTTP/2 stream, and no side that had stopped answering",
        fix: "capture longer",
    },
    Word {
        word: "unknown",
        field: "kind",
        meaning: "The connection ended, but a Close may have passed unseen, so that no code can be claimed.",
        evidence: "what hid it stands in verdict.blind: gap, encrypted, truncated, one-sided, started-late, \
                   desynchronized, evicted or dropped",
        fix: "explain that word",
    },
    Word {
        word: "fin",
        field: "cause",
        meaning: "One end closed TCP in order but without a closing handshake: the program closed the socket, \
                  exited, crashed or was killed. On the wire these look alike. Over HTTP/2: it ended the stream \
                  (END_STREAM), or gave up the connection with all its streams (GOAWAY).",
        evidence: "a FIN, END_STREAM or GOAWAY, and no Close before it",
        fix: "look at the end that sent it, at that time: process exit, exception, deployment, idle timeout of \
              a proxy. Close with a code, and on shutdown send 1001 or 1012 to every client",
    },
    Word {
        word: "rst",
        field: "cause",
        meaning: "TCP was reset: a program aborted, or closed or died with data unread, or something between the \
                  ends cut the connection. Over HTTP/2: an end cut the stream off (RST_STREAM), as browsers do \
                  when a page is left.",
        evidence: "a reset that its receiver must accept, or RST_STREAM, and no Close before it",
        fix: "see who sent it: verdict.closed_by is network where it came from neither end, and then a firewall, \
              NAT or load balancer is to be asked; else look at the process that sent it",
    },
    Word {
        word: "timeout",
        field: "cause",
        meaning: "One end, or the path to it, had stopped answering: a cable pulled, a host asleep, a NAT or \
                  firewall that forgot the connection. What the other end did then is only how it gave up.",
        evidence: "the same bytes sent at least three times over a second or more, or four times, or as many keepalive probes, without any answer",
        fix: "send WebSocket pings more often than the shortest idle limit on the path, and reconnect when a pong \
              stays out",
    },
    Word {
        word: "network",
        field: "closed_by",
        meaning: "Neither end began the end: a path or an end that stopped answering, or a reset that neither end sent.",
        evidence: "bytes sent again and again without an answer; or a reset that came over another way than its \
                   sender's packets, or whose sender went on sending",
        fix: "explain the cause, timeout or rst; ask who runs the firewalls, NATs and load balancers on the path",
    },
    Word {
        word: "proxy",
        field: "closed_by",
        meaning: "A proxy began the end: it ended the connections on both of its sides, and neither client nor server \
                  had begun to.",
        evidence: "both legs in one capture, the one before it ended by its server's side, the one behind it by its \
                   client's",
        fix: "see the proxy's log at that time: an idle limit, a reload, a restart",
    },
    Word {
        word: "both",
        field: "closed_by",
        meaning: "Both ends began at once: their Close frames crossed.",
        evidence: "two Close frames, each sent before its sender had received the other",
        fix: "nothing; each application is told the code that the other one sent",
    },
    Word {
        word: "client",
        field: "closed_by",
        meaning: "The client began the end: the side that opened the connection.",
        evidence: "its Close before any of the server's; without a Close its FIN, reset, END_STREAM or GOAWAY first",
        fix: "see the client's log at that time, or that of a proxy that stands in its place on this leg",
    },
    Word {
        word: "server",
        field: "closed_by",
        meaning: "The server began the end: the side that accepted the connection.",
        evidence: "its Close before any of the client's; without a Close its FIN, reset, END_STREAM or GOAWAY first",
        fix: "see the server's log at that time, or that of a proxy that stands in its place on this leg",
    },
    Word {
        word: "gap",
        field: "blind",
        meaning: "The capture lacks packets where a Close may have stood.",
        evidence: "bytes that their receiver acknowledged and the capture does not hold",
        fix: "capture with a larger buffer (tcpdump -B) or a capture filter",
    },
    Word {
        word: "encrypted",
        field: "blind",
        meaning: "The bytes are encrypted, and the keys are missing. verdict.probable holds what lengths and times \
                  allow to be said; a code can't be told from them.",
        evidence: "TLS records without a matching line in a key log",
        fix: "take a key log (wsclose explain keylog), or capture behind the TLS terminator",
    },
    Word {
        word: "truncated",
        field: "blind",
        meaning: "The snaplen cut packets where a Close may have stood.",
        evidence: "packets shorter in the capture than on the wire",
        fix: "capture whole packets (tcpdump -s 0)",
    },
    Word {
        word: "one-sided",
        field: "blind",
        meaning: "Only one direction was captured.",
        evidence: "no packet of one side, or none behind the other's FIN",
        fix: "capture on one of the ends, or where both directions pass",
    },
    Word {
        word: "started-late",
        field: "blind",
        meaning: "The capture began in the midst of a frame, or behind all that a side sent but pings and pongs: a Close may have gone before.",
        evidence: "no opening handshake, and no frame boundary before the end",
        fix: "start the capture earlier",
    },
    Word {
        word: "desynchronized",
        field: "blind",
        meaning: "Frame boundaries were lost and not found again before the end.",
        evidence: "bytes behind a hole, or sent twice with different content, that are no frames",
        fix: "as for gap",
    },
    Word {
        word: "evicted",
        field: "blind",
        meaning: "The connection was dropped to keep memory within its limits.",
        evidence: "the anomaly flow_evicted",
        fix: "analyse fewer connections in one run, or with --filter",
    },
    Word {
        word: "dropped",
        field: "blind",
        meaning: "Live capture lost packets while the connection ended.",
        evidence: "drop counters of the kernel and the interface, in `stats` lines",
        fix: "a larger buffer (wsclose live --buffer), a filter",
    },
    Word {
        word: "unanswered",
        field: "clean",
        meaning: "One side sent a Close, and no Close of the other was seen: verdict.clean is false.",
        evidence: "one Close frame, then the end of TCP or of the stream, or nothing more",
        fix: "let the peer answer a Close before it drops the connection, and the sender wait for the answer",
    },
    Word {
        word: "certain",
        field: "confidence",
        meaning: "The packets show it.",
        evidence: "the packets that the diagnosis or finding names",
        fix: "follow its advice",
    },
    Word {
        word: "likely",
        field: "confidence",
        meaning: "Nothing else explains the packets as well.",
        evidence: "the packets that the diagnosis or finding names",
        fix: "follow its advice; the logs of the end it names can confirm it",
    },
    Word {
        word: "possible",
        field: "confidence",
        meaning: "The packets allow it; they allow other causes too.",
        evidence: "the packets that the diagnosis or finding names",
        fix: "see the logs of the end it names before you change anything",
    },
    Word {
        word: "GOAWAY",
        field: "teardown",
        meaning: "HTTP/2's frame by which one end gives up the whole connection. With an error code other than NO_ERROR, or \
                  for streams beyond the last that it names, the streams end with it (RFC 9113 §6.8).",
        evidence: "the frame, with its error code (teardown.kind goaway, teardown.error)",
        fix: "see the log of the end that sent it for that error code; with NO_ERROR it drains: open new WebSockets on \
              another connection",
    },
];

/// How to make programs write a key log. Whoever has it can read the traffic.
pub static KEY_LOG_RECIPES: &[KeyLogRecipe] = &[
    KeyLogRecipe {
        of: "Chromium",
        how: "chromium --ssl-key-log-file=keys.log (no other instance may be running)",
    },
    KeyLogRecipe { of: "Firefox", how: "SSLKEYLOGFILE=keys.log firefox" },
    KeyLogRecipe { of: "Node", how: "node --tls-keylog=keys.log app.js (as a client and as a server)" },
    KeyLogRecipe {
        of: "Python",
        how: "SSLKEYLOGFILE=keys.log python app.py; for a context made by hand: context.keylog_filename = \"keys.log\"",
    },
    KeyLogRecipe { of: "curl", how: "SSLKEYLOGFILE=keys.log curl wss://example.org/" },
    KeyLogRecipe {
        of: "Java",
        how: "java -javaagent:extract-tls-secrets.jar=keys.log -jar app.jar (an agent to be had from its project)",
    },
    KeyLogRecipe { of: "Go", how: "tls.Config{KeyLogWriter: file}" },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::filter;

    #[test]
    fn every_word_of_a_verdict_is_explained_and_no_other() {
        let listed = |field: &str| -> Vec<&str> {
            WORDS.iter().filter(|word| word.field == field).map(|word| word.word).collect()
        };
        assert_eq!(listed("kind"), ["coded", "abnormal", "refused", "open", "unknown"]);
        assert!(filter::KINDS.iter().all(|word| listed("kind").contains(word)));
        assert!(filter::CAUSES.iter().all(|word| listed("cause").contains(word)));
        assert!(filter::BLINDS.iter().all(|word| listed("blind").contains(word)));
        // `unknown` has a word already, as a kind.
        let ends = || filter::CLOSED_BY.iter().filter(|word| **word != "unknown");
        assert!(ends().all(|word| listed("closed_by").contains(word)));
        assert_eq!(listed("clean"), ["unanswered"]);
        assert_eq!(listed("confidence"), ["certain", "likely", "possible"]);
        assert_eq!(listed("teardown"), ["GOAWAY"]);
        let others = filter::KINDS.len() + filter::CAUSES.len() + filter::BLINDS.len() + 5;
        assert_eq!(WORDS.len(), others + ends().count());
    }

    #[test]
    fn a_topic_is_a_code_a_word_or_keylog() {
        assert_eq!("1006".parse(), Ok(Topic::Code(CloseCode(1006))));
        assert_eq!("keylog".parse(), Ok(Topic::KeyLog));
        assert!(matches!("goaway".parse(), Ok(Topic::Word(word)) if word.place() == "teardown.kind"));
        assert!(matches!("rst".parse(), Ok(Topic::Word(word)) if word.field == "cause"));
        for wrong in ["", "RST", "70000", "-1", "closed"] {
            let error = wrong.parse::<Topic>().unwrap_err();
            assert!(error.contains("keylog") && error.contains("explain list"), "{wrong}: {error}");
        }
        let near = "idle_limit".parse::<Topic>().unwrap_err();
        assert!(near.contains("did you mean idle-limit?"), "{near}");
    }

    #[test]
    fn every_name_that_a_report_prints_is_a_topic_of_its_own() {
        for id in Id::ALL {
            assert_eq!(id.name().parse(), Ok(Topic::Diagnosis(*id)));
        }
        for anomaly in Anomaly::ALL {
            assert_eq!(anomaly.name().parse(), Ok(Topic::Anomaly(*anomaly)));
        }
    }
}
