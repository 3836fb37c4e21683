//! One connection's packets between its two ends, drawn to time; with both legs of a proxied one, between three.
//!
//! ```text
//!           client                     server
//!  +0.000 s    |-- Upgrade request ----->|  #4
//!  +0.001 s    |<------ status 101 ------|  #6
//!              :        60.0 s           :        the longer the time, the longer the way, by its logarithm
//! +60.001 s    |<---------- FIN ---------|  #54
//!
//!           client        proxy        server
//!  +0.000 s    |-- Upgrade ->|           |  #4
//!  +0.001 s    |             |- Upgrade->|  #9
//! ```

use super::shown::Shown;
use crate::analyzer::ladder::Leg;
use crate::report::text::words::duration;
use crate::time::Timestamp;
use maud::{Markup, html};

/// One packet of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its time.
    pub at: Timestamp,
    /// Its number in its file.
    pub packet: u32,
    /// That file, where it is not the one of the connection's first packet.
    pub file: Option<String>,
    /// Did the client send it, or the end of its leg that is nearer to the client?
    pub from_client: bool,
    /// Where it went.
    pub leg: Leg,
    /// What it holds.
    pub what: String,
}

/// Words that tell an event, whichever of evidence and packet uses them.
const EVENTS: [&str; 7] = ["FIN", "Close", "status", "Upgrade", "END_STREAM", "RST_STREAM", "GOAWAY"];

impl Rung {
    /// Adds what makes this packet evidence, unless its words tell that already.
    pub(super) fn add_evidence(&mut self, what: &str) {
        let told = EVENTS.iter().any(|word| what.starts_with(word) && self.what.contains(word));
        if !told {
            self.what = format!("{}; {what}", self.what);
        }
    }

    /// The column it came from.
    pub(super) fn sender(&self) -> &'static str {
        match (self.leg, self.from_client) {
            (Leg::Whole | Leg::Front, true) => "client",
            (Leg::Whole | Leg::Back, false) => "server",
            (Leg::Front, false) => "proxy, to the client",
            (Leg::Back, true) => "proxy, to the server",
        }
    }

    /// Where it begins and where it ends.
    fn way(&self) -> (f64, f64) {
        let (left, right) = match self.leg {
            Leg::Whole => (CLIENT, SERVER),
            Leg::Front => (CLIENT, PROXY),
            Leg::Back => (PROXY, SERVER),
        };
        if self.from_client { (left, right) } else { (right, left) }
    }
}

/// Between the lanes and beside them.
const WIDTH: f64 = 720.0;
const CLIENT: f64 = 100.0;
const PROXY: f64 = 375.0;
const SERVER: f64 = 650.0;
const TOP: f64 = 34.0;
/// From rung to rung at least, and at most for a wait between them.
const STEP: f64 = 30.0;
const WAIT_MAX: f64 = 60.0;
/// Waits from so many seconds on are named.
const NAMED_WAIT_S: f64 = 1.0;
/// Columns of a rung's words, from end to end and on one of two legs.
const WORDS: usize = 72;
const WORDS_OF_LEG: usize = 42;

/// Words of the evidence: the first and the last sending of bytes without an answer.
const NEVER_ANSWERED: &str = "never answered";
const SENT_AGAIN: &str = "sent for the";

/// A rung in its place.
struct Placed<'a> {
    rung: &'a Rung,
    /// Which colour it has.
    class: &'static str,
    y: f64,
    /// Since the rung before, where that is worth naming, with its place.
    wait: Option<(f64, f64)>,
}

/// Draws `rungs`, with their times since `opened`; `middle` names what stands between the ends, where something does.
pub(super) fn draw(rungs: &[Rung], opened: Timestamp, middle: Option<&str>) -> Markup {
    let placed = place(rungs);
    let bottom = placed.last().map_or(TOP, |last| last.y) + 24.0;
    // Packets of a proxy's legs begin and end there; whatever else stands in between, they pass.
    let has_proxy = rungs.iter().any(|rung| rung.leg != Leg::Whole);
    let between = if has_proxy { Some(("proxy", "lane")) } else { middle.map(|name| (name, "lane between")) };
    html! {
        svg class="ladder" viewBox=(format!("0 0 {WIDTH} {bottom:.0}")) role="img"
            aria-label="Ladder diagram of the packets listed beside it" {
            @for (name, x) in [("client", CLIENT), ("server", SERVER)] {
                text class="end" x=(x) y="16" { (name) }
                line class="lane" x1=(x) x2=(x) y1="22" y2=(bottom) {}
            }
            @if let Some((name, class)) = between {
                text class="end" x=(PROXY) y="16" { (name) }
                line class=(class) x1=(PROXY) x2=(PROXY) y1="22" y2=(bottom) {}
            }
            @for one in &placed { (draw_rung(one, opened)) }
        }
    }
}

fn place(rungs: &[Rung]) -> Vec<Placed<'_>> {
    let mut y = TOP;
    let mut before: Option<Timestamp> = None;
    let mut placed = Vec::with_capacity(rungs.len());
    // Whose bytes go unanswered for now.
    let mut in_vain: Option<bool> = None;
    for rung in rungs {
        let class = class(&rung.what, in_vain == Some(rung.from_client));
        if rung.what.contains(NEVER_ANSWERED) {
            in_vain = Some(rung.from_client);
        } else if rung.what.contains(SENT_AGAIN) {
            in_vain = None;
        }
        let waited = before.map_or(0.0, |before| rung.at.seconds_since(before).max(0.0));
        let way = (waited * 10.0).ln_1p() * 8.0;
        let way = if before.is_none() { 14.0 } else { STEP + way.min(WAIT_MAX) };
        let wait = (waited >= NAMED_WAIT_S).then_some((waited, y + way / 2.0 - 4.0));
        y += way;
        placed.push(Placed { rung, class, y, wait });
        before = Some(rung.at);
    }
    placed
}

fn draw_rung(placed: &Placed<'_>, opened: Timestamp) -> Markup {
    let Placed { rung, class, y, wait } = placed;
    let (from, to) = rung.way();
    let words = if rung.leg == Leg::Whole { WORDS } else { WORDS_OF_LEG };
    let middle = f64::midpoint(from, to);
    // What was never answered did not arrive, as far as anybody knows.
    let to = if *class == "unanswered" { from + (to - from) * 0.7 } else { to };
    let back = if to > from { -9.0 } else { 9.0 };
    let head = format!("{to},{y} {:.1},{:.1} {:.1},{:.1}", to + back, y - 4.0, to + back, y + 4.0);
    html! {
        @if let Some((waited, at)) = wait {
            text class="wait" x=(PROXY) y=(format!("{at:.1}")) { (duration(*waited)) }
        }
        text class="time" x=(CLIENT - 10.0) y=(format!("{:.1}", y + 4.0)) { "+" (offset(rung.at, opened)) }
        g class=(class) {
            line x1=(from) x2=(to + back) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
            polygon points=(head) {}
        }
        text class="what" x=(middle) y=(format!("{:.1}", y - 5.0)) {
            (Shown::within(&rung.what, words))
        }
        text class="packet" x=(SERVER + 10.0) y=(format!("{:.1}", y + 4.0)) { "#" (rung.packet) }
    }
}

/// Which colour a packet has.
fn class(what: &str, in_vain: bool) -> &'static str {
    let is_close = what.starts_with("Close") || what.contains("; Close");
    match what {
        _ if in_vain || what.contains(SENT_AGAIN) || what.contains(NEVER_ANSWERED) => "unanswered",
        _ if is_close => "close",
        _ if what.starts_with("RST") || what.contains("; RST_STREAM") => "rst",
        _ if what.starts_with("FIN") || what.contains("; END_STREAM") => "fin",
        _ => "packet",
    }
}

/// `60.001 s` since `opened`.
pub(super) fn offset(at: Timestamp, opened: Timestamp) -> String {
    format!("{:.3} s", at.seconds_since(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(seconds: f64, what: &str) -> Rung {
        #[expect(clippy::cast_possible_truncation, reason = "a few seconds")]
        let at = Timestamp::from_nanos((seconds * 1e9) as i64);
        Rung { at, packet: 7, file: None, from_client: true, leg: Leg::Whole, what: what.to_owned() }
    }

    #[test]
    fn longer_waits_are_longer_ways_and_named() {
        let rungs = [0.0, 0.001, 0.5, 60.5, 4_000.0].map(|seconds| rung(seconds, "FIN"));
        let placed = place(&rungs);
        let ways: Vec<f64> = placed.windows(2).map(|pair| pair[1].y - pair[0].y).collect();
        assert!(ways.is_sorted() && ways[0] >= STEP && ways[3] <= STEP + WAIT_MAX, "{ways:?}");
        assert_eq!(placed.iter().filter(|one| one.wait.is_some()).count(), 2);
        assert!(draw(&rungs, rungs[0].at, None).into_string().contains("60.0 s"));
    }

    #[test]
    fn what_is_sent_in_vain_arrives_nowhere() {
        let words = [
            "ACK",
            "ACK; bytes that were never answered",
            "ACK, 2 bytes",
            "ACK; sent for the 5th time",
            "ACK",
        ];
        let rungs: Vec<Rung> =
            words.into_iter().zip(0..).map(|(what, at)| rung(f64::from(at), what)).collect();
        let classes: Vec<_> = place(&rungs).iter().map(|one| one.class).collect();
        assert_eq!(classes, ["packet", "unanswered", "unanswered", "unanswered", "packet"]);
    }

    #[test]
    fn what_a_packet_held_stays_text() {
        let svg = draw(
            &[rung(0.0, "Close 1000 \"</text><script>alert(1)</script>\0\u{202e}\"")],
            Timestamp::default(),
            None,
        )
        .into_string();
        assert!(!svg.contains("<script") && !svg.contains('\0') && !svg.contains('\u{202e}'), "{svg}");
        assert!(svg.contains("&lt;/text&gt;&lt;script&gt;") && svg.contains("class=\"close\""));
    }
}
