//! `--memory` and `--limit`.

use super::READING;
use clap::Args;
use std::io::Write as _;
use wsclose::limits::{self, Limits};

/// What every command takes that reads packets.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LimitArgs {
    /// Memory to keep to, such as 256M: connections idle the longest are dropped, and their verdict says so
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = READING)]
    pub(crate) memory: Option<u64>,
    /// Set one limit, such as linger=30s; `help` lists them
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_limit, help_heading = READING)]
    limit: Vec<(String, String)>,
}

impl LimitArgs {
    /// The limits that are asked for.
    pub(crate) fn limits(&self) -> Limits {
        self.onto(self.memory.map_or_else(Limits::default, Limits::within))
    }

    /// The same, from other limits than the usual ones.
    pub(crate) fn onto(&self, mut limits: Limits) -> Limits {
        for (name, value) in &self.limit {
            // The arguments' parser has tried each.
            let _ = limits.set(name, value);
        }
        limits
    }
}

/// The least that a capture's largest packets, its reader and a few connections take.
const MEMORY_MIN: u64 = 32 << 20;

pub(super) fn parse_memory(text: &str) -> Result<u64, String> {
    let bytes = limits::read_bytes(text).ok_or("not a size such as 256M or 2G")?;
    if bytes < MEMORY_MIN { Err("32M is the least".to_owned()) } else { Ok(bytes) }
}

#[cfg(feature = "live")]
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    limits::read_bytes(text)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "not a size such as 256M or 2G".to_owned())
}

/// `help` needs no file: it is answered where it is met.
fn parse_limit(text: &str) -> Result<(String, String), String> {
    if text == "help" {
        let mut out = anstream::stdout();
        let told = out.write_all(limits_help().as_bytes()).and_then(|()| out.flush());
        std::process::exit(match told {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                tell!("{error}");
                2
            }
            _ => 0,
        });
    }
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE; `--limit help` lists the names")?;
    Limits::default().set(name, value).map_err(|error| format!("{error}; `--limit help` lists them all"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn limits_help() -> String {
    let default = Limits::default();
    let one = |limit: &limits::Limit| {
        let shown = default.show(limit.name).unwrap_or_default();
        let about = textwrap::fill(
            limit.about.trim(),
            textwrap::Options::new(100).initial_indent("    ").subsequent_indent("    "),
        );
        let least = if limit.least > 0 { format!("; at least {}", limit.least) } else { String::new() };
        format!("{}={shown}  ({}{least}; memory: {})\n{about}\n", limit.name, limit.unit, limit.memory)
    };
    Limits::ALL.iter().map(one).collect()
}
