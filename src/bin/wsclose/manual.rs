//! `wsclose completions` and `wsclose man`: what the argument parser knows, for shells and for `man`.

use crate::args::{Cli, CompletionsArgs, ManArgs};
use anyhow::{Result, bail};
use clap::CommandFactory as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

const NAME: &str = "wsclose";

pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    // Into memory first: clap_complete panics where it can't write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    write(&script)
}

pub(crate) fn man(args: &ManArgs) -> Result<ExitCode> {
    let mut command = Cli::command();
    command.build();
    let command = match &args.command {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => bail!("wsclose has no command {name:?}; `wsclose --help` lists them"),
        },
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    write(&page)
}

fn write(text: &[u8]) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
