//! `wsclose inject-keys`: a capture that carries its keys.

use crate::args::InjectArgs;
use crate::keys::open_key_log;
use crate::offline::{EXIT_INCOMPLETE, is_same_file};
use anyhow::{Context as _, Result, anyhow, bail};
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wsclose::capture::file::FileSource;
use wsclose::capture::inject::inject;
use wsclose::capture::{Block, CaptureError, More, Source as _};
use wsclose::decode::Decoder;
use wsclose::limits::Limits;
use wsclose::report::escape::{named, terminal};
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
    let mut keys = read_keys(&args.keylog, &limits)?;
    let (search, damage) = search(&args.file, &keys, &limits)?;
    if search.wanted() == 0 && !args.all {
        let names: Vec<String> = args.keylog.iter().map(|path| terminal(&path.to_string_lossy())).collect();
        bail!("{}: no secret of a TLS session in it", names.join(", "));
    }
    if search.found() == 0 && !args.all {
        bail!(
            "the capture holds none of the {} in the key log (--all writes them all the same)",
            counted(search.wanted() as u64, "session")
        );
    }
    if !args.all {
        keys = Zeroizing::new(search.select(&keys));
    }
    match write(args, &keys, &limits)? {
        Ok(()) => {}
        // Its sound packets have been written.
        Err(error) if damage.is_some() && error.is_damage() => {}
        Err(error) => bail!("{}", named(&args.file.to_string_lossy(), &error.to_string())),
    }
    let found = counted(search.found() as u64, "session");
    let left_out = search.wanted() - search.found();
    match (args.all, left_out) {
        (false, 1..) => {
            tell!("keys of {found} written; {left_out} not in the capture left out");
        }
        _ => tell!("keys written; {found} in the capture"),
    }
    let Some(damage) = damage else { return Ok(ExitCode::SUCCESS) };
    tell!("{}", named(&args.file.to_string_lossy(), &damage.to_string()));
    Ok(EXIT_INCOMPLETE.into())
}

/// All key logs, one behind the other.
fn read_keys(paths: &[PathBuf], limits: &Limits) -> Result<Zeroizing<Vec<u8>>> {
    let mut logs = Vec::with_capacity(paths.len());
    for path in paths {
        let log = read_key_log(path, limits);
        logs.push(log.with_context(|| format!("can't read the key log {}", path.display()))?);
    }
    // Of the right size from the start, so that no copies stay behind in memory.
    let mut keys = Zeroizing::new(Vec::with_capacity(logs.iter().map(|log| log.len() + 1).sum()));
    for log in &logs {
        keys.extend_from_slice(log);
        keys.push(b'\n');
    }
    Ok(keys)
}

/// One key log. It may be larger than what is written of it.
fn read_key_log(path: &Path, limits: &Limits) -> Result<Zeroizing<Vec<u8>>> {
    let file = open_key_log(path)?;
    let most = limits.key_log_bytes as u64;
    let length = file.metadata()?.len().min(most).saturating_add(1);
    // Of the right size from the start, so that no copies stay behind in memory.
    let mut log = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0)));
    file.take(most.saturating_add(1)).read_to_end(&mut log)?;
    if log.len() as u64 > most {
        bail!("more than {most} bytes");
    }
    Ok(log)
}

/// Which sessions took place in the capture? One that is damaged is read as far as it goes.
fn search(file: &Path, keys: &[u8], limits: &Limits) -> Result<(SessionSearch, Option<CaptureError>)> {
    let unread = |error: CaptureError| anyhow!("{}", named(&file.to_string_lossy(), &error.to_string()));
    let mut source = FileSource::open(file, 0, limits).map_err(unread)?;
    let mut search = SessionSearch::new(keys, limits);
    let mut decoder = Decoder::new(limits, false);
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block);
        decoder.each_segment(&block, |segment| search.handle_segment(segment));
        match more {
            Ok(More::Yes) => {}
            Ok(More::No) => return Ok((search, None)),
            Err(error) if source.info().packets == 0 => return Err(unread(error)),
            Err(error) => return Ok((search, Some(error))),
        }
    }
}

/// Writes the new capture. Whoever can read it can read the traffic: nobody but its owner may. The error outside is of the
/// output, the one inside may be.
fn write(args: &InjectArgs, keys: &[u8], limits: &Limits) -> Result<Result<(), CaptureError>> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&args.output).with_context(|| format!("creating {}", args.output.display()))?;
    let mut out = BufWriter::new(file);
    let written = inject(&args.file, keys, &mut out, limits);
    out.flush().with_context(|| format!("writing {}", args.output.display()))?;
    Ok(written)
}
