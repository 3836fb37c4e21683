//! What signals ask for.

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// INT and TERM set `stop`; one that comes while `is_last` is set ends the process at once, should the output not take the
/// summary.
///
/// # Errors
/// The system does not let handlers be installed.
pub(crate) fn stop(stop: &Arc<AtomicBool>, is_last: &Arc<AtomicBool>) -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 128 + signal, Arc::clone(is_last))
            .and_then(|_| register(signal, Arc::clone(stop)))
            .context("installing a signal handler")?;
    }
    Ok(())
}
