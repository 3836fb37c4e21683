//! `wsclose show`: one connection as a ladder of its last packets, with the verdict under it.

use crate::args::ShowArgs;
use crate::keys::KeyLogs;
use crate::offline::{EXIT_INCOMPLETE, must_be_a_file};
use anyhow::{Result, bail};
use std::fmt;
use std::io::{self, Write};
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use wsclose::analyzer::ladder::{Ladder, Leg, Rung};
use wsclose::analyzer::record::{Beside, ConnectionRecord};
use wsclose::analyzer::{Analyzer, Options};
use wsclose::capture::merge::MergedSource;
use wsclose::capture::{Block, InputInfo, More, Source as _};
use wsclose::decode::Decoder;
use wsclose::limits::Limits;
use wsclose::report::escape::{named, terminal};
use wsclose::report::probable;
use wsclose::report::text::untold;
use wsclose::side::Side;
use wsclose::tls::keylog::KeyLog;

/// Connections of one number that are shown: the file is read once for each.
const MOST: usize = 32;

pub(crate) fn run(args: &ShowArgs) -> Result<ExitCode> {
    must_be_a_file(&args.file, "show")?;
    let limits = args.limits.limits();
    let mut options = Options {
        ws_ports: args.ws_port.clone(),
        encrypted: true,
        limits: limits.clone(),
        ..Options::default()
    };
    KeyLogs::new(&args.keylog).fill(&mut options, std::slice::from_ref(&args.file))?;
    let mut analyzer = Analyzer::new(options);
    let (records, is_whole) = records(args, &limits, &mut analyzer)?;
    let mut out = io::stdout().lock();
    let more = records.len().saturating_sub(MOST);
    for record in records.into_iter().take(MOST) {
        let ladder = Ladder::new(record, args.last, &limits);
        let ladder = climb(&args.file, ladder, analyzer.keys(), &limits)?;
        write(&mut out, &ladder)?;
    }
    if more > 0 {
        writeln!(
            out,
            "... and {more} more of that number: of HTTP/2 name one by its stream, such as --stream 0/11"
        )?;
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { EXIT_INCOMPLETE.into() })
}

/// The connections that Wireshark gives this number; several, where addresses and ports are shared. And
/// whether the file was read whole.
fn records(
    args: &ShowArgs,
    limits: &Limits,
    analyzer: &mut Analyzer,
) -> Result<(Vec<ConnectionRecord>, bool)> {
    let info = each_block(&args.file, limits, |block| analyzer.handle_block(block))?;
    if let Some(error) = &info.error {
        tell!("{}", named(&info.path, &error.reason));
    }
    analyzer.finish();
    let mut found = Vec::new();
    while let Some(record) = analyzer.poll_record() {
        if args.stream.is_of(&record) {
            found.push(*record);
        }
    }
    if found.is_empty() {
        bail!("{} holds no WebSocket with {}", terminal(&args.file.to_string_lossy()), args.stream);
    }
    Ok((found, info.complete))
}

/// Reads the file again, for the packets of one connection.
fn climb(file: &Path, mut ladder: Ladder, keys: &KeyLog, limits: &Limits) -> Result<Ladder> {
    let mut decoder = Decoder::new(limits, false);
    each_block(file, limits, |block| {
        decoder.each_segment(block, |segment| ladder.handle_segment(segment, keys, limits));
    })?;
    Ok(ladder)
}

/// Reads a file to its end, or to where it is damaged. An error only if it holds no packet.
pub(crate) fn each_block(file: &Path, limits: &Limits, handle: impl FnMut(&Block)) -> Result<InputInfo> {
    let infos = each_block_of(&[file.to_owned()], limits, handle)?;
    let info = infos.into_iter().next().unwrap_or_default();
    match &info.error {
        Some(error) if info.packets == 0 => {
            bail!("{}: {}", terminal(&file.to_string_lossy()), terminal(&error.reason))
        }
        _ => Ok(info),
    }
}

/// Reads files as one capture.
pub(crate) fn each_block_of(
    files: &[PathBuf],
    limits: &Limits,
    mut handle: impl FnMut(&Block),
) -> Result<Vec<InputInfo>> {
    let mut source = MergedSource::open(files, limits);
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block)?;
        handle(&block);
        if more == More::No {
            return Ok(source.infos());
        }
    }
}

fn write(out: &mut impl Write, ladder: &Ladder) -> io::Result<()> {
    let record = ladder.record();
    let name = |end: wsclose::decode::segment::Endpoint| std::net::SocketAddr::new(end.address, end.port);
    write!(out, "client {}, server {}", name(record.client), name(record.server))?;
    if let Some(stream) = record.teardown.stream.as_deref() {
        write!(out, ", HTTP/2 stream {}", stream.id.0)?;
    }
    match record.beside.as_deref() {
        None => writeln!(out, "\n")?,
        Some(Beside { is_back: true, track }) => {
            writeln!(out, ", which is a proxy: {} to {}\n", name(track.client), name(track.server))?;
        }
        Some(Beside { track, .. }) => {
            writeln!(out, "; the client is a proxy: {} to {}\n", name(track.client), name(track.server))?;
        }
    }
    let (rungs, left_out) = ladder.rungs();
    if left_out > 0 {
        writeln!(out, "({left_out} packets before these)")?;
    }
    for rung in rungs {
        writeln!(out, "{}", line(rung))?;
    }
    let by = record.verdict.closed_by.map_or("", |by| by.name());
    let cause = match record.verdict.kind {
        wsclose::verdict::verdict::Kind::Abnormal(cause) => format!(" {}", cause.name()),
        _ => String::new(),
    };
    let verdict = format!("{}{cause}, by {by}", record.verdict.kind.label());
    writeln!(out, "\n{}", verdict.trim_end_matches(", by "))?;
    writeln!(out, "{}", terminal(&record.why()))?;
    if let Some(probable) = record.probable.as_deref() {
        writeln!(out, "{}", probable::text(probable))?;
    }
    for side in Side::BOTH {
        let told = record.endpoint(side);
        let code = match (told.code, told.certainty) {
            (Some(code), certainty) => format!("{code} ({})", certainty.name()),
            (None, certainty) => untold(record.verdict.kind.name(), certainty.name()).to_owned(),
        };
        writeln!(out, "{side} was told {code}: {}", terminal(&told.why))?;
    }
    writeln!(out)
}

/// Which connection to show: Wireshark's `tcp.stream`, or one stream of HTTP/2 on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamName {
    tcp: u32,
    http2: Option<u32>,
}

impl StreamName {
    fn is_of(self, record: &ConnectionRecord) -> bool {
        let http2 = record.teardown.stream.as_deref().map(|stream| stream.id.0);
        record.tcp_stream == Some(self.tcp) && (self.http2.is_none() || self.http2 == http2)
    }
}

impl FromStr for StreamName {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<StreamName, ParseIntError> {
        let (tcp, http2) = text.split_once('/').map_or((text, None), |(tcp, http2)| (tcp, Some(http2)));
        Ok(StreamName { tcp: tcp.parse()?, http2: http2.map(str::parse).transpose()? })
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "tcp.stream {}", self.tcp)?;
        self.http2.map_or(Ok(()), |http2| write!(out, " and HTTP/2 stream {http2}"))
    }
}

/// `20:14:38.176862  packet 12   client --> server  ACK, 10 bytes; Text of 4 bytes`.
fn line(rung: &Rung) -> String {
    let (left, right) = match rung.leg {
        Leg::Whole => ("client", "server"),
        Leg::Front => ("client", "proxy"),
        Leg::Back => ("proxy", "server"),
    };
    let arrow = match rung.from {
        Side::Client => format!("{left} --> {right}"),
        Side::Server => format!("{left} <-- {right}"),
    };
    let packet = format!("packet {}", rung.at.packet);
    format!("{}  {packet:<14}{arrow:<17}  {}", rung.at.at.time_of_day(), terminal(&rung.what))
}
