//! The `wsclose` command.

mod again;
mod annotate;
mod args;
mod explain;
#[cfg(feature = "top")]
mod figures;
mod inject;
mod keys;
#[cfg(feature = "live")]
mod live;
#[cfg(feature = "live")]
mod live_output;
mod manual;
mod merge;
#[cfg(feature = "metrics")]
mod metrics;
mod offline;
mod output;
mod read_ahead;
#[cfg(feature = "live")]
mod recorder;
mod reporter;
#[cfg(feature = "live")]
mod sandbox;
mod show;
#[cfg(feature = "live")]
mod sink;
#[cfg(feature = "top")]
mod top;
#[cfg(feature = "top")]
mod top_view;

use args::{Cli, Command};
use clap::Parser as _;
use std::process::ExitCode;

/// Connections are followed on one thread and dropped on another.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong usage, or an output that can't be written.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => offline::run(&cli.analyze),
        Some(Command::Analyze(args)) => offline::run(args),
        #[cfg(feature = "live")]
        Some(Command::Live(args)) => live::run(args),
        #[cfg(feature = "live")]
        Some(Command::Interfaces) => live::interfaces(),
        Some(Command::Show(args)) => show::run(args),
        Some(Command::Explain(args)) => explain::run(args),
        Some(Command::InjectKeys(args)) => inject::run(args),
        Some(Command::Annotate(args)) => annotate::run(args),
        Some(Command::Merge(args)) => merge::run(args),
        Some(Command::Completions(args)) => manual::completions(args),
        Some(Command::Man(args)) => manual::man(args),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("wsclose: {}", message(&error));
            EXIT_USAGE.into()
        }
    }
}

/// The error and its causes, escaped; a cause that is told already is not told again.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    wsclose::report::escape::terminal(&message)
}

/// The reader of our output has gone (`wsclose ... | head`): no fault.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
