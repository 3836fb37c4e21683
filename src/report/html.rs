//! `--format html`: one page without anything else to fetch, for people who would rather look than read.
//!
//! ```text
//! the answer, numbers, inputs                       page.rs, page.css, page.js
//! pictures                                          pictures.rs -> charts.rs, from figures.rs
//! findings with advice
//! table of connections, each opens into its ladder  table.rs, ladder.rs
//! ```
//!
//! Tables, ladders and numbers need no JavaScript; with it the table is sorted, searched and filtered. A page of 100,000
//! connections must open at once: the pictures count all of them, the table lists the worst ([`ROWS_MAX`]), and says so. The very worst have all of
//! their last packets, for which the program reads its files again; the others those that are evidence.
//! Whatever packets may have written goes through `shown::Shown`.

mod shown;
mod charts;
mod ladder;
mod pictures;
mod table;
mod page;

pub use ladder::Rung;

use super::figures::Figures;
use super::json::anomalies;
use super::model::{Connection, Input, Summary};
use crate::analyzer::ladder::Leg;
use crate::anomaly::AnomalyCounts;
use page::Head;
use std::collections::BTreeMap;
use std::io::{self, Write};
use table::{Files, Row};

/// Connections that the table lists. Each takes some 4 KB of the page.
pub const ROWS_MAX: usize = 1_000;
/// Connections whose ladder is drawn; the others have its packets as a list.
pub const DRAWN_MAX: usize = 250;

/// Gathers the worst connections and counts all, then writes the page.
#[derive(Debug, Default)]
pub struct HtmlReport {
    /// The worst so far, by severity, then by number.
    rows: BTreeMap<(u8, u64), Row>,
    figures: Figures,
}

impl HtmlReport {
    /// Counts a connection that is not to be listed.
    pub fn count(&mut self, connection: &Connection<'_>) {
        self.figures.count(connection);
    }

    /// Adds a connection.
    pub fn add(&mut self, connection: &Connection<'_>) {
        self.count(connection);
        let place = (table::severity(connection), connection.id);
        if self.rows.len() >= ROWS_MAX {
            if self.rows.last_key_value().is_none_or(|(last, _)| *last <= place) {
                return;
            }
            self.rows.pop_last();
        }
        self.rows.insert(place, Row::new(connection));
    }

    /// The numbers of the worst connections, `most` at most: those whose packets are worth reading again.
    pub fn worst(&self, most: usize) -> impl Iterator<Item = u64> {
        self.rows.keys().take(most).map(|(_, id)| *id)
    }

    /// Shows a connection's last packets, with those of its other leg, beside those that are evidence; `left_out` came
    /// before them. `own`: the leg that is the connection itself.
    pub fn add_rungs(&mut self, id: u64, rungs: Vec<Rung>, own: Leg, left_out: u64) {
        if let Some((_, row)) = self.rows.iter_mut().find(|((_, of), _)| *of == id) {
            row.add_rungs(rungs, own, left_out);
        }
    }

    /// Writes the page.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn write(
        &self,
        out: &mut impl Write,
        inputs: &[Input],
        summary: &Summary,
        counts: &AnomalyCounts,
    ) -> io::Result<()> {
        let anomalies = anomalies(counts);
        let listed = self.rows.keys().map(|(_, id)| *id).collect();
        let head = Head { inputs, summary, anomalies: &anomalies, figures: &self.figures, listed };
        let pictures = pictures::pictures(&self.figures, summary);
        out.write_all(page::head(&head, &pictures).as_bytes())?;
        let files = Files::new(inputs);
        // The worst are drawn; all are listed in order of time.
        let mut rows: Vec<(usize, &Row)> = self.rows.values().enumerate().collect();
        rows.sort_by_key(|(_, row)| (row.opened_at, row.id));
        for (place, row) in rows {
            out.write_all(page::row(row, place < DRAWN_MAX, &files).as_bytes())?;
        }
        out.write_all(page::foot().as_bytes())
    }
}
