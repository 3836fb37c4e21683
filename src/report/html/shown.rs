//! Text on its way to the page.

use crate::report::escape::{cut, terminal};
use maud::Render;

/// Text that packets or file names may have made: escaped as for a terminal (controls, NUL, bidirectional overrides,
/// heaps of marks), then as HTML asks, by [`maud`], wherever it is put.
///
/// Templates take nothing else of a connection but numbers and words of this program; `PreEscaped` stands in `page.rs`
/// alone, for the page's own style and script. A test counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown(String);

impl Shown {
    pub(super) fn new(text: &str) -> Self {
        Shown(terminal(text))
    }

    /// Cut to so many columns.
    pub(super) fn within(text: &str, width: usize) -> Self {
        Shown(cut(&terminal(text), width))
    }
}

impl Render for Shown {
    fn render_to(&self, buffer: &mut String) {
        self.0.as_str().render_to(buffer);
    }
}
