//! The whole pipeline in one call: capture in, report out.

use super::capture_file::{Pcap, RawPacket};
use super::packaging::Packaging;
use super::packet::TcpPacket;
use crate::schema::assert_valid;
use std::io::Cursor;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::analyzer::{Analyzer, Options};
use wsclose::anomaly::{Anomaly, AnomalyCounts};
use wsclose::capture::merge::{MergeInput, MergedSource};
use wsclose::capture::{Block, More, Source as _};
use wsclose::limits::Limits;
use wsclose::report::build::{self, Context};
use wsclose::report::diagnosis::{Diagnoser, Finding};
use wsclose::report::model::{Connection, Input};

/// What the analysis of some files gave.
#[derive(Debug)]
pub struct Outcome {
    /// As the report shows them, in the order in which their ends became final.
    pub connections: Vec<Connection<'static>>,
    /// The same ones as the library hands them out.
    pub records: Vec<ConnectionRecord>,
    pub inputs: Vec<Input>,
    pub anomalies: AnomalyCounts,
    /// TCP connections that are not listed.
    pub other_connections: u64,
    /// TLS connections of which nothing could be decrypted, listed or not.
    pub encrypted_connections: u64,
    /// How often a connection was put to rest.
    pub rested: u64,
}

impl Outcome {
    /// The one connection of the capture.
    pub fn only(&self) -> &Connection<'static> {
        assert_eq!(self.connections.len(), 1, "one connection is listed");
        &self.connections[0]
    }

    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.anomalies.of(anomaly)
    }
}

/// The answer to "who closed it, with what code, and how": what a rewrite must not change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub struct Answer {
    pub kind: String,
    pub label: String,
    pub cause: Option<String>,
    pub closed_by: Option<String>,
}

impl Answer {
    pub fn of(connection: &Connection<'_>) -> Self {
        let verdict = &connection.verdict;
        Answer {
            kind: verdict.kind.to_string(),
            label: verdict.label.to_string(),
            cause: verdict.cause.as_deref().map(str::to_owned),
            closed_by: verdict.closed_by.as_deref().map(str::to_owned),
        }
    }

    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cause = self.cause.as_deref().map(|cause| format!(":{cause}")).unwrap_or_default();
        write!(out, "{}:{}{cause} by {}", self.kind, self.label, self.closed_by.as_deref().unwrap_or("-"))
    }
}

pub fn endpoints(connection: &Connection<'_>) -> (SocketAddr, SocketAddr) {
    let address = |address: &wsclose::report::model::Address| SocketAddr::new(address.address, address.port);
    (address(&connection.client), address(&connection.server))
}

/// Analyzes inputs as one capture.
pub fn analyze(inputs: Vec<MergeInput>, options: Options) -> Outcome {
    let mut source = MergedSource::new(inputs, &options.limits);
    let mut analyzer = Analyzer::new(options);
    let mut block = Block::default();
    while source.read_block(&mut block).expect("damage is in the input's info") == More::Yes {
        analyzer.handle_block(&block);
    }
    analyzer.handle_block(&block);
    analyzer.finish();
    let records: Vec<_> = std::iter::from_fn(|| analyzer.poll_record().map(|record| *record)).collect();
    let infos = source.infos();
    let files: Vec<_> = infos.iter().map(|info| info.path.clone()).collect();
    let context = Context { files: &files, redact: false };
    let connections =
        records.iter().zip(1..).map(|(record, id)| owned(&build::connection(id, record, context)));
    Outcome {
        connections: connections.collect(),
        inputs: infos.iter().map(build::input).collect(),
        anomalies: analyzer.anomalies(),
        other_connections: analyzer.other_connections(),
        encrypted_connections: analyzer.encrypted_connections(),
        rested: analyzer.rested(),
        records,
    }
}

/// What the survey over all of the connections finds.
pub fn findings(outcome: &Outcome) -> Vec<Finding> {
    let files: Vec<_> = outcome.inputs.iter().map(|input| input.path.to_string()).collect();
    let context = Context { files: &files, redact: false };
    let mut diagnoser = Diagnoser::new(Limits::default());
    for (record, id) in outcome.records.iter().zip(1..) {
        diagnoser.take(Some(id), record, context);
    }
    diagnoser.findings(context)
}

/// The entry as one who reads the report gets it, which has to be what the schema says.
pub fn owned(connection: &Connection<'_>) -> Connection<'static> {
    let value = serde_json::to_value(connection).expect("a report is JSON");
    assert_valid("Connection", &value);
    serde_json::from_value(value).expect("a report can be read back")
}

/// Analyzes a capture file by its path.
pub fn analyze_path(path: &Path) -> Outcome {
    analyze(vec![MergeInput::Path(path.to_owned())], Options::default())
}

/// Analyzes a capture file's bytes.
pub fn analyze_bytes(file: Vec<u8>) -> Outcome {
    analyze_bytes_with(file, Options::default())
}

pub fn analyze_bytes_with(file: Vec<u8>, options: Options) -> Outcome {
    analyze(vec![MergeInput::Reader(Box::new(Cursor::new(file)), "test".to_owned())], options)
}

/// Analyzes captured packets.
pub fn analyze_raw_with(packets: &[RawPacket], options: Options) -> Outcome {
    analyze_bytes_with(Pcap { nanoseconds: true, ..Pcap::default() }.write(packets), options)
}

pub fn analyze_raw(packets: &[RawPacket]) -> Outcome {
    analyze_raw_with(packets, Options::default())
}

/// Analyzes TCP packets as they would be captured on Ethernet.
pub fn analyze_packets(packets: &[TcpPacket]) -> Outcome {
    analyze_raw(&Packaging::default().apply(packets))
}

pub fn analyze_packets_with(packets: &[TcpPacket], options: Options) -> Outcome {
    analyze_raw_with(&Packaging::default().apply(packets), options)
}

/// The folder of captures that nobody here made, beside the package (`WSCLOSE_SHARED` names another place).
/// `None`, with a line on standard error, where there is none.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("WSCLOSE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

/// Every capture file under `folder`, in order of path.
pub fn capture_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(capture_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "pcap" || ext == "pcapng" || ext == "cap") {
            files.push(path);
        }
    }
    files.sort();
    files
}
