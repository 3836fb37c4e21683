//! The opening handshake (RFC 6455 §4): what was asked, what was answered, whether they match.

use crate::limits::Limits;
use crate::moment::Moment;
use crate::pack::{pack_fields, pack_values};
use crate::work;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foldhash::quality::{FixedState, RandomState};
use sha1::{Digest, Sha1};
use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// The GUID that every server appends to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An HTTP request head. Bytes stay bytes: they are the peer's, valid or not.
///
/// ```text
///  Request, 48 bytes: at | key | head --> RequestHead, one for all connections whose requests are alike
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The packet that completed the head.
    pub at: Moment,
    /// `Sec-WebSocket-Key`.
    pub key: Option<Box<[u8]>>,
    /// The rest, which the requests of one application to one server share.
    pub head: Arc<RequestHead>,
}

/// What a request says besides its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestHead {
    /// `GET`, `CONNECT`, ...
    pub method: Vec<u8>,
    /// Request target as it stands: origin-form, absolute-form or authority-form.
    pub target: Vec<u8>,
    /// `Host`.
    pub host: Option<Vec<u8>>,
    /// `Origin`.
    pub origin: Option<Vec<u8>>,
    /// `User-Agent`.
    pub user_agent: Option<Vec<u8>>,
    /// `Sec-WebSocket-Protocol`, all values joined by `, `.
    pub subprotocols: Option<Vec<u8>>,
    /// `Sec-WebSocket-Extensions`, all values joined by `, `.
    pub extensions: Option<Vec<u8>>,
    /// Does a header say that a proxy forwarded it?
    pub was_forwarded: bool,
    /// Does it hold control characters, which no head may (RFC 9110 §5.5)? In headers they stand as 0xFF.
    pub has_control_characters: bool,
    /// Does it hold a line that follows no grammar (RFC 9112 §3, §5)? What stands around it was read.
    pub is_malformed: bool,
    /// Does it ask for an upgrade to `websocket`?
    pub wants_websocket: bool,
}

/// An HTTP response head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The packet that completed the head.
    pub at: Moment,
    /// `Sec-WebSocket-Accept`.
    pub accept: Option<Box<[u8]>>,
    /// The rest, which the answers of one server share.
    pub head: Arc<ResponseHead>,
    /// Status code.
    pub status: u16,
    /// Did the snaplen cut it, so that only its status line is known?
    pub is_cut: bool,
}

/// What an answer says besides its status and what answers the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseHead {
    /// `Server`.
    pub server: Option<Vec<u8>>,
    /// `Sec-WebSocket-Protocol`.
    pub subprotocol: Option<Vec<u8>>,
    /// `Sec-WebSocket-Extensions`, all values joined by `, `.
    pub extensions: Option<Vec<u8>>,
    /// Names of all its headers, as written, joined by `,`; kept of a `101` only.
    pub header_names: Vec<u8>,
    /// Does it hold control characters, which no head may (RFC 9110 §5.5)? In headers they stand as 0xFF.
    pub has_control_characters: bool,
    /// Does it hold a line that follows no grammar (RFC 9112 §3, §5)? What stands around it was read.
    pub is_malformed: bool,
    /// Does it name `websocket` as the protocol switched to?
    pub is_websocket: bool,
}

impl Response {
    /// Is it a `101` without `Upgrade`, so that it does not say what it switches to?
    #[must_use]
    pub fn names_no_protocol(&self) -> bool {
        let mut names = self.header_names.split(|byte| *byte == b',');
        self.status == 101 && !self.is_websocket && !names.any(|name| name.eq_ignore_ascii_case(b"upgrade"))
    }
}

impl Deref for Request {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.head
    }
}

impl Deref for Response {
    type Target = ResponseHead;

    fn deref(&self) -> &ResponseHead {
        &self.head
    }
}

/// Largest head that is shared, in bytes.
const SHARED_MAX: usize = 4 << 10;

/// Heads that connections share: a table of a million idle connections holds each kind of client once.
#[derive(Debug, Default)]
pub struct Heads {
    requests: Shelf<RequestHead>,
    responses: Shelf<ResponseHead>,
}

/// Heads that were met once are remembered by a number each: a power of two.
const SEEN: usize = 4_096;

/// What is held once for all that say the same. Only what is met a second time comes here: where each client asks for a
/// path of its own, those heads would take the room of what is common.
#[derive(Debug)]
struct Shelf<T> {
    held: HashSet<Arc<T>, RandomState>,
    /// The latest heads that were met once, by their hash; empty until there is one.
    seen: Vec<u64>,
    /// How many found no room since room was made last.
    turned_away: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { held: HashSet::default(), seen: Vec::new(), turned_away: 0 }
    }
}

impl<T: Hash + Eq> Shelf<T> {
    /// Puts the head that is held already in place of `head`, or holds this one. False: it was not met before, or there is
    /// no room; the connection keeps its own.
    fn share(&mut self, head: &mut Arc<T>, most: usize) -> bool {
        if let Some(one) = self.held.get(&**head) {
            *head = Arc::clone(one);
            return true;
        }
        if !self.was_seen(head) || (self.held.len() >= most && !self.makes_room(most)) {
            return false;
        }
        self.held.insert(Arc::clone(head))
    }

    /// Was it met before? Remembers it. The hash takes no seed: which heads push out which, and so what memory is counted and who
    /// rests, is then the same in every run. Whoever makes heads that collide gets them shared too early, or not at all.
    fn was_seen(&mut self, head: &T) -> bool {
        self.seen.resize(SEEN, 0);
        let hash = FixedState::default().hash_one(head);
        let place = usize::try_from(hash % SEEN as u64).unwrap_or(0);
        self.seen.get_mut(place).is_some_and(|seen| std::mem::replace(seen, hash) == hash)
    }

    /// Drops what no connection has any more: looked for once in as many heads as are held, so that it costs little.
    fn makes_room(&mut self, most: usize) -> bool {
        self.turned_away += 1;
        if self.turned_away >= most {
            self.turned_away = 0;
            work::steps(self.held.len());
            self.held.retain(|head| Arc::strong_count(head) > 1);
        }
        self.held.len() < most
    }
}

/// A handshake's two heads, which others may share: equal where they are the same ones, and not only alike.
#[derive(Clone, Debug, Default)]
pub struct SharedHeads {
    request: Option<Arc<RequestHead>>,
    response: Option<Arc<ResponseHead>>,
    /// See [`SharedHeads::own`].
    own: usize,
}

impl SharedHeads {
    /// Memory of those that are this handshake's own, in bytes.
    #[must_use]
    pub fn own(&self) -> usize {
        self.own
    }

    fn places(&self) -> (Option<*const RequestHead>, Option<*const ResponseHead>) {
        (self.request.as_ref().map(Arc::as_ptr), self.response.as_ref().map(Arc::as_ptr))
    }
}

impl PartialEq for SharedHeads {
    fn eq(&self, other: &Self) -> bool {
        self.places() == other.places()
    }
}

impl Eq for SharedHeads {}

impl Hash for SharedHeads {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.places().hash(state);
    }
}

/// What the capture holds of an opening handshake.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// The latest Upgrade request; set by [`Handshake::set_request`].
    pub request: Option<Request>,
    /// Its answer; set by [`Handshake::set_response`].
    pub response: Option<Response>,
    accept_valid: Option<bool>,
    request_sharing: Sharing,
    response_sharing: Sharing,
}

/// The same was said: who holds it, is another matter.
impl PartialEq for Handshake {
    fn eq(&self, other: &Self) -> bool {
        let Handshake { request, response, accept_valid, request_sharing: _, response_sharing: _ } = self;
        (request, response, accept_valid) == (&other.request, &other.response, &other.accept_valid)
    }
}

/// Is a head held once for all that say the same ([`Handshake::share`])?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sharing {
    /// It was not looked for.
    #[default]
    Unknown,
    /// It is.
    Shared,
    /// It is the connection's own.
    Own,
}

impl Sharing {
    fn of(is_shared: bool) -> Self {
        if is_shared { Sharing::Shared } else { Sharing::Own }
    }
}

impl Request {
    /// A request whose head is `head`.
    #[must_use]
    pub fn new(at: Moment, key: Option<Vec<u8>>, head: RequestHead) -> Self {
        Request { at, key: key.map(Vec::into_boxed_slice), head: Arc::new(head) }
    }

    fn memory(&self, sharing: Sharing) -> usize {
        let head = if sharing == Sharing::Shared { 0 } else { self.head.memory() };
        self.key.as_ref().map_or(0, |key| key.len()) + head
    }

    /// The path with its query, whatever form the target has.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match self.authority_and_path() {
            Some((_, b"")) => b"/",
            Some((_, path)) => path,
            None => &self.target,
        }
    }

    /// The host asked for: that of an absolute-form target, else the `Host` header (RFC 9112 §3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.authority_and_path().map(|(authority, _)| authority).or(self.host.as_deref())
    }

    /// Splits an absolute-form target.
    fn authority_and_path(&self) -> Option<(&[u8], &[u8])> {
        if self.target.first() == Some(&b'/') {
            return None; // origin-form, which nearly all have
        }
        let scheme_end = self.target.windows(3).position(|window| window == b"://")?;
        let rest = self.target.get(scheme_end + 3..)?;
        let scheme = self.target.get(..scheme_end)?;
        if !scheme.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let path_start = rest.iter().position(|byte| *byte == b'/' || *byte == b'?').unwrap_or(rest.len());
        rest.split_at_checked(path_start)
    }
}

impl Response {
    fn memory(&self, sharing: Sharing) -> usize {
        let head = if sharing == Sharing::Shared { 0 } else { self.head.memory() };
        self.accept.as_ref().map_or(0, |accept| accept.len()) + head
    }
}

impl RequestHead {
    fn memory(&self) -> usize {
        let values = [&self.host, &self.origin, &self.user_agent, &self.subprotocols, &self.extensions];
        size_of::<Self>() + self.method.capacity() + self.target.capacity() + sum(&values)
    }
}

impl ResponseHead {
    fn memory(&self) -> usize {
        let values = [&self.server, &self.subprotocol, &self.extensions];
        size_of::<Self>() + self.header_names.capacity() + sum(&values)
    }
}

fn sum(values: &[&Option<Vec<u8>>]) -> usize {
    values.iter().map(|value| value.as_ref().map_or(0, Vec::capacity)).sum()
}

impl Handshake {
    /// Memory of the values it keeps, in bytes; itself left out, and what it shares: [`Heads`] hold that, up to
    /// `Limits::shared_heads`.
    #[must_use]
    pub fn memory(&self) -> usize {
        let request = self.request.as_ref().map_or(0, |request| request.memory(self.request_sharing));
        request + self.response.as_ref().map_or(0, |response| response.memory(self.response_sharing))
    }

    /// Drops a key that has been answered, and the answer: the WebSocket is open, no other answer will come.
    pub fn forget_key(&mut self) {
        if self.accept_valid == Some(true) {
            self.request.iter_mut().for_each(|request| request.key = None);
            self.response.iter_mut().for_each(|response| response.accept = None);
        }
    }

    /// Shares with `heads` what other handshakes have said as well.
    pub fn share(&mut self, heads: &mut Heads, limits: &Limits) {
        let (request_is_new, response_is_new) =
            (self.request_sharing == Sharing::Unknown, self.response_sharing == Sharing::Unknown);
        if let Some(request) = self.request.as_mut().filter(|_| request_is_new) {
            let fits = request.head.memory() <= SHARED_MAX;
            let is_shared = fits && heads.requests.share(&mut request.head, limits.shared_heads);
            self.request_sharing = Sharing::of(is_shared);
        }
        if let Some(response) = self.response.as_mut().filter(|_| response_is_new) {
            let fits = response.head.memory() <= SHARED_MAX;
            let is_shared = fits && heads.responses.share(&mut response.head, limits.shared_heads);
            self.response_sharing = Sharing::of(is_shared);
        }
    }

    /// Its heads, which are not packed.
    #[must_use]
    pub fn heads(&self) -> SharedHeads {
        let request = self.request.as_ref().map(|request| Arc::clone(&request.head));
        let response = self.response.as_ref().map(|response| Arc::clone(&response.head));
        let own_request = request.as_ref().filter(|_| self.request_sharing != Sharing::Shared);
        let own_response = response.as_ref().filter(|_| self.response_sharing != Sharing::Shared);
        let own = own_request.map_or(0, |head| head.memory()) + own_response.map_or(0, |head| head.memory());
        SharedHeads { request, response, own }
    }

    /// Puts back what [`Handshake::heads`] gave.
    pub fn set_heads(&mut self, heads: SharedHeads) {
        if let (Some(request), Some(head)) = (&mut self.request, heads.request) {
            request.head = head;
        }
        if let (Some(response), Some(head)) = (&mut self.response, heads.response) {
            response.head = head;
        }
    }

    /// Takes an Upgrade request.
    pub fn set_request(&mut self, request: Request) {
        (self.request, self.request_sharing) = (Some(request), Sharing::Unknown);
        self.accept_valid = self.check_accept();
    }

    /// Takes an answer.
    pub fn set_response(&mut self, response: Response) {
        (self.response, self.response_sharing) = (Some(response), Sharing::Unknown);
        self.accept_valid = self.check_accept();
    }

    /// Does `Sec-WebSocket-Accept` answer the request's key (RFC 6455 §4.2.2)? `None` unless both heads are seen,
    /// and the answer is a `101` of which nothing is cut off.
    #[must_use]
    pub fn accept_valid(&self) -> Option<bool> {
        self.accept_valid
    }

    fn check_accept(&self) -> Option<bool> {
        let (request, response) = (self.request.as_ref()?, self.response.as_ref()?);
        // RFC 8441 has no such header, and other answers open nothing.
        if response.status != 101 || response.is_cut {
            return None;
        }
        let key = request.key.as_deref().unwrap_or_default();
        let digest = Sha1::new().chain_update(key.trim_ascii()).chain_update(GUID).finalize();
        let mut expected = [0; 28];
        STANDARD.encode_slice(digest, &mut expected).ok()?;
        Some(response.accept.as_deref().is_some_and(|accept| accept.trim_ascii() == expected))
    }

    /// Did the server choose a subprotocol that was not offered? False unless both heads are seen.
    #[must_use]
    pub fn subprotocol_not_offered(&self) -> bool {
        let (Some(request), Some(response)) = (&self.request, &self.response) else { return false };
        let Some(chosen) = response.subprotocol.as_deref().map(<[u8]>::trim_ascii) else { return false };
        !list(request.subprotocols.as_deref()).any(|offered| offered == chosen)
    }

    /// Did the server accept an extension that was not offered? False unless both heads are seen.
    #[must_use]
    pub fn extension_not_offered(&self) -> bool {
        let (Some(request), Some(response)) = (&self.request, &self.response) else { return false };
        list(response.extensions.as_deref()).any(|accepted| {
            !list(request.extensions.as_deref()).any(|o| extension_name(o) == extension_name(accepted))
        })
    }
}

/// The elements of a comma-separated header value.
fn list(value: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    value
        .unwrap_or_default()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// The name of an extension without its parameters.
fn extension_name(extension: &[u8]) -> &[u8] {
    extension.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

pack_fields!(Handshake { request, response, accept_valid, request_sharing, response_sharing });
pack_values!(Sharing: 2 bits, Sharing::Unknown, Sharing::Shared, Sharing::Own);
pack_fields!(Request { at, key } without { head });
pack_fields!(Response { at, accept, status, is_cut } without { head });

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(key: &str, accept: &str) -> Handshake {
        let mut handshake = Handshake::default();
        handshake.set_request(Request::new(Moment::default(), Some(key.into()), RequestHead::default()));
        let accept = Some(accept.as_bytes().into());
        handshake.set_response(Response { status: 101, accept, ..Response::default() });
        handshake
    }

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(handshake(key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").accept_valid(), Some(true));
        assert_eq!(handshake(key, "AAAALMBiTxaQ9kYGzzhZRbK+xOo=").accept_valid(), Some(false));
        assert_eq!(Handshake::default().accept_valid(), None);
    }

    #[test]
    fn what_is_shared_hangs_on_no_seed() {
        // So many that some push out others.
        let shared = || {
            let (mut shelf, heads) = (Shelf::default(), 0_u32..8_192);
            let twice = heads.clone().chain(heads);
            let share = |number: u32| {
                let head = RequestHead { target: number.to_be_bytes().to_vec(), ..RequestHead::default() };
                shelf.share(&mut Arc::new(head), usize::MAX)
            };
            twice.map(share).collect::<Vec<_>>()
        };
        let once = shared();
        assert!(once.iter().any(|is_shared| *is_shared), "some are met again before others push them out");
        assert!(once == shared(), "each shelf has a seed of its own");
    }

    #[test]
    fn absolute_form_names_host_and_path() {
        let of = |target: &[u8]| {
            let head = RequestHead { target: target.to_vec(), ..RequestHead::default() };
            Request::new(Moment::default(), None, head)
        };
        let request = of(b"ws://example.org:81/chat?x=1");
        assert_eq!(request.host(), Some(&b"example.org:81"[..]));
        assert_eq!(request.path(), b"/chat?x=1");
        let origin_form = of(b"/a?u=http://b/");
        assert_eq!(origin_form.path(), b"/a?u=http://b/");
    }

    #[test]
    fn choices_must_have_been_offered() {
        let mut both = handshake("", "");
        let answer = Arc::make_mut(&mut both.response.as_mut().unwrap().head);
        answer.subprotocol = Some(b"chat".to_vec());
        answer.extensions = Some(b"permessage-deflate; a=1".to_vec());
        assert!(both.subprotocol_not_offered() && both.extension_not_offered());
        let asked = Arc::make_mut(&mut both.request.as_mut().unwrap().head);
        asked.subprotocols = Some(b"soap, chat".to_vec());
        asked.extensions = Some(b"permessage-deflate".to_vec());
        assert!(!both.subprotocol_not_offered() && !both.extension_not_offered());
    }

    #[test]
    fn heads_that_are_met_again_are_held_once_and_cost_nothing_more() {
        let (mut heads, limits) = (Heads::default(), Limits::default());
        let mut all = [handshake("a", "b"), handshake("c", "d"), handshake("e", "f")];
        let before = all[0].memory();
        all.iter_mut().for_each(|one| one.share(&mut heads, &limits));
        let head = |handshake: &Handshake| Arc::clone(&handshake.request.as_ref().unwrap().head);
        assert!(Arc::ptr_eq(&head(&all[1]), &head(&all[2])));
        assert!(!Arc::ptr_eq(&head(&all[0]), &head(&all[1])), "the first keeps its own");
        assert_eq!(all.each_ref().map(Handshake::memory), [before, 2, 2], "keys and answers of a byte each");
        assert_ne!(all[1].request, all[2].request);
    }

    #[test]
    fn a_handshake_is_the_same_whoever_holds_its_heads() {
        let (mut heads, limits) = (Heads::default(), Limits::default());
        let mut all = [handshake("a", "b"), handshake("a", "b")];
        all.iter_mut().for_each(|one| one.share(&mut heads, &limits));
        assert_ne!(all[0].request_sharing, all[1].request_sharing);
        assert_eq!(all[0], all[1]);
        assert_ne!(all[0], handshake("a", "c"));
    }

    /// Handshakes that ask for `targets`, in that order, with what became of their heads.
    fn asking(targets: &[&[u8]], heads: &mut Heads, limits: &Limits) -> Vec<(Handshake, Sharing)> {
        let ask = |target: &&[u8]| {
            let mut handshake = Handshake::default();
            let head = RequestHead { target: target.to_vec(), ..RequestHead::default() };
            handshake.set_request(Request::new(Moment::default(), None, head));
            handshake.share(heads, limits);
            let sharing = handshake.request_sharing;
            (handshake, sharing)
        };
        targets.iter().map(ask).collect()
    }

    #[test]
    fn no_more_heads_are_held_than_allowed_and_those_of_ended_connections_make_room() {
        let (mut heads, limits) = (Heads::default(), Limits { shared_heads: 2, ..Limits::default() });
        let open = asking(&[b"/a", b"/a", b"/b", b"/b", b"/c", b"/c"], &mut heads, &limits);
        let sharing: Vec<_> = open.iter().map(|(_, sharing)| *sharing).collect();
        let (own, shared) = (Sharing::Own, Sharing::Shared);
        assert_eq!(sharing, [own, shared, own, shared, own, own]);
        assert_eq!(heads.requests.held.len(), 2);
        drop(open);
        let again = asking(&[b"/c", b"/c"], &mut heads, &limits);
        assert_eq!(again.last().map(|(_, sharing)| *sharing), Some(shared));
    }

    #[test]
    fn an_answered_key_is_not_kept() {
        let mut answered = handshake("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut refused = handshake("dGhlIHNhbXBsZSBub25jZQ==", "no");
        answered.forget_key();
        refused.forget_key();
        assert_eq!((answered.request.unwrap().key, answered.accept_valid), (None, Some(true)));
        assert!(refused.request.unwrap().key.is_some());
    }
}
