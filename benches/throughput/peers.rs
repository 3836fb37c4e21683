//! The programs that are measured, ours and others.

use crate::measure::{Cost, run};
use std::io;
use std::path::Path;
use std::process::Command;

/// A program that reads a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Reads the bytes and nothing else: what the page cache gives.
    Cat,
    /// libpcap's read loop, every packet written to /dev/null.
    Tcpdump,
    Wsclose,
    /// Full dissection in one pass, Close frames printed.
    Tshark,
}

impl Peer {
    pub const ALL: [Peer; 4] = [Peer::Cat, Peer::Tcpdump, Peer::Wsclose, Peer::Tshark];

    pub fn name(self) -> &'static str {
        match self {
            Peer::Cat => "cat",
            Peer::Tcpdump => "tcpdump",
            Peer::Wsclose => "wsclose",
            Peer::Tshark => "tshark",
        }
    }

    fn program(self) -> &'static str {
        if self == Peer::Wsclose { env!("CARGO_BIN_EXE_wsclose") } else { self.name() }
    }

    fn command(self, file: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Peer::Cat => command.arg(file),
            Peer::Tcpdump => command.arg("-r").arg(file).args(["-w", "/dev/null"]),
            Peer::Wsclose => command.args(["analyze", "--format", "json", "-o", "/dev/null"]).arg(file),
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

    /// The first line of `--version`; `None` where the program is not installed or says nothing.
    pub fn version(self) -> Option<String> {
        let output = Command::new(self.program()).arg("--version").output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    }

    /// Reads the file once.
    pub fn measure(self, file: &Path) -> io::Result<Cost> {
        run(&mut self.command(file))
    }
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

/// `wsclose` reading a capture from `generator`'s standard output.
pub fn pipe_into_wsclose(generator: &mut Command) -> io::Result<Cost> {
    let mut source = generator.stdout(std::process::Stdio::piped()).spawn()?;
    let pipe = source.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
    let mut command = Command::new(Peer::Wsclose.program());
    let cost = run(command.args(["analyze", "--format", "json", "-o", "/dev/null", "-"]).stdin(pipe));
    drop(command); // holds the pipe's other end: without it the generator would wait for ever
    let written = source.wait()?;
    cost.map(|cost| Cost { ok: cost.ok && written.success(), ..cost })
}
