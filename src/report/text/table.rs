//! Rows in columns, fitted to a terminal.

use super::paint;
use super::row::{Column, Row};
use super::rows::Rows;
use crate::report::escape::cut;
use unicode_width::UnicodeWidthStr as _;

/// Space between two columns.
const GUTTER: usize = 2;
/// The least that a cell is cut to; below that its column goes.
const LEAST: usize = 14;
/// What can be done without where there is no room, in that order.
const DISPENSABLE: [Column; 7] =
    [Column::Stream, Column::Life, Column::Request, Column::Via, Column::Idle, Column::Opened, Column::File];

/// Which columns are shown, and how wide.
#[derive(Debug)]
pub(super) struct Layout {
    columns: Vec<(Column, usize)>,
    dropped: Vec<&'static str>,
}

impl Layout {
    /// Columns as wide as their cells; with a `width`, cut and dropped until they fit.
    pub(super) fn fit(rows: &Rows, width: Option<usize>) -> Layout {
        let mut columns = Vec::new();
        for column in Column::ALL {
            let widest = rows.widest(column);
            if widest > 0 {
                columns.push((column, widest.max(column.heading().len())));
            }
        }
        let mut layout = Layout { columns, dropped: Vec::new() };
        if let Some(width) = width {
            layout.shrink_to(width);
        }
        layout
    }

    fn width(&self) -> usize {
        let cells: usize = self.columns.iter().map(|(_, width)| width).sum();
        cells.saturating_add(self.columns.len().saturating_sub(1).saturating_mul(GUTTER))
    }

    fn shrink_to(&mut self, width: usize) {
        self.cut(Column::Request, width);
        self.cut(Column::File, width);
        self.cut(Column::End, width);
        for column in DISPENSABLE {
            if self.width() <= width {
                break;
            }
            let before = self.columns.len();
            self.columns.retain(|(kept, _)| *kept != column);
            if self.columns.len() < before {
                self.dropped.push(column.heading());
            }
        }
        // What was dropped may have left more room than was needed.
        let spare = width.saturating_sub(self.width());
        if let Some((_, last)) = self.columns.iter_mut().find(|(column, _)| *column == Column::Request) {
            *last = last.saturating_add(spare);
        }
    }

    fn cut(&mut self, column: Column, width: usize) {
        let excess = self.width().saturating_sub(width);
        if let Some((_, cells)) = self.columns.iter_mut().find(|(of, _)| *of == column) {
            *cells = cells.saturating_sub(excess).max(LEAST.min(*cells));
        }
    }

    /// Headings of the columns for which there was no room.
    pub(super) fn dropped(&self) -> &[&'static str] {
        &self.dropped
    }

    /// The line of headings.
    pub(super) fn headings(&self) -> String {
        self.join(Column::heading, |_, text| text)
    }

    /// A connection's line.
    pub(super) fn line(&self, row: &Row<'_>, color: bool) -> String {
        let paint = |column, text: String| {
            if column == Column::End { paint(&row.kind, &text, color) } else { text }
        };
        self.join(|column| row.cell(column), paint)
    }

    /// Joins the columns' texts; `paint` colours one after it is measured.
    fn join<'a>(&self, text: impl Fn(Column) -> &'a str, paint: impl Fn(Column, String) -> String) -> String {
        let mut line = String::new();
        for (column, width) in &self.columns {
            let text = cut(text(*column), *width);
            let fill = " ".repeat(width.saturating_sub(text.width()));
            let text = paint(*column, text);
            if column.is_right_aligned() {
                line.extend([&fill, &text, "  "]);
            } else {
                line.extend([&text, fill.as_str(), "  "]);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn row(end: &str, request: &str) -> Row<'static> {
        let cells = Column::ALL.map(|column| match column {
            Column::File | Column::Via => "".into(),
            Column::Stream => "7".into(),
            Column::Client | Column::Server => "10.77.1.2:44978".into(),
            Column::Opened => "20:14:38.176".into(),
            Column::Life | Column::Idle => "60.0 s".into(),
            Column::End => end.to_owned().into(),
            Column::By => "server".into(),
            Column::Request => request.to_owned().into(),
        });
        Row { opened_at: String::new(), cells, kind: "coded".into(), details: Vec::new() }
    }

    fn all(of: &[Row<'_>]) -> Rows {
        let mut rows = Rows::default();
        of.iter().for_each(|row| rows.push(Timestamp::default(), row));
        rows
    }

    #[test]
    fn every_line_fits_the_terminal() {
        let rows = [row("1001 \"日本語日本語日本語日本語\"", "example.org/a/long/path?with=a&query=string")];
        for width in 60..200 {
            let layout = Layout::fit(&all(&rows), Some(width));
            for line in [layout.headings(), layout.line(&rows[0], false)] {
                assert!(line.width() <= width, "{} of {width}: {line}", line.width());
            }
        }
    }

    #[test]
    fn what_finds_no_room_is_named() {
        let rows = [row("1000", "/ws")];
        assert_eq!(Layout::fit(&all(&rows), Some(200)).dropped(), [""; 0]);
        assert_eq!(Layout::fit(&all(&rows), Some(90)).dropped(), ["STREAM"]);
        assert!(Layout::fit(&all(&rows), Some(80)).dropped() == ["STREAM", "LIFE"]);
    }

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        let path = "/x".repeat(49);
        let rows = [row("1000", &path)];
        let layout = Layout::fit(&all(&rows), None);
        assert!(layout.line(&rows[0], false).ends_with(&path));
    }

    #[test]
    fn colour_does_not_move_the_columns() {
        let rows = [row("1000", "/ws"), row("1006 timeout", "/ws")];
        let layout = Layout::fit(&all(&rows), None);
        let plain = layout.line(&rows[0], false);
        let painted = layout.line(&rows[0], true);
        assert!(painted.contains("\u{1b}[32m1000\u{1b}[0m "));
        assert_eq!(painted.replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), plain);
    }
}
