//! How each connection ended, summed up so that a million ends are compared one by one without a list of them.
//!
//! Each part of an end is hashed together with its connection's addresses, and the hashes are added: the sum is the same
//! in whatever order the connections come, and another one as soon as two of them have changed places.

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// One connection's end, in the words of the report.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// `verdict.label`.
    pub label: &'a str,
    /// `verdict.cause`.
    pub cause: Option<&'a str>,
    /// `verdict.closed_by`.
    pub closed_by: Option<&'a str>,
}

/// How many connections have it, and the sum of its hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub count: u64,
    pub hashes: u64,
}

/// The ends of all connections, each part summed up by itself: where a report is wrong, that names what is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// The addresses alone.
    pub connection: Sum,
    pub label: Sum,
    pub cause: Sum,
    /// But for what is open or timed out: nobody closed those.
    pub closed_by: Sum,
}

impl Ends {
    pub fn add(&mut self, end: End<'_>) {
        let connection = hash(hash(0, &bytes(end.client)), &bytes(end.server));
        self.connection.add(connection, "");
        self.label.add(connection, end.label);
        if let Some(cause) = end.cause {
            self.cause.add(connection, cause);
        }
        let is_closed = end.label != "open" && end.cause != Some("timeout");
        if let Some(closed_by) = end.closed_by.filter(|_| is_closed) {
            self.closed_by.add(connection, closed_by);
        }
    }

    /// The parts by name.
    pub fn parts(&self) -> [(&'static str, Sum); 4] {
        [
            ("addresses", self.connection),
            ("label", self.label),
            ("cause", self.cause),
            ("closed_by", self.closed_by),
        ]
    }
}

impl Sum {
    fn add(&mut self, connection: u64, text: &str) {
        self.count += 1;
        self.hashes = self.hashes.wrapping_add(hash(connection, text.as_bytes()));
    }
}

fn bytes(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(address.port().to_be_bytes());
    bytes
}

/// `bytes` mixed into `state`, by the steps of SplitMix64 (Steele, Lea, Flood 2014): the same on every machine and with
/// every version, as it is stored.
fn hash(state: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    words.chain([bytes.len() as u64]).fold(state, |state, word| {
        let mut mixed = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// A connection of the report, as far as it is compared.
#[derive(Deserialize)]
struct Row {
    client: Address,
    server: Address,
    verdict: Verdict,
}

#[derive(Deserialize)]
struct Address {
    address: IpAddr,
    port: u16,
}

#[derive(Deserialize)]
struct Verdict {
    label: String,
    cause: Option<String>,
    closed_by: Option<String>,
}

impl Address {
    fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Reads a report of `--format json`: gives each connection's end to `each` as it comes, without holding it, and returns
/// the `summary`.
pub fn read_report<S, F>(report: impl io::Read, each: F) -> serde_json::Result<S>
where
    S: for<'de> Deserialize<'de> + Default,
    F: FnMut(End<'_>),
{
    let mut report = serde_json::Deserializer::from_reader(report);
    let summary = report.deserialize_map(Document { each, summary: S::default() })?;
    report.end()?;
    Ok(summary)
}

struct Document<S, F> {
    each: F,
    summary: S,
}

impl<'de, S: Deserialize<'de>, F: FnMut(End<'_>)> Visitor<'de> for Document<S, F> {
    type Value = S;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<S, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "connections" => map.next_value_seed(Rows(&mut self.each))?,
                "summary" => self.summary = map.next_value()?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(self.summary)
    }
}

struct Rows<'f, F>(&'f mut F);

impl<'de, F: FnMut(End<'_>)> serde::de::DeserializeSeed<'de> for Rows<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, rows: D) -> Result<(), D::Error> {
        rows.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(End<'_>)> Visitor<'de> for Rows<'_, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("connections")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(Row { client, server, verdict }) = rows.next_element()? {
            let (client, server) = (client.socket(), server.socket());
            let Verdict { label, cause, closed_by } = &verdict;
            (self.0)(End { client, server, label, cause: cause.as_deref(), closed_by: closed_by.as_deref() });
        }
        Ok(())
    }
}
