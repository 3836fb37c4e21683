//! How long clients wait before they come back to a server: what `--metrics` tells of reconnects.
//!
//! As a rule the end is known when the next connection opens. That of a stream of HTTP/2, or of a connection without an end in
//! TCP, comes to light later: then the opening waits for it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use wsclose::time::Timestamp;

/// Clients remembered, by the server they had a connection to.
const CLIENTS: usize = 16_384;
/// Longest wait that counts as coming back, in seconds.
const LONGEST_S: f64 = 300.0;

/// Who had a connection to whom.
type Pair = (IpAddr, SocketAddr);

#[derive(Clone, Copy, Default)]
struct Client {
    /// When its last connection ended.
    ended: Option<Timestamp>,
    /// When it opened one before which none is known to have ended.
    opened: Option<Timestamp>,
}

#[derive(Default)]
pub(crate) struct Reconnects {
    clients: HashMap<Pair, Client>,
    /// Clients that were forgotten, to remember no more than so many, before their ends were too old to matter.
    pub(crate) forgotten: u64,
}

impl Reconnects {
    /// A client has opened a connection; gives after how many seconds it has come back, if it has.
    pub(crate) fn opened(&mut self, pair: Pair, at: Timestamp) -> Option<f64> {
        let client = self.client(pair, at);
        let delay = delay(client.ended, Some(at));
        if delay.is_none() {
            client.opened = Some(at);
        }
        delay
    }

    /// A connection of a client has ended; gives after how many seconds it has come back, if that was known before.
    pub(crate) fn ended(&mut self, pair: Pair, at: Timestamp) -> Option<f64> {
        let client = self.client(pair, at);
        client.ended = client.ended.max(Some(at));
        let delay = delay(Some(at), client.opened);
        if delay.is_some() {
            client.opened = None;
        }
        delay
    }

    fn client(&mut self, pair: Pair, now: Timestamp) -> &mut Client {
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&pair) {
            self.make_room(now);
        }
        self.clients.entry(pair).or_default()
    }

    /// Forgets whose ends are too old to matter; where that is not enough, all: half of them would have to be looked at anew
    /// with each of the next few.
    fn make_room(&mut self, now: Timestamp) {
        let is_recent = |at: Timestamp| now.seconds_since(at) <= LONGEST_S;
        self.clients.retain(|_, client| client.ended.max(client.opened).is_some_and(is_recent));
        if self.clients.len() > CLIENTS / 2 {
            self.forgotten = self.forgotten.saturating_add(self.clients.len() as u64);
            self.clients.clear();
        }
    }
}

fn delay(ended: Option<Timestamp>, opened: Option<Timestamp>) -> Option<f64> {
    let delay = opened?.seconds_since(ended?);
    (0.0..=LONGEST_S).contains(&delay).then_some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    fn pair(client: u32) -> Pair {
        (IpAddr::V4(client.into()), SocketAddr::from(([10, 0, 0, 1], 9001)))
    }

    #[test]
    fn a_client_that_comes_back_is_counted_when_it_does_and_once() {
        let mut all = Reconnects::default();
        assert_eq!(all.opened(pair(1), at(0)), None);
        assert_eq!(all.ended(pair(1), at(10)), None);
        assert_eq!(all.opened(pair(2), at(11)), None, "another client");
        assert_eq!(all.opened(pair(1), at(12)), Some(2.0));
        assert_eq!(all.ended(pair(1), at(10)), None, "the same end, told once more by its record");
        assert_eq!(all.ended(pair(1), at(20)), None);
        assert_eq!(all.opened(pair(1), at(320)), Some(300.0));
        assert_eq!(all.opened(pair(1), at(321)), None, "so late it is another visit");
    }

    #[test]
    fn an_end_that_comes_to_light_late_is_counted_all_the_same_and_once() {
        let mut all = Reconnects::default();
        assert_eq!(all.opened(pair(1), at(12)), None);
        assert_eq!(all.ended(pair(1), at(9)), Some(3.0));
        assert_eq!(all.ended(pair(1), at(8)), None);
    }

    #[test]
    fn what_is_forgotten_for_want_of_room_is_counted_unless_it_was_old() {
        let most = u32::try_from(CLIENTS).unwrap();
        let mut all = Reconnects::default();
        for client in 0..most {
            all.ended(pair(client), at(0));
        }
        all.ended(pair(most), at(301));
        assert_eq!((all.forgotten, all.clients.len()), (0, 1), "they were too old");
        for client in 0..most {
            all.ended(pair(client), at(302));
        }
        assert_eq!((all.forgotten, all.clients.len()), (CLIENTS as u64, 1));
    }
}
