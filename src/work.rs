//! Counts the steps of loops whose length an input decides. Tests hold that count to the size of the input: it tells a
//! quadratic path from a linear one on any machine, however busy. Outside of tests it is nothing.

/// A turn of such a loop.
#[inline]
pub(crate) fn step() {
    steps(1);
}

/// Several turns.
#[inline]
pub(crate) fn steps(count: usize) {
    #[cfg(test)]
    counter::STEPS.with(|steps| steps.set(steps.get() + count as u64));
    let _ = count;
}

/// The steps that `work` takes on this thread.
#[cfg(test)]
pub(crate) fn of(work: impl FnOnce()) -> u64 {
    let before = counter::STEPS.with(std::cell::Cell::get);
    work();
    counter::STEPS.with(std::cell::Cell::get) - before
}

#[cfg(test)]
mod counter {
    use std::cell::Cell;

    thread_local! {
        pub(super) static STEPS: Cell<u64> = const { Cell::new(0) };
    }
}
