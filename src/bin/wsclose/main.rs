//! The `wsclose` command.

/// Tells something on standard error, behind the program's name. Where that can't be written the work goes on: `eprintln`
/// would panic.
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr(), "wsclose: {}", format_args!($($words)*));
    }};
}

mod again;
mod annotate;
mod args;
mod explain;
#[cfg(feature = "top")]
mod figures;
#[cfg(feature = "metrics")]
mod heartbeat;
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
#[cfg(feature = "metrics")]
mod reconnects;
#[cfg(feature = "live")]
mod recorder;
#[cfg(feature = "live")]
mod recordings;
mod reporter;
#[cfg(feature = "live")]
mod sandbox;
mod show;
#[cfg(unix)]
mod signals;
#[cfg(feature = "live")]
mod sink;
#[cfg(feature = "top")]
mod top;
#[cfg(feature = "top")]
mod top_view;

use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use std::path::Path;
use std::process::ExitCode;

/// Connections are followed on one thread and dropped on another.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong usage, or an output that can't be written.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) if cli.command.is_none() && meant_command().is_some() => return no_such_command(),
        Ok(cli) => cli.onto_standard_output(),
        Err(error) if error.use_stderr() && meant_command().is_some() => return no_such_command(),
        Err(error) => error.exit(),
    };
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
            tell!("{}", message(&error));
            EXIT_USAGE.into()
        }
    }
}

/// The command that the first argument was meant to be, where it names no file and comes close to one.
fn meant_command() -> Option<(String, String)> {
    /// As close as clap takes for a misspelling.
    const NEAR: f64 = 0.7;
    let word = std::env::args_os().nth(1)?.into_string().ok()?;
    let is_word = word.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '-');
    if !is_word || word.starts_with('-') || Path::new(&word).exists() {
        return None;
    }
    let command = Cli::command();
    let names = command.get_subcommands().map(|command| command.get_name());
    let near = names.map(|name| (strsim::jaro(name, &word), name)).filter(|(likeness, _)| *likeness > NEAR);
    let (_, name) = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(_, name)| *name != word)?;
    Some((word, name.to_owned()))
}

fn no_such_command() -> ExitCode {
    if let Some((word, name)) = meant_command() {
        tell!("there is no command and no file {word}; did you mean `wsclose {name}`?");
    }
    EXIT_USAGE.into()
}

/// The error and its causes, escaped; a cause that is told already is not told again.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.ends_with(&cause) {
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
