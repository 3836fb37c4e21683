//! Reads reports back: JSON documents and NDJSON lines, connection by connection.

use super::escape::terminal;
use super::model::{Connection, Input, Line, SCHEMA, Summary};
use super::numbers::name_files;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::BufRead;

/// What a report holds beside its connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rest {
    /// The inputs.
    pub inputs: Vec<Input>,
    /// Totals; those of connections, where several runs have written one file, are the first one's.
    pub summary: Summary,
    /// Oddities by name.
    pub anomalies: BTreeMap<String, u64>,
    /// Connections that a live capture took back, by their number: their true ends follow them.
    pub revised: BTreeSet<u64>,
    /// The totals were there; NDJSON of a program that was killed ends without.
    pub is_whole: bool,
}

/// Hands each connection of the report in `input` to `take`, and gives the rest.
///
/// # Errors
/// It is no report, of another version of the schema, or can't be read; or `take` fails. One that was cut short is read as
/// far as it goes.
pub fn read(
    mut input: impl BufRead,
    take: &mut dyn FnMut(Connection<'static>) -> std::io::Result<()>,
) -> std::io::Result<Rest> {
    if is_capture(input.fill_buf()?) {
        let reason = "this is a capture, no report: `wsclose --format json` makes one of it";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    let start: Vec<u8> =
        input.fill_buf()?.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(7).collect();
    if start == b"{\"type\"" {
        return read_lines(input, take);
    }
    read_document(input, take)
}

fn read_document(
    input: impl BufRead,
    take: &mut dyn FnMut(Connection<'static>) -> std::io::Result<()>,
) -> std::io::Result<Rest> {
    let (mut rest, mut is_known, mut failure) = (Rest::default(), false, None);
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    let document = Document { take, failure: &mut failure, rest: &mut rest, is_known: &mut is_known };
    let read = deserializer.deserialize_map(document).and_then(|()| deserializer.end());
    match (failure, read) {
        (Some(failure), _) => return Err(failure),
        // Of a program that was killed: what there is counts.
        (None, Err(error)) if error.is_eof() && is_known => rest.is_whole = false,
        (None, read) => read?,
    }
    rest.inputs.iter_mut().for_each(plain_times);
    Ok(rest)
}

/// How pcap (each byte order, with microseconds or nanoseconds) and pcapng begin, and gzip, zstd and lz4.
const CAPTURES: [&[u8]; 8] = [
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x0a\x0d\x0d\x0a",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
];

/// Is it rather a capture, perhaps a compressed one, that begins with `start`?
fn is_capture(start: &[u8]) -> bool {
    CAPTURES.iter().any(|magic| start.starts_with(magic))
}

/// Longest line of a report that is read, in bytes: none comes near it.
const LINE_MAX: u64 = 256 << 20;

/// Reads the next line, of at most `most` bytes, in place of what `text` holds. False: there is none.
fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>, most: u64) -> std::io::Result<bool> {
    text.clear();
    let read = std::io::Read::take(input, most).read_until(b'\n', text)?;
    if read as u64 == most && text.last() != Some(&b'\n') {
        return Err(std::io::Error::other(format!("a line of more than {most} bytes, which no report has")));
    }
    Ok(read > 0)
}

fn read_lines(
    mut input: impl BufRead,
    take: &mut dyn FnMut(Connection<'static>) -> std::io::Result<()>,
) -> std::io::Result<Rest> {
    let (mut runs, mut text, mut cut) = (Runs::default(), Vec::new(), None);
    while read_line(&mut input, &mut text, LINE_MAX)? {
        let line = serde_json::from_slice::<Line<'static>>(text.trim_ascii());
        let is_blank = text.trim_ascii().is_empty();
        match line {
            _ if is_blank => {}
            Ok(line) if cut.is_none() || matches!(line, Line::Begin { .. }) => {
                runs.has_lost |= cut.take().is_some();
                runs.take(line, take)?;
            }
            // The last line of a program that was killed: nothing follows it, or another run.
            Err(error) if error.is_eof() && cut.is_none() => cut = Some(error),
            Ok(_) => return Err(cut.map_or_else(|| std::io::ErrorKind::InvalidData.into(), Into::into)),
            Err(error) => return Err(error.into()),
        }
    }
    runs.has_lost |= cut.is_some();
    Ok(runs.into_rest())
}

/// The runs of a live capture that have written one file, each behind the other. The first one's numbers stay.
#[derive(Default)]
struct Runs {
    rest: Rest,
    /// Numbers given out before the run that is read, the last one of its own, and the largest given out.
    before: u64,
    last: u64,
    given: u64,
    /// Inputs of the run that is read, as far as known.
    inputs: Vec<Input>,
    /// A run before this one has no totals.
    has_lost: bool,
    /// The totals have come behind the last connection, and behind the last begin.
    has_totals: bool,
    is_open: bool,
}

impl Runs {
    fn take(
        &mut self,
        line: Line<'static>,
        take: &mut dyn FnMut(Connection<'static>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        match line {
            Line::Begin { schema, inputs, .. } => {
                known(&schema).map_err(std::io::Error::other)?;
                (self.inputs, self.is_open) = (inputs, true);
            }
            Line::Connection(mut connection) => {
                plain_words(&mut connection);
                self.number(&mut connection);
                take(*connection)?;
            }
            // It has been handed on; only who reads twice can leave it out.
            Line::Revised { id, .. } => _ = self.rest.revised.insert(id.saturating_add(self.before)),
            Line::Stats(_) => {}
            Line::Summary { inputs, summary, anomalies } => self.add(inputs, summary, &anomalies),
        }
        Ok(())
    }

    /// Numbers a connection behind those of the runs before: each run counts from 1.
    fn number(&mut self, connection: &mut Connection<'static>) {
        if connection.id <= self.last {
            self.has_lost |= !self.has_totals;
            self.before = self.given;
        }
        self.has_totals = false;
        self.last = connection.id;
        connection.id = connection.id.saturating_add(self.before);
        connection.front_leg = connection.front_leg.map(|id| id.saturating_add(self.before));
        self.given = connection.id;
        if !self.rest.inputs.is_empty() {
            name_files(connection, self.rest.inputs.len());
        }
    }

    fn add(&mut self, mut inputs: Vec<Input>, mut summary: Summary, anomalies: &BTreeMap<String, u64>) {
        let rest = &mut self.rest;
        let listed = summary.findings.iter_mut().flat_map(|finding| &mut finding.connections);
        listed.for_each(|id| *id = id.saturating_add(self.before));
        if rest.inputs.is_empty() {
            rest.summary = summary;
        } else {
            summary.name_files(rest.inputs.len());
            rest.summary.merge(summary, |id| id);
        }
        rest.inputs.append(&mut inputs);
        for (name, count) in anomalies {
            let sum = rest.anomalies.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.inputs.clear();
        (self.has_totals, self.is_open) = (true, false);
    }

    fn into_rest(mut self) -> Rest {
        self.rest.is_whole = self.has_totals && !self.is_open && !self.has_lost;
        self.rest.inputs.append(&mut self.inputs);
        self.rest.inputs.iter_mut().for_each(plain_times);
        self.rest
    }
}

/// Makes the words that are printed as they stand fit for a terminal: a report may come from anywhere. Free text is escaped
/// where it is printed.
fn plain_words(connection: &mut Connection<'static>) {
    let Connection { verdict, endpoints, evidence, .. } = connection;
    let may = [&mut verdict.cause, &mut verdict.closed_by, &mut verdict.blind];
    let words = [&mut verdict.label, &mut verdict.kind].into_iter().chain(may.into_iter().flatten());
    words.chain(evidence.iter_mut().map(|packet| &mut packet.from)).for_each(plain);
    for end in [&mut endpoints.client, &mut endpoints.server] {
        let library = end.reported_as.iter_mut().map(|said| &mut said.certainty);
        std::iter::once(&mut end.certainty).chain(library).for_each(plain);
    }
}

fn plain_times(input: &mut Input) {
    input.first_packet_at.iter_mut().chain(&mut input.last_packet_at).for_each(plain_word);
}

fn plain(word: &mut Cow<'static, str>) {
    if !is_plain(word) {
        *word = terminal(word).into();
    }
}

fn plain_word(word: &mut String) {
    if !is_plain(word) {
        *word = terminal(word);
    }
}

fn is_plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

fn known(schema: &str) -> Result<(), String> {
    let is_known = schema == SCHEMA;
    if is_known { Ok(()) } else { Err(format!("the report's schema is {schema:?}; {SCHEMA} is known")) }
}

/// Reads one document.
struct Document<'a> {
    take: &'a mut dyn FnMut(Connection<'static>) -> std::io::Result<()>,
    failure: &'a mut Option<std::io::Error>,
    /// What has been read beside the connections.
    rest: &'a mut Rest,
    /// It has said that it is a report of this schema.
    is_known: &'a mut bool,
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a report of wsclose")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Document { take, failure, rest, is_known } = self;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "schema" => {
                    let found: String = map.next_value()?;
                    known(&found).map_err(A::Error::custom)?;
                    *is_known = true;
                }
                "connections" => {
                    map.next_value_seed(Connections { take, failure })?;
                }
                "inputs" => rest.inputs = map.next_value()?,
                "summary" => (rest.summary, rest.is_whole) = (map.next_value()?, true),
                "anomalies" => rest.anomalies = map.next_value()?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        if *is_known { Ok(()) } else { Err(A::Error::missing_field("schema")) }
    }
}

/// Reads the list of connections, one at a time.
struct Connections<'a> {
    take: &'a mut dyn FnMut(Connection<'static>) -> std::io::Result<()>,
    failure: &'a mut Option<std::io::Error>,
}

impl<'de> DeserializeSeed<'de> for Connections<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Connections<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of connections")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(mut connection) = list.next_element::<Owned>()? {
            plain_words(&mut connection.0);
            if let Err(error) = (self.take)(connection.0) {
                *self.failure = Some(error);
                return Err(A::Error::custom("not taken"));
            }
        }
        Ok(())
    }
}

/// A connection that borrows nothing.
#[derive(Deserialize)]
#[serde(transparent)]
struct Owned(Connection<'static>);

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(text: &str) -> std::io::Result<Rest> {
        read(text.as_bytes(), &mut |_| Ok(()))
    }

    #[test]
    fn a_line_without_end_is_read_up_to_its_limit() {
        let (mut text, mut lines) = (Vec::new(), &b"ab\nabcd\nabcde\n"[..]);
        assert!(read_line(&mut lines, &mut text, 5).unwrap() && text == b"ab\n");
        assert!(read_line(&mut lines, &mut text, 5).unwrap() && text == b"abcd\n");
        assert!(read_line(&mut lines, &mut text, 5).is_err());
        assert!(!read_line(&mut &b""[..], &mut text, 5).unwrap());
    }

    #[test]
    fn what_is_no_report_or_one_of_another_schema_is_refused() {
        for text in ["", "[]", "{}", "{\"schema\":\"other/1\"}", "{\"schema\":\"wsclose.rep", "nonsense"] {
            assert!(rest(text).is_err(), "{text}");
        }
        let other = "{\"type\":\"begin\",\"schema\":\"x/2\",\"generator\":{\"name\":\"\",\"version\":\"\"},\"inputs\":[]}";
        assert!(rest(other).unwrap_err().to_string().contains("x/2"));
    }

    #[test]
    fn a_document_that_was_cut_short_is_read_as_far_as_it_goes() {
        let whole = "{\"schema\":\"wsclose.report/1\",\"connections\":[],\"anomalies\":{\"tcp_gap\":2}}";
        for cut in 30..whole.len() {
            let rest = rest(whole.get(..cut).unwrap()).unwrap();
            assert!(!rest.is_whole, "{cut}");
            assert_eq!(rest.anomalies.is_empty(), cut < whole.len() - 1, "{cut}");
        }
        // What follows a cut is no report any more.
        assert!(rest("{\"schema\":\"wsclose.report/1\",\"connections\":[} more").is_err());
    }

    #[test]
    fn a_capture_is_called_one() {
        for start in CAPTURES {
            let error = read(start, &mut |_| Ok(())).unwrap_err().to_string();
            assert_eq!(error, "this is a capture, no report: `wsclose --format json` makes one of it");
        }
    }

    #[test]
    fn lines_without_their_last_are_read_and_said_to_be_no_whole() {
        let begin = "{\"type\":\"begin\",\"schema\":\"wsclose.report/1\",\"generator\":{\"name\":\"\",\"version\":\"\"},\"inputs\":[]}";
        assert!(!rest(begin).unwrap().is_whole);
        assert!(!rest(&format!("{begin}\n{{\"type\":\"conn")).unwrap().is_whole);
    }
}
