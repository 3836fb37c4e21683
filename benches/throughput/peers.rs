//! The programs that are measured, ours and others.

use crate::ends::read_report;
use crate::measure::{Cost, run};
use crate::workload::{Labels, Truth, pair};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that reads a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Reads the bytes and nothing else: what the page cache gives.
    Cat,
    /// libpcap's read loop, every packet written to /dev/null.
    Tcpdump,
    /// The least that walking over the frames takes: see `floor`.
    Floor,
    Wsclose,
    /// The totals alone, without the list of connections.
    WscloseSummary,
    /// Records of WebSockets and flows; Close codes it has none.
    Suricata,
    /// Full dissection in one pass, Close frames printed.
    Tshark,
}

impl Peer {
    pub const ALL: [Peer; 7] = [
        Peer::Cat,
        Peer::Tcpdump,
        Peer::Floor,
        Peer::Wsclose,
        Peer::WscloseSummary,
        Peer::Suricata,
        Peer::Tshark,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Peer::Cat => "cat",
            Peer::Tcpdump => "tcpdump",
            Peer::Floor => "floor",
            Peer::Wsclose => "wsclose",
            Peer::WscloseSummary => "totals",
            Peer::Suricata => "suricata",
            Peer::Tshark => "tshark",
        }
    }

    fn program(self) -> PathBuf {
        match self {
            Peer::Wsclose | Peer::WscloseSummary => env!("CARGO_BIN_EXE_wsclose").into(),
            // This program.
            Peer::Floor => std::env::current_exe().unwrap(),
            _ => self.name().into(),
        }
    }

    /// `folder` is for what it leaves behind.
    fn command(self, file: &Path, folder: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Peer::Cat => command.arg(file),
            Peer::Floor => command.arg("--floor").arg(file),
            Peer::Tcpdump => command.arg("-r").arg(file).args(["-w", "/dev/null"]),
            Peer::Wsclose => command.args(["analyze", "--format", "json", "-o", "/dev/null"]).arg(file),
            Peer::WscloseSummary => {
                command.args(["analyze", "--summary", "--format", "json", "-o", "/dev/null"]).arg(file)
            }
            Peer::Suricata => command
                .args(["--runmode", "single", "-S", "/dev/null", "-c"])
                .arg(folder.join("suricata.yaml"))
                .arg("-l")
                .arg(folder)
                .arg("-r")
                .arg(file),
            Peer::Tshark => command
                .args([
                    "-n",
                    "-o",
                    "tcp.reassemble_out_of_order:TRUE",
                    "-Y",
                    "websocket.opcode==8",
                    "-T",
                    "fields",
                ])
                .args([
                    "-e",
                    "frame.number",
                    "-e",
                    "tcp.stream",
                    "-e",
                    "websocket.payload.close.status_code",
                    "-r",
                ])
                .arg(file),
        };
        command
    }

    /// Is it so slow that one round must do?
    pub fn is_slow(self) -> bool {
        self == Peer::Suricata
    }

    /// The first line of `--version`; `None` where the program is not installed or says nothing.
    pub fn version(self) -> Option<String> {
        if self == Peer::Floor {
            return Some("floor: a walk over the frames and nothing else".to_owned());
        }
        let option = if self == Peer::Suricata { "-V" } else { "--version" };
        let output = Command::new(self.program()).arg(option).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    }

    /// Reads the file once.
    pub fn measure(self, file: &Path) -> io::Result<Cost> {
        let folder = tempfile::tempdir_in(file.parent().unwrap_or(Path::new(".")))?;
        if self == Peer::Suricata {
            fs::write(folder.path().join("suricata.yaml"), SURICATA)?;
        }
        run(&mut self.command(file, folder.path()))
    }
}

/// No rules, no other records.
const SURICATA: &str = "%YAML 1.1
---
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types:
        - websocket
        - flow
app-layer:
  protocols:
    http:
      enabled: yes
    websocket:
      enabled: yes
    tls:
      enabled: yes
      detection-ports:
        dp: 443
";

/// What the report says of each connection; `None` where wsclose failed.
pub fn labels(file: &Path) -> io::Result<Option<Labels>> {
    let mut command = Command::new(Peer::Wsclose.program());
    let output = command.args(["analyze", "--format", "json"]).arg(file).output()?;
    if !output.status.success() {
        return Ok(None);
    }
    let mut labels = Labels::new();
    read_report::<Truth, _>(&output.stdout[..], |end| {
        labels.insert(pair(end.client, end.server), end.label.to_owned());
    })?;
    Ok(Some(labels))
}

/// The codes of the connections' first Close frames as tshark reads them; `None` where there is no tshark.
pub fn tshark_codes(file: &Path, in_order: bool) -> io::Result<Option<Labels>> {
    if Peer::Tshark.version().is_none() {
        return Ok(None);
    }
    let mut command = Command::new("tshark");
    command.args([
        "-n",
        "-o",
        &format!("tcp.reassemble_out_of_order:{}", if in_order { "TRUE" } else { "FALSE" }),
    ]);
    command.args(["-Y", "websocket.opcode==8", "-T", "fields"]);
    for field in ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "websocket.payload.close.status_code"] {
        command.args(["-e", field]);
    }
    let output = command.arg("-r").arg(file).output()?;
    let mut codes = Labels::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [from, from_port, to, to_port, code] = fields[..] else { continue };
        if let (Some(from), Some(to)) = (address(from, from_port), address(to, to_port)) {
            let first = code.split(',').next().unwrap_or_default().to_owned();
            codes.entry(pair(from, to)).or_insert(first);
        }
    }
    codes.retain(|_, code| !code.is_empty());
    Ok(Some(codes))
}

fn address(ip: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?))
}

/// Writes the report of `file` for the check, and says whether there is one.
pub fn write_report(file: &Path, report: &Path) -> io::Result<bool> {
    let mut command = Command::new(Peer::Wsclose.program());
    run(command.args(["analyze", "--format", "json", "-o"]).arg(report).arg(file))?;
    Ok(report.exists())
}

/// The first `count` packets of `file`.
pub fn cut(file: &Path, count: u64, to: &Path) -> io::Result<bool> {
    let mut command = Command::new("tcpdump");
    Ok(run(command.arg("-r").arg(file).args(["-c", &count.to_string(), "-w"]).arg(to))?.ok)
}

/// `wsclose` reading a capture from `generator`'s standard output and writing its report.
pub fn pipe_into_wsclose(generator: &mut Command, report: &Path) -> io::Result<Cost> {
    let mut source = generator.stdout(std::process::Stdio::piped()).spawn()?;
    let pipe = source.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
    let mut command = Command::new(Peer::Wsclose.program());
    let cost = run(command.args(["analyze", "--format", "json", "-"]).arg("-o").arg(report).stdin(pipe));
    drop(command); // holds the pipe's other end: without it the generator would wait for ever
    let written = source.wait()?;
    cost.map(|cost| Cost { ok: cost.ok && written.success(), ..cost })
}
