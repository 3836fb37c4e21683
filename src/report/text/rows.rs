//! The rows of a report until it is written: the summary stands before them, so that each waits for the last connection.

use super::row::{Column, Row};
use super::words::{day, time_of_day};
use crate::analyzer::interned::Interned;
use crate::time::Timestamp;
use std::borrow::Cow;
use unicode_width::UnicodeWidthStr as _;

/// The columns whose texts many connections have in common.
const SHARED: [Column; 6] =
    [Column::File, Column::Server, Column::Via, Column::End, Column::By, Column::Request];
/// Texts held once, of each of them; of others each row keeps its own.
const SHARED_MAX: usize = 1_024;
/// Stands for a text that a row keeps itself.
const OWN: u16 = u16::MAX;
/// Ends a text: what is escaped has no line's end in it.
const END: char = '\n';

/// A row as it is kept.
///
/// ```text
/// +--------+------+-----------------------------+
/// | opened | own  | numbers of shared texts     |  40 bytes, and what `own` points to
/// |   8    |  16  | 2 each: SHARED, the kind    |
/// +--------+--|---+-----------------------------+
///             v
///             STREAM \n CLIENT \n LIFE \n IDLE \n  what is not shared \n ...  the lines under it \n ...
/// ```
#[derive(Debug)]
struct Kept {
    opened_at: Timestamp,
    own: Box<str>,
    shared: [u16; SHARED.len()],
    kind: u16,
}

/// The rows of a report, and how wide their columns are.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Kept>,
    shared: [Interned<Box<str>>; SHARED.len()],
    kinds: Interned<Box<str>>,
    widest: [usize; Column::ALL.len()],
    /// Where a row's own text is put together.
    text: String,
}

impl Rows {
    /// Adds the row of a connection that was opened then.
    pub(super) fn push(&mut self, opened_at: Timestamp, row: &Row<'_>) {
        self.text.clear();
        for (column, widest) in Column::ALL.into_iter().zip(&mut self.widest) {
            *widest = row.cell(column).width().max(*widest);
            if !SHARED.contains(&column) && column != Column::Opened {
                self.text.extend([row.cell(column), "\n"]);
            }
        }
        let mut shared = [OWN; SHARED.len()];
        for ((number, held), column) in shared.iter_mut().zip(&mut self.shared).zip(SHARED) {
            *number = share(held, row.cell(column), &mut self.text);
        }
        let kind = share(&mut self.kinds, &row.kind, &mut self.text);
        self.text.extend(row.details.iter().flat_map(|detail| [detail, "\n"]));
        self.rows.push(Kept { opened_at, own: self.text.as_str().into(), shared, kind });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns that the widest text of `column` takes.
    pub(super) fn widest(&self, column: Column) -> usize {
        self.widest.get(column as usize).copied().unwrap_or(0)
    }

    /// Puts them in the order in which they were opened.
    pub(super) fn sort(&mut self) {
        self.rows.sort_by_key(|row| row.opened_at);
    }

    /// Were they opened on several days? Of what is sorted.
    pub(super) fn are_of_several_days(&self) -> bool {
        let of = |row: Option<&Kept>| row.map(|row| day(&row.opened_at.to_rfc3339()).to_owned());
        of(self.rows.first()) != of(self.rows.last())
    }

    /// The rows, as they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|kept| self.unpacked(kept))
    }

    fn unpacked<'a>(&'a self, kept: &'a Kept) -> Row<'a> {
        let mut own = kept.own.split_terminator(END);
        let opened_at = kept.opened_at.to_rfc3339();
        let mut cells = Column::ALL.map(|column| match column {
            Column::Opened => Cow::Owned(time_of_day(&opened_at, 3).to_owned()),
            column if SHARED.contains(&column) => Cow::Borrowed(""),
            _ => Cow::Borrowed(own.next().unwrap_or_default()),
        });
        let mut text = |held: &'a Interned<Box<str>>, number: u16| match held
            .get(number.into())
            .filter(|_| number != OWN)
        {
            Some(shared) => &**shared,
            None => own.next().unwrap_or_default(),
        };
        for ((number, held), column) in kept.shared.iter().zip(&self.shared).zip(SHARED) {
            if let Some(cell) = cells.get_mut(column as usize) {
                *cell = text(held, *number).into();
            }
        }
        let kind = text(&self.kinds, kept.kind).into();
        Row { opened_at, cells, kind, details: own.map(Cow::Borrowed).collect() }
    }
}

/// The number of `text`; where there is no room for it, it goes to the row's `own`.
fn share(held: &mut Interned<Box<str>>, text: &str, own: &mut String) -> u16 {
    let number = held.hold(text, SHARED_MAX).and_then(|number| u16::try_from(number).ok());
    number.unwrap_or_else(|| {
        own.extend([text, "\n"]);
        OWN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row whose texts are all different from those of another number, and as many lines under it.
    fn row(number: usize) -> Row<'static> {
        let opened_at = Timestamp::from_parts(number.try_into().unwrap(), 0).to_rfc3339();
        let cells = Column::ALL.map(|column| match column {
            Column::Opened => time_of_day(&opened_at, 3).to_owned().into(),
            Column::Via | Column::By => Cow::Borrowed(""),
            _ => format!("{} {number}", column.heading()).into(),
        });
        let details = (0..number % 3).map(|line| format!("line {line} of {number}").into()).collect();
        Row { opened_at, cells, kind: "coded".into(), details }
    }

    fn said(row: &Row<'_>) -> String {
        format!("{row:?}")
    }

    #[test]
    fn rows_are_given_back_as_they_came() {
        let count = SHARED_MAX + 10;
        let mut rows = Rows::default();
        for number in 0..count {
            rows.push(Timestamp::from_parts(number.try_into().unwrap(), 0), &row(number));
        }
        assert_eq!(rows.iter().count(), count);
        for (kept, number) in rows.iter().zip(0..) {
            assert_eq!(said(&kept), said(&row(number)));
        }
        assert_eq!(rows.widest(Column::Request), "REQUEST 1000".len());
        assert_eq!((rows.widest(Column::Via), rows.widest(Column::Opened)), (0, 12));
    }

    #[test]
    fn what_many_have_in_common_is_held_once() {
        let mut rows = Rows::default();
        let mut usual = row(0);
        for number in 0..1_000_usize {
            usual.cells[Column::Stream as usize] = number.to_string().into();
            rows.push(Timestamp::default(), &usual);
        }
        let own: usize = rows.rows.iter().map(|row| row.own.len()).sum();
        let each = own / rows.rows.len() + size_of::<Kept>();
        assert!(each <= 40 + "999\nCLIENT 0\nLIFE 0\nIDLE 0\n".len(), "{each} bytes a row");
        assert!(rows.shared.iter().all(|held| held.len() == 1));
    }

    #[test]
    fn rows_opened_at_once_keep_their_order() {
        let mut rows = Rows::default();
        for number in [1, 2, 3] {
            rows.push(Timestamp::from_parts(5 - i64::from(number > 1), 0), &row(number));
        }
        assert!(!rows.are_of_several_days());
        rows.sort();
        let order: Vec<_> = rows.iter().map(|row| row.cell(Column::Client).to_owned()).collect();
        assert_eq!(order, ["CLIENT 2", "CLIENT 3", "CLIENT 1"]);
        rows.push(Timestamp::from_parts(90_000, 0), &row(4));
        assert!(rows.are_of_several_days());
    }
}
