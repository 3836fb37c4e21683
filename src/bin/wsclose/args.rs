//! The command line. `clap` stops at this file.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use wsclose::verdict::vantage::Vantage;
use wsclose::websocket::close_code::CloseCode;

/// Who closed this WebSocket, with what code, and why? Answers from packet captures alone.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) analyze: AnalyzeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Analyse saved captures (the default: `wsclose FILE...` is short for it)
    Analyze(AnalyzeArgs),
    /// Watch an interface and print each end as it happens
    #[cfg(feature = "live")]
    Live(LiveArgs),
    /// List the interfaces that can be captured on
    #[cfg(feature = "live")]
    Interfaces,
    /// Explain close codes: one alone, or two side by side
    Explain(ExplainArgs),
}

/// What both `analyze` and `live` take.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CommonArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Write the report to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Show each connection's evidence in the text report
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Colour the text report
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: When,
    /// List only these connections: a kind (abnormal), a label (1006), both (coded:1006) or a cause (abnormal:rst)
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// List only connections whose end was begun by: client, server, both, network, proxy, unknown
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    pub(crate) closed_by: Vec<String>,
    /// Exit with status 3 if a connection matches (same words as --only)
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub(crate) fail_on: Vec<String>,
    /// Server ports that carry WebSockets, even where none was seen to open: failed connections to them are listed
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    pub(crate) ws_port: Vec<u16>,
    /// Where the captures were taken (estimated for each connection otherwise)
    #[arg(long, value_enum, value_name = "WHERE")]
    pub(crate) vantage: Option<VantageArg>,
    /// Do not recognise WebSockets whose opening handshake is not in the capture
    #[arg(long)]
    pub(crate) no_midstream: bool,
    /// Drop packets with bad IP or TCP checksums, and count them
    #[arg(long)]
    pub(crate) verify_checksums: bool,
    /// Look only at packets that match this BPF expression, as tcpdump takes it
    #[cfg(feature = "live")]
    #[arg(long, value_name = "BPF")]
    pub(crate) filter: Option<String>,
    /// Drop query strings and header values from the report
    #[arg(long)]
    pub(crate) redact: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct AnalyzeArgs {
    /// Captures (pcap or pcapng; gzip, zstd, lz4), read as one in time order; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// List only connections that ended at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// List only connections that opened before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

#[cfg(feature = "live")]
#[derive(Args, Clone, Debug)]
pub(crate) struct LiveArgs {
    /// Interface to capture on, or `any`
    #[arg(short, long, value_name = "IFACE")]
    pub(crate) interface: String,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration: Option<u64>,
    /// Stop after this many ended connections
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Bytes captured of each packet
    #[arg(long, value_name = "BYTES", default_value_t = 262_144)]
    pub(crate) snaplen: u32,
    /// Capture buffer in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub(crate) buffer: u32,
    /// Capture packets that are not addressed to this host, too
    #[arg(long)]
    pub(crate) promiscuous: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Close codes, such as 1001 1006
    #[arg(required = true, value_name = "CODE")]
    pub(crate) codes: Vec<CloseCode>,
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ExplainFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A summary and a line per connection, for people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// One JSON object a line, each as soon as it is known
    Ndjson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VantageArg {
    /// At the clients
    Client,
    /// At the servers
    Server,
    /// On the path between them
    Middle,
}

impl From<VantageArg> for Vantage {
    fn from(arg: VantageArg) -> Self {
        match arg {
            VantageArg::Client => Vantage::Client,
            VantageArg::Server => Vantage::Server,
            VantageArg::Middle => Vantage::Middle,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}
