//! Does the capture's thread still go on? What `/healthz` answers by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// It turns four times a second, also in silence. So much longer it may take over what one turn brings.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Heartbeat {
    began: Instant,
    /// When it beat last, in milliseconds since it began.
    last_ms: Arc<AtomicU64>,
}

impl Heartbeat {
    pub(crate) fn new() -> Heartbeat {
        Heartbeat { began: Instant::now(), last_ms: Arc::default() }
    }

    pub(crate) fn beat(&self) {
        self.last_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long it has not beaten, where that is too long.
    pub(crate) fn silent_for(&self) -> Option<Duration> {
        let last = self.last_ms.load(Ordering::Relaxed);
        let silence = Duration::from_millis(self.elapsed_ms().saturating_sub(last));
        (silence >= PATIENCE).then_some(silence)
    }

    /// One that began so long ago, and has not beaten since.
    #[cfg(test)]
    pub(crate) fn silent_since(silence: Duration) -> Heartbeat {
        Heartbeat { began: Instant::now().checked_sub(silence).unwrap(), last_ms: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_that_beats_is_not_silent() {
        let heartbeat = Heartbeat::silent_since(PATIENCE);
        assert!(heartbeat.silent_for().is_some_and(|silence| silence >= PATIENCE));
        heartbeat.beat();
        assert_eq!(heartbeat.silent_for(), None);
        assert_eq!(Heartbeat::new().silent_for(), None);
    }
}
