//! Lines, paragraphs and columns that keep to a width.

use std::io::{self, Write};
use textwrap::{Options, WordSplitter};

/// Columns of a label, its distance from the text included.
const LABEL: usize = 13;
/// Columns between two texts that stand side by side.
const GUTTER: usize = 3;
/// The least and the greatest width: below it two columns can't be read, above it lines are too long to read.
const BOUNDS: (usize, usize) = (72, 100);

/// Text of a given width on its way to `out`.
pub(super) struct Page<'a, W> {
    out: &'a mut W,
    width: usize,
}

impl<'a, W: Write> Page<'a, W> {
    pub(super) fn new(out: &'a mut W, width: usize) -> Page<'a, W> {
        Page { out, width: width.clamp(BOUNDS.0, BOUNDS.1) }
    }

    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.wrapped(text, "", "")
    }

    pub(super) fn bullet(&mut self, text: &str) -> io::Result<()> {
        self.wrapped(text, "  - ", "    ")
    }

    /// A label, and its text beside it.
    pub(super) fn paragraph(&mut self, label: &str, text: &str) -> io::Result<()> {
        let first = format!("  {label:<LABEL$}");
        let next = " ".repeat(LABEL.saturating_add(2));
        self.wrapped(text, &first, &next)
    }

    /// A name, and what it means under it.
    pub(super) fn entry(&mut self, name: &str, meaning: &str) -> io::Result<()> {
        self.wrapped(name, "  ", "  ")?;
        self.wrapped(meaning, "      ", "      ")
    }

    /// A line across the columns.
    pub(super) fn rule(&mut self) -> io::Result<()> {
        let column = "-".repeat(self.column());
        writeln!(self.out, "{:LABEL$}{column}{:GUTTER$}{column}", "", "")
    }

    /// A label, and two texts side by side.
    pub(super) fn columns(&mut self, label: &str, left: &str, right: &str) -> io::Result<()> {
        let column = self.column();
        let left = textwrap::wrap(left, unsplit(column));
        let right = textwrap::wrap(right, unsplit(column));
        for row in 0..left.len().max(right.len()) {
            let label = if row == 0 { label } else { "" };
            let left = left.get(row).map_or("", AsRef::as_ref);
            let right = right.get(row).map_or("", AsRef::as_ref);
            let line = format!("{label:<LABEL$}{left:<column$}{:GUTTER$}{right}", "");
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Columns for each of two texts.
    fn column(&self) -> usize {
        self.width.saturating_sub(LABEL).saturating_sub(GUTTER) / 2
    }

    fn wrapped(&mut self, text: &str, first: &str, next: &str) -> io::Result<()> {
        let options = unsplit(self.width).initial_indent(first).subsequent_indent(next);
        for line in textwrap::wrap(text, options) {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Lines that end between words, never at a hyphen: a command is to be copied whole.
fn unsplit<'a>(width: usize) -> Options<'a> {
    Options::new(width).word_splitter(WordSplitter::NoHyphenation)
}
