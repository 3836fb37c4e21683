//! The command line. `clap` stops at this file.

mod limits;

use crate::show::StreamName;
#[cfg(feature = "live")]
use crate::sink::Rotation;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use limits::LimitArgs;
#[cfg(feature = "live")]
use limits::{parse_bytes, parse_memory};
#[cfg(feature = "metrics")]
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
#[cfg(feature = "live")]
use std::time::Duration;
use wsclose::report::explain::Topic;
use wsclose::report::filter::{CLOSED_BY, Selector};
use wsclose::time::Timestamp;
use wsclose::verdict::vantage::Vantage;

const EXAMPLES: &str = "\
Examples:
  wsclose server.pcapng                        who closed each WebSocket, and with what code
  wsclose -v --only abnormal server.pcapng     why connections were lost, with packet numbers
  tcpdump -i any -U -w - | wsclose -           from a pipe
  wsclose --format ndjson *.pcap | jq .        one JSON object a line, for programs
  wsclose --format html -o report.html *.pcap  pictures, advice and ladder diagrams in one page
  wsclose --fail-on abnormal,1011 test.pcap    exit status 3 if one matches, for scripts
  wsclose live -i eth0                         each end as it happens
  wsclose explain 1001 1006                    two codes side by side

Exit status:
  0  done
  1  some input could not be read whole, or has a link type that is not supported; what was read is reported
  2  wrong usage, or the report can't be written
  3  a connection matches --fail-on";

#[cfg(feature = "live")]
const LIVE_EXAMPLES: &str = "\
Examples:
  wsclose live -i any                              until Ctrl-C; then the summary
  wsclose live -i eth0 --filter 'tcp port 9001'    spares the work for all other traffic
  wsclose live -i eth0 -i eth1 --duration 8h       two interfaces, in one order of time
  wsclose live -i eth0 --top                       a view on the terminal; q quits
  wsclose live -i eth0 --format ndjson -o ends.ndjson --rotate 100M

Lines (text, NDJSON, CSV) go on behind those that the --output file has; JSON, HTML and Parquet overwrite it.

Signals: INT and TERM judge what is open, print the summary and end with status 0; HUP opens the --output file anew (text,
NDJSON and CSV: a document is never split); USR1 prints the summary so far, and how many are open,
to standard error.

Capturing takes root, or the right by itself:
  sudo setcap cap_net_raw+ep \"$(command -v wsclose)\"";

const ANNOTATE_EXAMPLES: &str = "\
Examples:
  wsclose annotate server.pcap -o annotated.pcapng
  wsclose annotate server.pcap --only abnormal -o evidence.pcapng   their packets alone, to hand on
  tshark -r annotated.pcapng -Y frame.comment -T fields -e frame.number -e frame.comment

Exit status:
  0  done
  1  the capture could not be read whole; what was read is written
  2  wrong usage, a file that is no capture, one without such a connection, or an output that can't be written";

const SHOW_EXAMPLES: &str = "\
Examples:
  wsclose show server.pcap --stream 7              the number that reports and Wireshark give it
  wsclose show server.pcap --stream 7 --last 200   its last 200 packets

Exit status:
  0  done
  1  the capture could not be read whole; what was read is shown
  2  wrong usage, a file that is no capture, or one without that connection";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  wsclose explain 1006          when it appears, and what to do about it
  wsclose explain 1001 1006     side by side
  wsclose explain rst unknown   words of a verdict
  wsclose explain idle-limit    what a diagnosis says; tcp_gap: an oddity
  wsclose explain list          all words that reports use
  wsclose explain keylog        how to take a TLS key log";

const INJECT_EXAMPLES: &str = "\
Examples:
  wsclose inject-keys server.pcap --keylog keys.log -o decryptable.pcapng

Exit status:
  0  done
  1  the capture could not be read whole; what it holds was written
  2  wrong usage, no keys for it, or an input or output that can't be read or written";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  wsclose completions bash > ~/.local/share/bash-completion/completions/wsclose
  wsclose completions zsh > ~/.zfunc/_wsclose
  wsclose completions fish > ~/.config/fish/completions/wsclose.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  wsclose man | man -l -
  wsclose man annotate > ~/.local/share/man/man1/wsclose-annotate.1";

const MERGE_EXAMPLES: &str = "\
Examples:
  wsclose merge monday.json tuesday.ndjson              one summary, one table
  wsclose merge --format csv server-*.json -o all.csv   a row a connection

Findings of the same words become one; others stand side by side, each with its count.

Exit status:
  0  done
  1  a report was cut short; what it holds is in the sum
  2  wrong usage, a file that is no report, or an output that can't be written";

/// Who closed this WebSocket, with what code, and why? Answers from packet captures alone.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) analyze: AnalyzeArgs,
}

impl Cli {
    /// The same, where `--output -` of a report is what it is without: standard output.
    pub(crate) fn onto_standard_output(mut self) -> Self {
        let output = match &mut self.command {
            None => &mut self.analyze.common.output,
            Some(Command::Analyze(args)) => &mut args.common.output,
            #[cfg(feature = "live")]
            Some(Command::Live(args)) => &mut args.common.output,
            Some(Command::Merge(args)) => &mut args.output,
            _ => return self,
        };
        if output.as_deref() == Some(Path::new("-")) {
            *output = None;
        }
        self
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Analyse saved captures (the default: `wsclose FILE...` is short for it)
    #[command(after_help = EXAMPLES)]
    Analyze(AnalyzeArgs),
    /// Watch an interface and print each end as it happens
    #[cfg(feature = "live")]
    #[command(after_help = LIVE_EXAMPLES)]
    Live(LiveArgs),
    /// List the interfaces that can be captured on
    #[cfg(feature = "live")]
    Interfaces,
    /// Show one connection packet by packet, with the verdict under it
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Explain close codes (one alone, or two side by side), words that reports use, and how to take a TLS key log
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Write a TLS key log into a capture, so that wsclose and Wireshark decrypt it without a second file
    #[command(after_help = INJECT_EXAMPLES)]
    InjectKeys(InjectArgs),
    /// Write a capture whose packets carry the verdicts they prove as comments, for Wireshark and tshark
    #[command(after_help = ANNOTATE_EXAMPLES, visible_alias = "extract")]
    Annotate(AnnotateArgs),
    /// Add several JSON or NDJSON reports up to one
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(MergeArgs),
    /// Write a script that lets a shell complete wsclose's commands and options
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the manual page, or that of one command
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArgs),
}

const REPORT: &str = "Report";
const CHOICE: &str = "Which connections";
const READING: &str = "How packets are read";
#[cfg(feature = "live")]
const CAPTURE: &str = "Capture";
#[cfg(feature = "live")]
const RIGHTS: &str = "Rights";
#[cfg(feature = "live")]
const RECORD: &str = "Flight recorder";

/// What both `analyze` and `live` take.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CommonArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = REPORT)]
    pub(crate) format: Format,
    /// Write the report to FILE instead of standard output (`-`)
    #[arg(short, long, value_name = "FILE", help_heading = REPORT)]
    pub(crate) output: Option<PathBuf>,
    /// Show each connection's reasons and evidence in the text report
    #[arg(short, long, help_heading = REPORT)]
    pub(crate) verbose: bool,
    /// Report the totals and findings alone, without the list of connections
    #[arg(long, conflicts_with = "verbose", help_heading = REPORT)]
    pub(crate) summary: bool,
    /// Colour the text report; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", help_heading = REPORT)]
    pub(crate) color: When,
    /// Drop query strings and header values from the report
    #[arg(long, help_heading = REPORT)]
    pub(crate) redact: bool,
    /// List only these: a kind (coded, abnormal, refused, open, unknown), a label (1006), both (coded:1006), a cause
    /// (abnormal:rst, abnormal:fin, abnormal:timeout) or what hid the end (unknown:gap)
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = Selector::parse, help_heading = CHOICE)]
    pub(crate) only: Vec<Selector>,
    /// List only those whose end was begun by one of these
    #[arg(long, value_name = "WHO", value_delimiter = ',', value_parser = PossibleValuesParser::new(CLOSED_BY),
          help_heading = CHOICE)]
    pub(crate) closed_by: Vec<String>,
    /// Exit with status 3 if a connection matches, listed or not (same words as --only)
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = Selector::parse, help_heading = CHOICE)]
    pub(crate) fail_on: Vec<Selector>,
    /// Server ports that carry WebSockets, even where none was seen to open: failed connections to them are listed
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port(), help_heading = CHOICE)]
    pub(crate) ws_port: Vec<u16>,
    /// Where the captures were taken (estimated for each connection otherwise)
    #[arg(long, value_enum, value_name = "WHERE", help_heading = READING)]
    pub(crate) vantage: Option<VantageArg>,
    /// Key log to decrypt TLS with, as browsers and libraries write it for SSLKEYLOGFILE; may be given more than once.
    /// The file that SSLKEYLOGFILE names is read besides
    #[arg(long, value_name = "FILE", help_heading = READING)]
    pub(crate) keylog: Vec<PathBuf>,
    /// List connections in TLS that can't be decrypted, where they look like a WebSocket, with what lengths and times tell
    #[arg(long, help_heading = CHOICE)]
    pub(crate) encrypted: bool,
    /// Do not recognise WebSockets whose opening handshake is not in the capture
    #[arg(long, help_heading = CHOICE)]
    pub(crate) no_midstream: bool,
    /// Look only at packets that match this BPF expression, as tcpdump takes it; names of hosts in it are looked up
    #[cfg(feature = "live")]
    #[arg(long, value_name = "BPF", help_heading = READING)]
    pub(crate) filter: Option<String>,
    /// Drop packets with bad IP or TCP checksums, and count them
    #[arg(long, help_heading = READING)]
    pub(crate) verify_checksums: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// A port that something can listen on.
fn port() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

#[derive(Args, Clone, Debug)]
pub(crate) struct AnalyzeArgs {
    /// Captures (pcap or pcapng; gzip, zstd, lz4), read as one in time order; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// List only those that ended at or after this time (RFC 3339, such as 2026-11-22T09:15:00Z)
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339, help_heading = CHOICE)]
    pub(crate) since: Option<Timestamp>,
    /// List only those that opened before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339, help_heading = CHOICE)]
    pub(crate) until: Option<Timestamp>,
    /// Threads to use: 1, or up to 3 where they pay; the report is the same (default: one a processor)
    #[arg(long, value_name = "N", help_heading = READING)]
    pub(crate) threads: Option<NonZeroU8>,
}

#[cfg(feature = "live")]
#[derive(Args, Clone, Debug)]
pub(crate) struct LiveArgs {
    /// Interface to capture on, or `any`; may be given more than once
    #[arg(short, long = "interface", required = true, value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Stop after this time, such as 90s or 8h
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = CAPTURE)]
    pub(crate) duration: Option<Duration>,
    /// Stop after this many ended connections
    #[arg(long, value_name = "N", help_heading = CAPTURE)]
    pub(crate) count: Option<u64>,
    /// Bytes captured of each packet: a Close may stand at the end of the longest, so the default cuts none
    #[arg(long, value_name = "BYTES", default_value_t = 262_144,
          value_parser = clap::value_parser!(u32).range(64..=262_144), help_heading = CAPTURE)]
    pub(crate) snaplen: u32,
    /// The kernel's capture buffer for each interface, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=2047), help_heading = CAPTURE)]
    pub(crate) buffer: u32,
    /// Capture packets that are not addressed to this host, too
    #[arg(long, help_heading = CAPTURE)]
    pub(crate) promiscuous: bool,
    /// Write the packets of each abnormal end to a pcapng in DIR, with the verdict as comments: handshake and last 32 kB,
    /// not redacted by --redact
    #[arg(long, value_name = "DIR", help_heading = RECORD)]
    pub(crate) record: Option<PathBuf>,
    /// Record these instead (same words as --only)
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = Selector::parse, default_value = "abnormal",
          requires = "record", help_heading = RECORD)]
    pub(crate) record_only: Vec<Selector>,
    /// Memory for the packets of open connections
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_memory, help_heading = RECORD)]
    pub(crate) record_budget: u64,
    /// Disk for the files in DIR: the oldest are deleted beyond it
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = parse_bytes, help_heading = RECORD)]
    pub(crate) record_disk: u64,
    /// Serve metrics for Prometheus under http://ADDR:PORT/metrics, and /healthz; a PORT alone is on 127.0.0.1
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_address, help_heading = REPORT)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Become this user (name or number) once the interfaces are open; capabilities are given up in any case
    #[arg(long, value_name = "USER", help_heading = RIGHTS)]
    pub(crate) user: Option<String>,
    /// Keep the rights of the start: no dropping, no Landlock, no seccomp
    #[arg(long, help_heading = RIGHTS)]
    pub(crate) no_sandbox: bool,
    /// Give up rights, try what must then fail, say what came of it, and end
    #[arg(long, hide = true)]
    pub(crate) try_forbidden: bool,
    /// Capture only packets received, or only those sent
    #[arg(long, value_enum, default_value_t, value_name = "WAY", help_heading = CAPTURE)]
    pub(crate) direction: DirectionArg,
    /// Report a connection whose peer has not answered for so long as timed out, before it ends (such as 30s, 5m); a
    /// `revised` line takes it back if the peer speaks again. Only in text and NDJSON
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time, help_heading = REPORT)]
    pub(crate) dead_after: Duration,
    /// Write a `stats` line this often in NDJSON
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time, help_heading = REPORT)]
    pub(crate) interval: Duration,
    /// Show ends by label with their rates, the worst servers, the last abnormal ends and losses on the terminal, in place of
    /// lines; `q` quits. Lines go to --output, if there is one
    #[cfg(feature = "top")]
    #[arg(long, help_heading = REPORT)]
    pub(crate) top: bool,
    /// Rename the --output file and begin it anew at this size (100M) or age (1h); needs --output, and text, NDJSON or CSV
    #[arg(long, value_name = "SIZE|TIME", value_parser = Rotation::parse, requires = "output", help_heading = REPORT)]
    pub(crate) rotate: Option<Rotation>,
}

#[cfg(feature = "metrics")]
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().ok().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    port.or_else(|| text.parse().ok()).ok_or_else(|| "not ADDR:PORT such as 127.0.0.1:9464".to_owned())
}

/// `90s`, `5m`, `8h`, `500ms`; a bare number is seconds.
#[cfg(feature = "live")]
fn parse_time(text: &str) -> Result<Duration, String> {
    wsclose::limits::read_time(text)
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "not a time such as 90s, 5m or 8h".to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The capture
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which connection: Wireshark's tcp.stream, as reports give it; 7/11 is stream 11 of HTTP/2 on it
    #[arg(long, value_name = "N")]
    pub(crate) stream: StreamName,
    /// Show its last so many packets
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) last: usize,
    /// Key log to decrypt TLS with; may be given more than once. The file that SSLKEYLOGFILE names is read besides
    #[arg(long, value_name = "FILE")]
    pub(crate) keylog: Vec<PathBuf>,
    /// Server ports that carry WebSockets, even where none was seen to open
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port())]
    pub(crate) ws_port: Vec<u16>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Close codes such as 1001 1006, words of a report such as rst, idle-limit or tcp_gap (`list` has them all), or
    /// `keylog`: how to take a TLS key log
    #[arg(required = true, value_name = "CODE|WORD")]
    pub(crate) topics: Vec<Topic>,
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ExplainFormat,
}

#[derive(Args, Debug)]
pub(crate) struct InjectArgs {
    /// The capture: pcapng is copied byte for byte, pcap becomes pcapng
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Key log (repeatable); `wsclose explain keylog` tells how to take one
    #[arg(long, required = true, value_name = "KEYS")]
    pub(crate) keylog: Vec<PathBuf>,
    /// The capture with its keys; only its owner may read it
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Write all lines, not only those of sessions whose ClientHello is in the capture (those of a renegotiation are not)
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Args, Debug)]
pub(crate) struct AnnotateArgs {
    /// The capture: pcapng is copied byte for byte but for the comments, pcap becomes pcapng
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The capture with its comments
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Write only the packets of these: a kind, a label, both or a cause, as for analyze
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = Selector::parse, help_heading = CHOICE)]
    pub(crate) only: Vec<Selector>,
    /// Write only the packets of those whose end was begun by one of these
    #[arg(long, value_name = "WHO", value_delimiter = ',', value_parser = PossibleValuesParser::new(CLOSED_BY),
          help_heading = CHOICE)]
    pub(crate) closed_by: Vec<String>,
    /// Server ports that carry WebSockets, even where none was seen to open
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port(), help_heading = CHOICE)]
    pub(crate) ws_port: Vec<u16>,
    /// Comment on connections in TLS that can't be decrypted, too, where they look like a WebSocket
    #[arg(long, help_heading = CHOICE)]
    pub(crate) encrypted: bool,
    /// Key log to decrypt TLS with; may be given more than once. The file that SSLKEYLOGFILE names is read besides
    #[arg(long, value_name = "FILE", help_heading = READING)]
    pub(crate) keylog: Vec<PathBuf>,
    /// Write no names (`client`, `server`) for the addresses
    #[arg(long)]
    pub(crate) no_names: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// A command of wsclose, such as analyze
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct MergeArgs {
    /// Reports of `--format json` or `--format ndjson`; `-` is standard input
    #[arg(required = true, value_name = "REPORT")]
    pub(crate) reports: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Write the report to FILE instead of standard output (`-`)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Show each connection's reasons and evidence in the text report
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Colour the text report; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: When,
}

impl MergeArgs {
    /// The same, as `analyze` has it.
    pub(crate) fn to_common(&self) -> CommonArgs {
        let (format, verbose, color) = (self.format, self.verbose, self.color);
        CommonArgs { format, output: self.output.clone(), verbose, color, ..CommonArgs::default() }
    }
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
    /// One page with pictures, findings and a table whose rows open into ladder diagrams; goes with --output
    Html,
    /// A row a connection, for spreadsheets; without totals
    Csv,
    /// The same columns, for notebooks and warehouses; without totals
    #[cfg(feature = "parquet")]
    Parquet,
}

#[cfg(feature = "live")]
impl Format {
    /// Is a report of it lines, which another file may go on with, and no document that ends?
    pub(crate) fn is_of_lines(self) -> bool {
        matches!(self, Format::Text | Format::Ndjson | Format::Csv)
    }
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

#[cfg(feature = "live")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DirectionArg {
    /// Both ways
    #[default]
    Both,
    /// Received
    In,
    /// Sent
    Out,
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
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}
