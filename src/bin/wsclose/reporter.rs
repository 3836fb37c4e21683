//! Judges and reports what was followed, on a thread of its own where there is a processor for it.
//!
//! ```text
//!  packets --> Follower --batches of Followed--> Settler --> Output
//!              this thread                       this thread, or the reporter's
//! ```
//!
//! What is followed is handed over in order, so that the report is the same on one thread or two.

use crate::output::Output;
use anyhow::{Result, anyhow};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use wsclose::analyzer::{Followed, Follower, Judge, Settler};

/// Connections handed over together: enough that waking the other thread costs little for each.
const BATCH: usize = 128;
/// Batches that wait for the reporter; then the follower waits, so that memory stays bounded.
const WAITING: usize = 2;

/// The second half of an analysis, and the report it goes to.
pub(crate) struct Reporter {
    pub(crate) settler: Settler,
    pub(crate) output: Output,
}

/// Takes batches of what was followed.
pub(crate) type HandOver<'a> = dyn FnMut(Vec<Followed>) -> Result<()> + 'a;

impl Reporter {
    fn take(&mut self, batch: Vec<Followed>) -> io::Result<()> {
        for followed in batch {
            self.settler.take(followed);
        }
        self.drain()
    }

    /// Reports what has been settled.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        while let Some(record) = self.settler.poll_record() {
            self.output.take(&record)?;
        }
        Ok(())
    }

    /// Runs `follow`, and reports what it hands over: in between, or on a second thread; `at_once`, or in batches.
    ///
    /// # Errors
    /// The first of `follow`, or of the output.
    pub(crate) fn serve(
        &mut self,
        threads: usize,
        at_once: bool,
        follow: impl FnOnce(&mut HandOver<'_>) -> Result<()>,
    ) -> Result<()> {
        if threads < 2 {
            return follow(&mut |batch| Ok(self.take(batch)?));
        }
        thread::scope(|scope| {
            let (hand_over, batches) = sync_channel(WAITING);
            let mut judge = self.settler.judge();
            let reporter = scope.spawn(move || self.take_all(&batches));
            // A reporter that has ended has an error to tell, which comes first.
            let mut send = |batch| {
                send(&hand_over, &mut judge, batch).ok_or_else(|| anyhow!("the report can't be written"))
            };
            let mut waiting = Vec::new();
            let followed = follow(&mut |mut batch| {
                waiting.append(&mut batch);
                if at_once || waiting.len() >= BATCH { send(std::mem::take(&mut waiting)) } else { Ok(()) }
            });
            let followed = followed.and_then(|()| send(waiting));
            drop(hand_over);
            reporter.join().map_err(|_| anyhow!("the reporter's thread panicked"))??;
            followed
        })
    }

    fn take_all(&mut self, batches: &Receiver<Vec<Followed>>) -> io::Result<()> {
        batches.iter().try_for_each(|batch| self.take(batch))
    }
}

/// Sends a batch; where the reporter is behind, takes work off it instead of waiting. `None`: it has ended.
fn send(to: &SyncSender<Vec<Followed>>, judge: &mut Judge, batch: Vec<Followed>) -> Option<()> {
    match to.try_send(batch) {
        Ok(()) => Some(()),
        Err(TrySendError::Full(batch)) => {
            let judged = batch.into_iter().map(|followed| judge.judge_ahead(followed)).collect();
            to.send(judged).ok()
        }
        Err(TrySendError::Disconnected(_)) => None,
    }
}

/// Hands over all that `follower` has.
pub(crate) fn hand_over(follower: &mut Follower, to: &mut HandOver<'_>) -> Result<()> {
    loop {
        let batch: Vec<Followed> = std::iter::from_fn(|| follower.poll()).take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        to(batch)?;
    }
}
