//! `wsclose explain --format json`.

use super::compare::Comparison;
use super::words::{KEY_LOG_RECIPES, KeyLogRecipe, Topic, WORDS, Word};
use crate::anomaly::Anomaly;
use crate::diagnosis::finding::Id;
use crate::websocket::close_code::{CloseCode, KnownUse};
use serde::Serialize;
use std::io::{self, Write};

/// The document: schema `wsclose.explain/1`.
#[derive(Serialize)]
struct Document {
    schema: &'static str,
    codes: Vec<Explanation>,
    comparison: Option<CodeComparison>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    words: Vec<&'static Word>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnoses: Vec<Name>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    anomalies: Vec<Name>,
    /// How to take a key log, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_log: Option<&'static [KeyLogRecipe]>,
}

/// A name that reports use.
#[derive(Serialize)]
struct Name {
    name: &'static str,
    meaning: &'static str,
    /// What to do; absent where nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

impl From<Id> for Name {
    fn from(id: Id) -> Name {
        Name { name: id.name(), meaning: id.meaning().trim(), fix: id.advice() }
    }
}

impl From<Anomaly> for Name {
    fn from(anomaly: Anomaly) -> Name {
        Name { name: anomaly.name(), meaning: anomaly.meaning().trim(), fix: None }
    }
}

/// One code, with the attributes both as stable names and as text.
#[derive(Serialize)]
struct Explanation {
    code: u16,
    /// Null for a code without an entry of its own.
    name: Option<&'static str>,
    /// The numbers that the explanation holds for: the code itself, or its range.
    range: [u16; 2],
    category: &'static str,
    meaning: &'static str,
    appears: &'static str,
    fix: &'static str,
    applies_when: &'static str,
    may_be_sent: bool,
    on_wire: Attribute,
    sender: Attribute,
    peer_sees: Attribute,
    reconnect: Attribute,
    reference: &'static str,
    known_uses: Vec<&'static KnownUse>,
}

#[derive(Serialize)]
struct Attribute {
    value: &'static str,
    text: &'static str,
}

#[derive(Serialize)]
struct CodeComparison {
    codes: [u16; 2],
    #[serde(flatten)]
    comparison: Comparison,
}

impl Explanation {
    fn new(code: CloseCode) -> Explanation {
        let info = code.info();
        Explanation {
            code: code.0,
            name: code.name(),
            range: [info.first, info.last],
            category: info.category.name(),
            meaning: info.meaning,
            appears: info.appears,
            fix: info.fix,
            applies_when: info.applies_when,
            may_be_sent: code.is_valid_on_wire(),
            on_wire: Attribute { value: info.on_wire.name(), text: info.on_wire.text() },
            sender: Attribute { value: info.sender.name(), text: info.sender.text() },
            peer_sees: Attribute { value: info.peer_sees.name(), text: info.peer_sees.text() },
            reconnect: Attribute { value: info.reconnect.name(), text: info.reconnect.text() },
            reference: info.reference,
            known_uses: code.known_uses().collect(),
        }
    }
}

/// Explains `topics` as one JSON document; with two different codes, their differences as well.
///
/// # Errors
/// Whatever `out` refuses.
pub fn write_json(out: &mut impl Write, topics: &[Topic]) -> io::Result<()> {
    let comparison = match topics {
        [Topic::Code(first), Topic::Code(second)] if first != second => {
            Some(CodeComparison { codes: [first.0, second.0], comparison: Comparison::new(*first, *second) })
        }
        _ => None,
    };
    let mut document = Document {
        schema: "wsclose.explain/1",
        codes: Vec::new(),
        comparison,
        words: Vec::new(),
        diagnoses: Vec::new(),
        anomalies: Vec::new(),
        key_log: None,
    };
    for topic in topics {
        match topic {
            Topic::Code(code) => document.codes.push(Explanation::new(*code)),
            Topic::Word(word) => document.words.push(word),
            Topic::Diagnosis(id) => document.diagnoses.push((*id).into()),
            Topic::Anomaly(anomaly) => document.anomalies.push((*anomaly).into()),
            Topic::KeyLog => document.key_log = Some(KEY_LOG_RECIPES),
            Topic::List => {
                document.words.extend(WORDS);
                document.diagnoses.extend(Id::ALL.iter().map(|id| Name::from(*id)));
                document.anomalies.extend(Anomaly::ALL.iter().map(|one| Name::from(*one)));
            }
        }
    }
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document(codes: &[u16]) -> Value {
        let topics: Vec<Topic> = codes.iter().copied().map(|code| Topic::Code(CloseCode(code))).collect();
        let mut out = Vec::new();
        write_json(&mut out, &topics).unwrap();
        assert_eq!(out.last(), Some(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn one_code_has_its_row_and_no_comparison() {
        let document = document(&[1006]);
        assert_eq!(document["schema"], "wsclose.explain/1");
        assert_eq!(document["comparison"], Value::Null);
        let code = &document["codes"][0];
        assert_eq!(code["code"], 1006);
        assert_eq!(code["name"], "Abnormal Closure");
        assert_eq!(code["category"], "abnormal");
        assert_eq!(code["may_be_sent"], false);
        assert_eq!(code["on_wire"]["value"], "local_only");
        assert_eq!(code["reconnect"]["value"], "backoff");
    }

    #[test]
    fn words_and_key_logs_have_fields_of_their_own() {
        let topics: Vec<Topic> =
            ["timeout", "keylog", "no-close", "tcp_gap"].map(|topic| topic.parse().unwrap()).into();
        let mut out = Vec::new();
        write_json(&mut out, &topics).unwrap();
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["codes"], json!([]));
        assert_eq!(document["words"][0]["word"], "timeout");
        assert_eq!(document["diagnoses"][0]["name"], "no-close");
        assert!(document["anomalies"][0]["meaning"].as_str().unwrap().starts_with("Bytes that the receiver"));
        assert_eq!(document["key_log"].as_array().unwrap().len(), KEY_LOG_RECIPES.len());
    }

    #[test]
    fn two_codes_are_compared() {
        let document = document(&[1001, 1006]);
        assert_eq!(document["comparison"]["codes"], json!([1001, 1006]));
        assert!(document["comparison"]["note"].as_str().unwrap().starts_with("1001 is a farewell"));
        let attributes: Vec<_> = document["comparison"]["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|difference| difference["attribute"].as_str().unwrap())
            .collect();
        assert_eq!(attributes, ["category", "on_wire", "sender", "peer_sees", "reconnect"]);
    }

    #[test]
    fn an_unknown_code_has_no_name_but_its_range() {
        let code = &document(&[4401])["codes"][0];
        assert_eq!(code["name"], Value::Null);
        assert_eq!(code["range"], json!([4000, 4999]));
        assert_eq!(
            code["known_uses"],
            json!([{ "code": 4401, "name": "Unauthorized", "subprotocol": "graphql-transport-ws" }])
        );
    }
}
