//! `wsclose inject-keys`: a capture that carries its keys.

use crate::args::InjectArgs;
use crate::offline::is_same_file;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wsclose::capture::file::FileSource;
use wsclose::capture::inject::inject;
use wsclose::capture::{Block, More, Source as _};
use wsclose::decode::Decoder;
use wsclose::limits::Limits;
use wsclose::report::escape::terminal;
use wsclose::report::text::counted;
use wsclose::tls::sessions_present::SessionSearch;
use zeroize::Zeroizing;

pub(crate) fn run(args: &InjectArgs) -> Result<ExitCode> {
    let limits = args.limits.limits();
    for path in std::iter::once(&args.file).chain(&args.keylog) {
        if is_same_file(path, &args.output) {
            bail!("{} would be overwritten", terminal(&path.to_string_lossy()));
        }
    }
    let mut keys = read_keys(&args.keylog)?;
    let search = search(&args.file, &keys, &limits)?;
    if search.found() == 0 && !args.all {
        bail!(
            "the capture holds none of the {} in the key log (--all writes them all the same)",
            counted(search.wanted() as u64, "session")
        );
    }
    if !args.all {
        keys = Zeroizing::new(search.select(&keys));
    }
    write(args, &keys, &limits)?;
    let found = counted(search.found() as u64, "session");
    let left_out = search.wanted() - search.found();
    match (args.all, left_out) {
        (false, 1..) => {
            anstream::eprintln!("wsclose: keys of {found} written; {left_out} not in the capture left out");
        }
        _ => anstream::eprintln!("wsclose: keys written; {found} in the capture"),
    }
    Ok(ExitCode::SUCCESS)
}

/// All key logs, one behind the other.
fn read_keys(paths: &[PathBuf]) -> Result<Zeroizing<Vec<u8>>> {
    let mut logs = Vec::with_capacity(paths.len());
    for path in paths {
        let log = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        logs.push(Zeroizing::new(log));
    }
    // Of the right size from the start, so that no copies stay behind in memory.
    let mut keys = Zeroizing::new(Vec::with_capacity(logs.iter().map(|log| log.len() + 1).sum()));
    for log in &logs {
        keys.extend_from_slice(log);
        keys.push(b'\n');
    }
    Ok(keys)
}

/// Which sessions took place in the capture? One that is damaged is read as far as it goes.
fn search(file: &Path, keys: &[u8], limits: &Limits) -> Result<SessionSearch> {
    let mut source = FileSource::open(file, 0, limits)?;
    let mut search = SessionSearch::new(keys, limits);
    let mut decoder = Decoder::new(limits, false);
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block);
        decoder.each_segment(&block, |segment| search.handle_segment(segment));
        match more {
            Ok(More::Yes) => {}
            Ok(More::No) => return Ok(search),
            Err(error) if source.info().packets == 0 => return Err(error.into()),
            Err(_) => return Ok(search),
        }
    }
}

/// Writes the new capture. Whoever can read it can read the traffic: nobody but its owner may.
fn write(args: &InjectArgs, keys: &[u8], limits: &Limits) -> Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&args.output).with_context(|| format!("creating {}", args.output.display()))?;
    let mut out = BufWriter::new(file);
    inject(&args.file, keys, &mut out, limits)?;
    out.flush().with_context(|| format!("writing {}", args.output.display()))
}
