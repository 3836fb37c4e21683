//! Draws what `--top` shows.
//!
//! ```text
//!  wsclose live  eth0                                           up 0:12:34   812 packets/s, 3.1 Mbit/s
//!  open 120 WebSockets, 130 TCP; ended 52, 4 in the last minute; dropped 0; evicted 0; memory 1.2 MiB
//!  +- Ends ----------------------+ +- Worst servers ----------------------------------------------+
//!  +- Last abnormal ends --------------------------------------------------------------------------+
//!  q quits
//! ```

use crate::figures::{Ends, Figures, Lost, RATE_SECONDS, Server};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table};

/// Columns from which two tables stand side by side.
const SIDE_BY_SIDE: u16 = 90;
/// Rows of the upper tables, with their frame and heading.
const UPPER: u16 = 11;

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) color: bool,
}

impl Look {
    fn of_kind(self, kind: &str) -> Style {
        let color = match kind {
            "coded" => Color::Green,
            "abnormal" => Color::Red,
            "refused" => Color::Magenta,
            "unknown" => Color::Yellow,
            _ => Color::Blue,
        };
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    fn alarm(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.color { style.fg(Color::Red) } else { style.add_modifier(Modifier::REVERSED) }
    }
}

/// Draws all of it.
pub(crate) fn draw(frame: &mut Frame<'_>, figures: &Figures, look: Look) {
    let area = frame.area();
    let heading = heading(figures, look, area.width);
    let [head, upper, lower, foot] = Layout::vertical([
        Constraint::Length(u16::try_from(heading.len()).unwrap_or(u16::MAX)),
        Constraint::Length(if area.width < SIDE_BY_SIDE { 2 * UPPER } else { UPPER }),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(heading), head);
    let (ends, servers) = halves(upper);
    frame.render_widget(ends_table(figures, look), ends);
    frame.render_widget(servers_table(figures, look), servers);
    frame.render_widget(last_table(figures, look), lower);
    frame.render_widget(Paragraph::new(footer(figures)), foot);
}

fn halves(area: Rect) -> (Rect, Rect) {
    let [one, other] = if area.width < SIDE_BY_SIDE {
        Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
    } else {
        Layout::horizontal([Constraint::Length(40), Constraint::Fill(1)]).areas(area)
    };
    (one, other)
}

fn heading<'a>(figures: &Figures, look: Look, width: u16) -> Vec<Line<'a>> {
    let stats = &figures.stats;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let first = Line::from(vec![
        Span::styled("wsclose live ", bold),
        Span::raw(format!(
            "{}   up {}   {:.0} packets/s, {}",
            figures.interfaces,
            clock(figures.now),
            figures.speed.packets,
            bits(figures.speed.bits)
        )),
    ]);
    let revised = if figures.revised == 0 { String::new() } else { format!(", {} revised", figures.revised) };
    let memory = stats.memory.total();
    let dropped =
        format!("dropped {} by kernel, {} by interface", stats.dropped_by_kernel, stats.dropped_by_interface);
    let drops_now = figures.dropped.last_minute(figures.now) > 0;
    let phrases = vec![
        Span::raw(format!("open {} WebSockets, {} TCP", stats.websockets.open, stats.tcp_connections.open)),
        Span::raw(format!(
            "ended {}, {} in the last minute{revised}",
            figures.all.total,
            figures.all.last_minute(figures.now)
        )),
        Span::styled(dropped, if drops_now { look.alarm() } else { Style::new() }),
        Span::raw(format!("evicted {}", stats.evicted)),
        Span::raw(format!("memory {}", bytes(memory))),
    ];
    std::iter::once(first).chain(filled(phrases, usize::from(width))).collect()
}

/// Phrases on as few lines of `width` columns as hold them whole.
fn filled(phrases: Vec<Span<'_>>, width: usize) -> Vec<Line<'_>> {
    const BETWEEN: &str = "; ";
    let mut lines: Vec<Line<'_>> = Vec::new();
    for phrase in phrases {
        let needs = BETWEEN.len() + phrase.width();
        match lines.last_mut() {
            // A phrase may be followed by the mark that more comes on the next line.
            Some(line) if line.width() + needs < width => {
                line.push_span(BETWEEN);
                line.push_span(phrase);
            }
            Some(line) => {
                line.push_span(BETWEEN.trim_end());
                lines.push(Line::from(phrase));
            }
            None => lines.push(Line::from(phrase)),
        }
    }
    lines
}

fn ends_table<'a>(figures: &'a Figures, look: Look) -> Table<'a> {
    let row = |ends: &'a Ends| {
        let minute = ends.rate.last_minute(figures.now);
        let cells = [ends.label.clone(), ends.rate.total.to_string(), minute.to_string()];
        Row::new(cells).style(look.of_kind(&ends.kind))
    };
    let widths = [Constraint::Fill(1), Constraint::Length(12), Constraint::Length(12)];
    table(figures.by_label().into_iter().map(row), &widths, &["label", "ended", LAST_MINUTE], "Ends")
}

fn servers_table<'a>(figures: &'a Figures, look: Look) -> Table<'a> {
    let row = |server: &'a Server| {
        let share = server.abnormal.saturating_mul(100) / server.ended.max(1);
        let numbers = [server.abnormal, server.refused, server.ended].map(|number| number.to_string());
        let style = if server.abnormal > 0 { look.of_kind("abnormal") } else { Style::new() };
        let [abnormal, refused, ended] = numbers;
        Row::new([server.name.clone(), abnormal, format!("{share} %"), refused, ended]).style(style)
    };
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(8),
    ];
    let names = ["server", "abnormal", "share", "refused", "ended"];
    table(figures.worst().into_iter().map(row), &widths, &names, "Worst servers")
}

fn last_table<'a>(figures: &'a Figures, look: Look) -> Table<'a> {
    let row = |lost: &'a Lost| {
        let end = format!("{} {}", lost.label, lost.cause);
        let cells = [&lost.time, &end, &lost.closed_by, &lost.client, &lost.server].map(Clone::clone);
        let [time, end, by, client, server] = cells;
        let life = format!("{:.1}", lost.seconds);
        Row::new([time, end, by, life, client, server, lost.why.clone()]).style(look.of_kind("abnormal"))
    };
    let widths = [
        Constraint::Length(8),
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(21),
        Constraint::Length(21),
        Constraint::Fill(1),
    ];
    let names = ["time", "end", "by", "lived s", "client", "server", "why"];
    table(figures.last.iter().map(row), &widths, &names, "Last abnormal ends")
}

/// Heading of the column that counts over [`RATE_SECONDS`].
const LAST_MINUTE: &str = "last minute";
const _: () = assert!(RATE_SECONDS == 60);

fn table<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    widths: &[Constraint],
    names: &[&'static str],
    title: &'static str,
) -> Table<'a> {
    let heading = Row::new(names.to_vec()).style(Style::new().add_modifier(Modifier::BOLD));
    Table::new(rows, widths.to_vec()).header(heading).block(Block::bordered().title(title))
}

fn footer(figures: &Figures) -> String {
    let notice = figures.notices.back().map(|notice| format!("   {notice}"));
    format!("q quits{}", notice.unwrap_or_default())
}

/// `0:12:34`.
fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn bits(bits: f64) -> String {
    if bits < 1e6 { format!("{:.1} kbit/s", bits / 1e3) } else { format!("{:.1} Mbit/s", bits / 1e6) }
}

fn bytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::each_block;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::path::Path;
    use wsclose::analyzer::{Analyzer, Options};
    use wsclose::limits::Limits;
    use wsclose::report::build::{self, Context};
    use wsclose::report::model::{Address, Flow, Memory, Stats};

    /// What a live capture of these recorded captures would count.
    fn figures(captures: &[&str]) -> Figures {
        let mut figures = Figures::new(&["eth0".to_owned(), "e\u{1b}[2J".to_owned()]);
        let mut id = 0;
        for capture in captures {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures").join(capture);
            let mut analyzer = Analyzer::new(Options::default());
            each_block(&path, &Limits::default(), |block| analyzer.handle_block(block)).unwrap();
            analyzer.finish();
            while let Some(record) = analyzer.poll_record() {
                id += 1;
                figures.count(&build::connection(id, &record, Context { files: &[], redact: false }));
            }
        }
        figures
    }

    fn drawn(figures: &Figures, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, figures, Look { color: true })).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    /// The words of the first line that holds `what`.
    fn words(lines: &[String], what: &str) -> Vec<String> {
        let line = lines.iter().find(|line| line.contains(what));
        let line = line.unwrap_or_else(|| panic!("no {what:?} in\n{}", lines.join("\n")));
        line.replace('│', " ").split_whitespace().map(str::to_owned).collect()
    }

    const ABNORMAL: &str = "reset-by-server/websockets--aiohttp.server.pcap";
    const CLEAN: &str = "close-crossed/websockets--aiohttp.server.pcap";

    #[test]
    fn ends_servers_and_the_last_losses_are_on_the_screen() {
        let mut figures = figures(&[ABNORMAL, ABNORMAL, CLEAN]);
        let (ended, lost) = (figures.all.total, figures.last.len());
        assert_eq!((ended, lost), (3, 2));
        figures.now = 59;
        let lines = drawn(&figures, 120, 30);
        assert_eq!(words(&lines, "1006 ")[..3], ["1006", "2", "2"]);
        let server = figures.worst()[0].name.clone();
        let row = words(&lines, &server);
        let place = row.iter().position(|word| *word == server).unwrap();
        assert!(row[place + 1] == "2", "{row:?}");
        let last = words(&lines, "1006 rst");
        assert_eq!(last[1..4], ["1006", "rst", "server"]);
        assert_eq!(last[6], server);
        assert_eq!(lines.iter().filter(|line| line.contains("1006 rst")).count(), 2);
        assert!(lines[29].starts_with("q quits"));
    }

    #[test]
    fn the_captures_own_numbers_head_the_screen() {
        let mut figures = figures(&[]);
        figures.now = 3_725;
        figures.set(Stats {
            uptime_s: 2.0,
            packets: 1_000,
            bytes: 500_000,
            dropped_by_kernel: 7,
            websockets: Flow { opened: 12, open: 3 },
            tcp_connections: Flow { opened: 20, open: 4 },
            evicted: 5,
            memory: Memory { connections: 1 << 20, out_of_order: 1 << 19, ..Memory::default() },
            ..Stats::default()
        });
        let lines = drawn(&figures, 140, 30);
        assert_eq!(lines[0], "wsclose live eth0, e\\u{1b}[2J   up 1:02:05   500 packets/s, 2.0 Mbit/s");
        assert_eq!(
            lines[1],
            "open 3 WebSockets, 4 TCP; ended 0, 0 in the last minute; dropped 7 by kernel, 0 by interface; evicted 5; \
             memory 1.5 MiB"
        );
    }

    #[test]
    fn a_narrow_terminal_has_the_captures_numbers_on_several_lines() {
        let mut figures = figures(&[]);
        figures.set(Stats {
            dropped_by_kernel: 123_456,
            websockets: Flow { opened: 12_345, open: 10_000 },
            tcp_connections: Flow { opened: 23_456, open: 20_000 },
            evicted: 5,
            memory: Memory { connections: 1 << 20, out_of_order: 1 << 19, ..Memory::default() },
            ..Stats::default()
        });
        let lines = drawn(&figures, 80, 24);
        assert_eq!(lines[1], "open 10000 WebSockets, 20000 TCP; ended 0, 0 in the last minute;");
        assert_eq!(lines[2], "dropped 123456 by kernel, 0 by interface; evicted 5; memory 1.5 MiB");
        let words = drawn(&figures, 44, 24)[1..5].join(" ");
        assert!(words.ends_with("by interface; evicted 5; memory 1.5 MiB"), "{words}");
    }

    #[test]
    fn what_is_taken_back_leaves_the_screen() {
        let mut figures = figures(&[ABNORMAL]);
        let server: std::net::SocketAddr = figures.last[0].server.parse().unwrap();
        figures.take_back(1, "1006", &Address { address: server.ip(), port: server.port() });
        let lines = drawn(&figures, 140, 30);
        assert!(!lines.iter().any(|line| line.contains("1006")), "{}", lines.join("\n"));
        assert!(lines[1].contains("1 revised"), "{}", lines[1]);
    }

    #[test]
    fn nothing_reaches_the_screen_that_a_terminal_would_act_on() {
        let mut figures = figures(&[ABNORMAL]);
        figures.note("\u{1b}]0;owned\u{7}\u{202e}");
        let screen = drawn(&figures, 140, 30).concat();
        assert!(screen.contains("\\u{1b}]0;owned\\u{7}\\u{202e}"));
        assert!(!screen.contains(['\u{1b}', '\u{7}', '\u{202e}']));
    }

    #[test]
    fn any_size_of_terminal_will_do() {
        let figures = figures(&[ABNORMAL, CLEAN]);
        for (width, height) in [(1, 1), (2, 40), (40, 5), (80, 24), (89, 50), (90, 10), (500, 200)] {
            assert_eq!(drawn(&figures, width, height).len(), usize::from(height));
        }
        assert!(drawn(&figures, 80, 40).iter().any(|line| line.contains("Worst servers")));
    }

    #[test]
    fn without_color_nothing_is_colored() {
        let mut figures = figures(&[ABNORMAL]);
        figures.set(Stats { dropped_by_kernel: 1, uptime_s: 1.0, ..Stats::default() });
        for (color, expected) in [(true, true), (false, false)] {
            let mut terminal = Terminal::new(TestBackend::new(140, 30)).unwrap();
            terminal.draw(|frame| draw(frame, &figures, Look { color })).unwrap();
            let has = terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset);
            assert_eq!(has, expected, "color: {color}");
        }
    }
}
