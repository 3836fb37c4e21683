//! HTTP/1.1 heads and bodies up to the Upgrade.

use super::{Bytes, Cuts, small_limits};
use crate::http::http1::{Http1, HttpEvent};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::Side;

/// `options | cuts | side, length, bytes | ...`
///
/// The same events whether the bytes come as they are or in small pieces; never more held than the cap.
pub fn http_head(input: &[u8]) {
    let mut input = Bytes(input);
    let (options, seed) = (input.byte(), input.byte());
    // With a small cap, what is too long depends on how much of it comes at a time.
    let has_room = options & 1 == 0;
    let limits = if has_room { Limits::default() } else { small_limits() };
    let (mut whole, mut cut) = (Reader::default(), Reader::default());
    let mut round = 0_u8;
    while !input.is_empty() {
        let place = input.u16();
        let side = if place & 0x8000 == 0 { Side::Client } else { Side::Server };
        let bytes = input.take(usize::from(place & 0x0fff));
        whole.feed(side, bytes, &limits);
        round = round.wrapping_add(1);
        for piece in Cuts::new(seed ^ round).pieces(bytes, 1 + usize::from(seed % 23)) {
            cut.feed(side, piece, &limits);
        }
        if has_room {
            assert_eq!(whole.events, cut.events, "told whole and in pieces");
        }
    }
}

/// HTTP up to its first event that ends it.
#[derive(Default)]
struct Reader {
    http: Http1,
    events: Vec<String>,
}

impl Reader {
    fn feed(&mut self, side: Side, bytes: &[u8], limits: &Limits) {
        let mut rest = bytes;
        while !rest.is_empty() && self.events.is_empty() {
            let (used, event) = self.http.feed(side, Moment::default(), rest, limits);
            assert!(used <= rest.len());
            assert!(used > 0 || event.is_some(), "each turn uses bytes or tells something");
            rest = rest.get(used..).unwrap_or_default();
            let text = |event| match event {
                // How much of the preface has passed hangs on the cuts.
                HttpEvent::Http2(_) => "Http2".to_owned(),
                other => format!("{other:?}"),
            };
            self.events.extend(event.map(text));
        }
        assert!(self.http.held_bytes() <= limits.http_head_bytes.max(0xffff + 16) + bytes.len());
    }
}
