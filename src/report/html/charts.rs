//! Pictures of counts, as SVG made here.
//!
//! A plotting library would fix colours and fonts in the picture: no light and dark by the reader's choice, no class for
//! the style sheet, no tooltip on a column. A stack of rectangles needs no more than this page.

use super::shown::Shown;
use crate::report::text::words::{counted, grouped};
use maud::{Markup, html};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 22.0;
/// From one line of a chart of bars to the next.
const LINE: f64 = 24.0;
/// Where the bars begin: names are to the left.
const NAMES: f64 = 230.0;
/// Columns of an address or its like.
const NAME_WIDTH: usize = 30;

/// A part of a column or bar.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What it counts: a label or a kind.
    pub(super) name: String,
    pub(super) count: u64,
}

/// A column or bar.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// What it stands for: a time, a range, an address.
    pub(super) name: String,
    /// Its place among columns, from 0.
    pub(super) place: usize,
    /// What stands under it.
    pub(super) tick: Option<String>,
    pub(super) parts: Vec<Part>,
}

/// A line down the chart that marks a known value.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// In columns from the left.
    pub(super) place: f64,
    pub(super) name: String,
    pub(super) about: String,
}

/// A chart, with what its reader needs to understand it.
pub(super) struct Chart<'a> {
    /// Short and lasting, for programs.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) about: String,
    /// What its first column of numbers holds.
    pub(super) of: &'a str,
    pub(super) columns: Vec<Column>,
    pub(super) marks: Vec<Mark>,
    /// The names of parts, in order; one alone needs no legend.
    pub(super) parts: Vec<String>,
    /// What stands in place of the chart where it would be empty.
    pub(super) empty: &'a str,
}

impl Chart<'_> {
    /// Columns from left to right.
    pub(super) fn upright(&self) -> Markup {
        self.figure(|| self.draw_upright())
    }

    /// Bars below each other.
    pub(super) fn lying(&self) -> Markup {
        self.figure(|| self.draw_lying())
    }

    fn figure(&self, draw: impl FnOnce() -> Markup) -> Markup {
        html! {
            figure id=(format!("figure-{}", self.id)) {
                figcaption { strong { (self.title) } " " span { (self.about) } }
                @if self.columns.is_empty() {
                    p class="empty" { (self.empty) }
                } @else {
                    @if self.parts.len() > 1 { (self.legend()) }
                    (draw())
                    (self.numbers())
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        html! {
            ul class="legend" {
                @for name in &self.parts {
                    li { svg viewBox="0 0 10 10" aria-hidden="true" { rect class=(self.class(name)) width="10" height="10" {} } (Shown::new(name)) }
                }
            }
        }
    }

    /// The same as numbers, for those who do not see pictures, and for copying.
    fn numbers(&self) -> Markup {
        html! {
            details class="numbers" {
                summary { "Numbers" }
                div class="scroll" tabindex="0" role="region" aria-label=(format!("Numbers: {}", self.title)) {
                    table data-figure=(self.id) {
                        thead { tr { th scope="col" { (self.of) } @for name in &self.parts { th scope="col" { (Shown::new(name)) } } } }
                        tbody {
                            @for column in self.columns.iter().filter(|column| column.total() > 0) {
                                tr {
                                    th scope="row" { (Shown::new(&column.name)) }
                                    @for name in &self.parts { td { (column.of(name)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn draw_upright(&self) -> Markup {
        let most = self.columns.iter().map(Column::total).max().unwrap_or(1).max(1);
        let places = self.columns.iter().map(|column| column.place + 1).max().unwrap_or(1) as f64;
        let step = ((WIDTH - LEFT - 8.0) / places).min(56.0);
        let floor = HEIGHT - BOTTOM;
        let height = |count: u64| count as f64 / most as f64 * (floor - TOP);
        html! {
            svg class="chart" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.spoken()) {
                (axis(most, floor))
                @for column in &self.columns {
                    @let x = LEFT + column.place as f64 * step;
                    @for (part, below) in column.stacked() {
                        @let y = floor - height(below + part.count);
                        rect class=(self.class(&part.name)) x=(format!("{:.1}", x + step * 0.08)) y=(format!("{y:.1}"))
                            width=(format!("{:.1}", step * 0.84)) height=(format!("{:.1}", height(part.count).max(1.0))) {
                            title { (Shown::new(&format!("{}: {} {}", column.name, grouped(part.count), part.name))) }
                        }
                    }
                    @if let Some(tick) = &column.tick {
                        line class="axis" x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1=(floor) y2=(floor + 5.0) {}
                        text class=(if x > WIDTH - 60.0 { "tick last" } else { "tick" }) x=(format!("{x:.1}")) y=(floor + 18.0) { (tick) }
                    }
                }
                @for (number, mark) in self.marks.iter().enumerate() {
                    @let x = format!("{:.1}", LEFT + mark.place * step);
                    line class="mark" x1=(x) x2=(x) y1=(TOP - 8.0) y2=(floor) { title { (mark.about) } }
                    text class="mark" x=(x) y=(if number % 2 == 0 { 10.0 } else { 21.0 }) { (mark.name) title { (mark.about) } }
                }
            }
        }
    }

    fn draw_lying(&self) -> Markup {
        let most = self.columns.iter().map(Column::total).max().unwrap_or(1).max(1);
        let width = |count: u64| count as f64 / most as f64 * (WIDTH - NAMES - 70.0);
        let bottom = self.columns.len() as f64 * LINE + 6.0;
        html! {
            svg class="chart" viewBox=(format!("0 0 {WIDTH} {bottom}")) role="img" aria-label=(self.spoken()) {
                @for (line, column) in self.columns.iter().enumerate() {
                    @let y = line as f64 * LINE + 4.0;
                    text class="name" x=(NAMES - 8.0) y=(y + 13.0) { (Shown::within(&column.name, NAME_WIDTH)) }
                    @for (part, before) in column.stacked() {
                        rect class=(self.class(&part.name)) x=(format!("{:.1}", NAMES + width(before))) y=(y)
                            width=(format!("{:.1}", width(part.count).max(1.0))) height=(LINE - 7.0) {
                            title { (Shown::new(&format!("{}: {} {}", column.name, grouped(part.count), part.name))) }
                        }
                    }
                    text class="count" x=(format!("{:.1}", NAMES + width(column.total()) + 6.0)) y=(y + 13.0) {
                        (grouped(column.total()))
                    }
                }
            }
        }
    }

    fn spoken(&self) -> String {
        let total = self.columns.iter().map(Column::total).sum();
        format!("{}: {}; the numbers are in the table below", self.title, counted(total, "value"))
    }

    /// The class of a part's colour: known labels and kinds have their own.
    fn class(&self, name: &str) -> String {
        match name {
            "1000" | "coded" => "c-good".to_owned(),
            "1001" => "c-away".to_owned(),
            "1005" => "c-empty".to_owned(),
            "1006" | "abnormal" => "c-lost".to_owned(),
            "count" if self.id == "silences" => "c-lost".to_owned(),
            "refused" => "c-refused".to_owned(),
            "unknown" => "c-unknown".to_owned(),
            "open" => "c-open".to_owned(),
            "other" => "c-other".to_owned(),
            _ => format!("c-{}", self.parts.iter().position(|part| part == name).unwrap_or(0) % 4),
        }
    }
}

impl Column {
    fn total(&self) -> u64 {
        self.parts.iter().map(|part| part.count).sum()
    }

    fn of(&self, name: &str) -> u64 {
        self.parts.iter().filter(|part| part.name == name).map(|part| part.count).sum()
    }

    /// Each part with the sum of those before it.
    fn stacked(&self) -> impl Iterator<Item = (&Part, u64)> {
        self.parts.iter().filter(|part| part.count > 0).scan(0, |sum, part| {
            let before = *sum;
            *sum += part.count;
            Some((part, before))
        })
    }
}

fn axis(most: u64, floor: f64) -> Markup {
    let ticks: Vec<u64> = if most >= 4 { vec![most, most / 2] } else { (1..=most).collect() };
    html! {
        line class="axis" x1=(LEFT) x2=(WIDTH) y1=(floor) y2=(floor) {}
        @for tick in ticks {
            @let y = floor - tick as f64 / most as f64 * (floor - TOP);
            line class="grid" x1=(LEFT) x2=(WIDTH) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
            text class="scale" x=(LEFT - 6.0) y=(format!("{:.1}", y + 4.0)) { (grouped(tick)) }
        }
    }
}
