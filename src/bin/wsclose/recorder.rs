//! `--record`: the last packets of each open connection, kept in memory, and written for those that end badly.
//!
//! ```text
//!  head   SYN, handshake: the first packets, up to HEAD_BYTES      the oldest first out, beyond half of
//!                                                                  the budget
//!  tail   what came last, up to TAIL_BYTES                         the oldest first out, over all connections, beyond the
//!                                                                  budget
//! ```
//!
//! Recorded are TCP connections whose opening is seen, until their first bytes show that they ask for no WebSocket (TLS and
//! HTTP/2 may hold one), and those of which a packet is seen first that holds whole frames and nothing else.

use crate::recordings::Folder;
use anyhow::Result;
use memchr::memmem;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::analyzer::track::Track;
use wsclose::capture::PacketRef;
use wsclose::capture::link_type::LinkType;
use wsclose::capture::pcapng_writer::{NewInterface, NewPacket, PcapngWriter};
use wsclose::capture::rewrite::PacketChanges as _;
use wsclose::decode::Decoder;
use wsclose::decode::flow_key::FlowKey;
use wsclose::decode::segment::{Decoded, Segment};
use wsclose::limits::Limits;
use wsclose::moment::Moment;
use wsclose::report::annotate::{Annotations, renumbered};
use wsclose::report::filter::Selector;
use wsclose::report::model::{Connection, Recordings};
use wsclose::report::numbers::Named;
use wsclose::report::text::counted;
use wsclose::websocket::plausible;

/// Of the first packets of a connection, kept as long as it is open.
const HEAD_BYTES: usize = 8 << 10;
/// Of its last ones.
const TAIL_BYTES: usize = 32 << 10;
/// Bytes kept of a packet.
const PACKET_BYTES: usize = 4 << 10;
/// What a packet takes besides its bytes.
const PACKET_COST: usize = 96;
/// Entries of the order whose packets have gone, before they are cleared out.
const ORDER_SLACK: usize = 4_096;
/// How HTTP/2 begins where both sides know it (RFC 9113 §3.4): its streams may be WebSockets.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What is to be recorded.
pub(crate) struct Settings {
    pub(crate) folder: PathBuf,
    /// Bytes of memory.
    pub(crate) budget: usize,
    /// Bytes of disk.
    pub(crate) disk: u64,
    pub(crate) only: Vec<Selector>,
    pub(crate) interfaces: Vec<String>,
}

struct Kept {
    at: Moment,
    link_type: LinkType,
    original_len: u32,
    bytes: Box<[u8]>,
}

impl Kept {
    fn cost(&self) -> usize {
        self.bytes.len() + PACKET_COST
    }
}

#[derive(Default)]
struct Reel {
    head: Vec<Kept>,
    tail: VecDeque<Kept>,
    head_bytes: usize,
    tail_bytes: usize,
    /// Its first bytes ask for a WebSocket, or may.
    is_wanted: bool,
    /// A stream of it was reported; others may follow, with what all of them need. The next SYN is another connection's.
    is_shared: bool,
}

impl Reel {
    /// Is the packet of that moment still on the tail?
    fn holds(&self, at: Moment) -> bool {
        self.tail.front().is_some_and(|oldest| oldest.at <= at)
    }

    /// Takes the oldest packet off the tail; gives what it took.
    fn drop_oldest(&mut self) -> Option<usize> {
        let cost = self.tail.pop_front()?.cost();
        self.tail_bytes -= cost;
        Some(cost)
    }
}

/// The recorder.
pub(crate) struct Recorder {
    settings: Settings,
    /// Of the same kind as the analysis's, and shown the same packets: its numbers for VLANs and tunnels are the same.
    decoder: Decoder,
    reels: HashMap<FlowKey, Reel>,
    /// Whose tail each packet was put on, the oldest first.
    order: VecDeque<(FlowKey, Moment)>,
    bytes: usize,
    /// The connections whose heads are kept, the oldest first.
    heads: VecDeque<FlowKey>,
    head_bytes: usize,
    tail_packets: usize,
    folder: Folder,
    /// Files written so far, and those that could not be.
    pub(crate) recordings: Recordings,
    is_failing: bool,
    notices: Vec<String>,
}

impl Recorder {
    pub(crate) fn new(settings: Settings, limits: &Limits) -> Result<Recorder> {
        let folder = Folder::open(&settings.folder, settings.disk)?;
        let decoder = Decoder::new(limits, false);
        let (reels, order) = (HashMap::new(), VecDeque::new());
        Ok(Recorder {
            settings,
            decoder,
            reels,
            order,
            bytes: 0,
            heads: VecDeque::new(),
            head_bytes: 0,
            tail_packets: 0,
            folder,
            recordings: Recordings::default(),
            is_failing: false,
            notices: Vec::new(),
        })
    }

    /// Keeps a packet of a connection that may be a WebSocket.
    pub(crate) fn take(&mut self, packet: &PacketRef, bytes: &[u8]) {
        let decoded =
            self.decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
        let Decoded::Segment(segment) = decoded else { return };
        let key = segment.key;
        let interest = match Interest::of(&segment) {
            Interest::Refused if !self.reels.contains_key(&key) && holds_frames(segment.payload) => {
                Interest::Wanted
            }
            interest => interest,
        };
        self.keep(key, interest, packet, bytes);
    }

    fn keep(&mut self, key: FlowKey, interest: Interest, packet: &PacketRef, bytes: &[u8]) {
        if interest == Interest::Opens && self.reels.get(&key).is_some_and(|reel| reel.is_shared) {
            self.forget(&key);
        }
        let is_known = self.reels.contains_key(&key);
        match interest {
            Interest::None if !is_known => return,
            Interest::Refused if self.reels.get(&key).is_none_or(|reel| !reel.is_wanted) => {
                self.forget(&key);
                return;
            }
            _ => {}
        }
        if !is_known {
            self.heads.push_back(key);
        }
        let reel = self.reels.entry(key).or_default();
        reel.is_wanted |= interest == Interest::Wanted;
        let bytes = bytes.get(..PACKET_BYTES).unwrap_or(bytes).into();
        let kept =
            Kept { at: packet.at, link_type: packet.link_type, original_len: packet.original_len, bytes };
        let cost = kept.cost();
        self.bytes += cost;
        if reel.tail.is_empty() && reel.head_bytes + cost <= HEAD_BYTES {
            reel.head_bytes += cost;
            reel.head.push(kept);
            self.head_bytes += cost;
            self.keep_heads_to_budget();
            return;
        }
        let at = kept.at;
        reel.tail_bytes += cost;
        reel.tail.push_back(kept);
        self.order.push_back((key, at));
        self.tail_packets += 1;
        while reel.tail_bytes > TAIL_BYTES
            && let Some(oldest) = reel.drop_oldest()
        {
            self.bytes -= oldest;
            self.tail_packets -= 1;
        }
        self.keep_to_budget();
    }

    /// Memory it takes, as estimated, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let order = self.order.len() * size_of::<(FlowKey, Moment)>();
        let reels = self.reels.len() * size_of::<(FlowKey, Reel)>();
        self.bytes + order + reels + self.heads.len() * size_of::<FlowKey>()
    }

    /// Drops the heads of the oldest connections until the rest take half of the budget: those of connections that were never
    /// reported, since they carried no WebSocket, would stay for ever.
    fn keep_heads_to_budget(&mut self) {
        if self.heads.len() > 2 * self.reels.len() + ORDER_SLACK {
            let reels = &self.reels;
            self.heads.retain(|key| reels.contains_key(key));
        }
        while self.head_bytes + self.heads.len() * size_of::<FlowKey>() > self.settings.budget / 2
            && let Some(key) = self.heads.pop_front()
        {
            let Some(reel) = self.reels.get_mut(&key) else { continue };
            let bytes = std::mem::take(&mut reel.head_bytes);
            self.recordings.dropped_packets += reel.head.len() as u64;
            reel.head.clear();
            self.head_bytes -= bytes;
            self.bytes -= bytes;
            if reel.tail.is_empty() {
                self.reels.remove(&key);
            }
        }
    }

    /// Drops the oldest packets of all tails until the rest keep to the budget.
    fn keep_to_budget(&mut self) {
        if self.order.len() > 2 * self.tail_packets + ORDER_SLACK {
            let reels = &self.reels;
            self.order.retain(|(key, at)| reels.get(key).is_some_and(|reel| reel.holds(*at)));
        }
        while self.bytes + self.order.len() * size_of::<(FlowKey, Moment)>() > self.settings.budget
            && let Some((key, at)) = self.order.pop_front()
        {
            let Some(reel) = self.reels.get_mut(&key).filter(|reel| reel.holds(at)) else { continue };
            if let Some(oldest) = reel.drop_oldest() {
                self.bytes -= oldest;
                self.tail_packets -= 1;
                self.recordings.dropped_packets += 1;
            }
            if reel.head.is_empty() && reel.tail.is_empty() {
                self.reels.remove(&key);
            }
        }
    }

    fn forget(&mut self, key: &FlowKey) {
        if let Some(reel) = self.reels.remove(key) {
            self.bytes -= reel.head_bytes + reel.tail_bytes;
            self.head_bytes -= reel.head_bytes;
            self.tail_packets -= reel.tail.len();
        }
    }

    /// A connection is reported: writes its packets, if it is one of those asked for, and gives their file. After its end
    /// they are forgotten.
    pub(crate) fn reported(
        &mut self,
        record: &ConnectionRecord,
        connection: &Connection<'_>,
        has_ended: bool,
    ) -> Option<PathBuf> {
        let key = Track::of(record).key();
        let is_asked_for = self.settings.only.iter().any(|selector| selector.matches(&connection.verdict));
        let reel = self.reels.get(&key).filter(|_| is_asked_for);
        let written = reel.map(|reel| {
            self.folder.write(connection, |file| self.write_packets(file, reel, record, connection))
        });
        let written = written.and_then(|written| self.count(written));
        self.forget_reported(&key, record, has_ended);
        written
    }

    /// Counts a recording. One that fails costs no more than itself: the capture goes on, and people are told once.
    fn count(&mut self, written: Result<PathBuf>) -> Option<PathBuf> {
        match &written {
            Ok(_) => self.recordings.written += 1,
            Err(_) => self.recordings.lost += 1,
        }
        // One that was written can be taken back, whatever becomes of older files.
        let path = written.as_ref().ok().cloned();
        path.iter().for_each(|path| self.folder.note(path));
        let outcome = written.and_then(|_| self.folder.keep_to_budget());
        match &outcome {
            Err(error) if !self.is_failing => {
                self.notices.push(format!("recordings fail, the capture goes on: {error:#}"));
            }
            Ok(_) if self.is_failing => {
                self.notices.push(format!("recordings are written again; {}", self.losses()));
            }
            _ => {}
        }
        self.is_failing = outcome.is_err();
        path
    }

    /// Deletes the recording of a verdict that was taken back: it proves nothing.
    pub(crate) fn take_back(&mut self, path: &Path) {
        if let Err(error) = self.folder.delete(path) {
            self.notices.push(format!("{error:#}"));
        }
    }

    /// What people should be told.
    pub(crate) fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// What they should be told at the end.
    pub(crate) fn losses(&self) -> String {
        format!("{} lost so far", counted(self.recordings.lost, "recording"))
    }

    fn forget_reported(&mut self, key: &FlowKey, record: &ConnectionRecord, has_ended: bool) {
        let is_last = |reel: &Reel| {
            let last = reel.tail.back().or(reel.head.last());
            last.is_none_or(|last| last.at.at <= record.last.at)
        };
        if record.teardown.stream.is_some() {
            // Its connection may go on.
            self.reels.get_mut(key).into_iter().for_each(|reel| reel.is_shared = true);
        } else if has_ended && self.reels.get(key).is_some_and(is_last) {
            self.forget(key);
        }
    }

    fn write_packets(
        &self,
        out: BufWriter<File>,
        reel: &Reel,
        record: &ConnectionRecord,
        connection: &Connection<'_>,
    ) -> std::io::Result<()> {
        let span = record.tcp_opened().at..=record.last.at;
        let packets = || reel.head.iter().chain(&reel.tail).filter(|packet| span.contains(&packet.at.at));
        // As sentences name them, where each interface counts its own.
        let numbers: HashMap<(u32, u32), u32> =
            packets().zip(1..).map(|(it, new)| ((u32::from(it.at.file) + 1, it.at.packet), new)).collect();
        let number = |named: Named| numbers.get(&(named.file.unwrap_or(1), named.packet)).copied();
        let mut on_each = self.annotations(connection, record.last.packet);
        on_each.iter_mut().for_each(|one| one.renumber(number));
        let verdict = &connection.verdict;
        let about = format!(
            "wsclose: {} by {}: {}",
            verdict.label,
            verdict.closed_by.as_deref().unwrap_or("-"),
            renumbered(&verdict.why, number)
        );
        let mut writer = PcapngWriter::begin(out, &[about])?;
        writer.names(&on_each.first().map(Annotations::names).unwrap_or_default())?;
        for packet in packets() {
            let name = self.settings.interfaces.get(usize::from(packet.at.file)).cloned();
            let snaplen = u32::try_from(PACKET_BYTES).unwrap_or(0);
            let interface = NewInterface { name, snaplen, ..NewInterface::new(packet.link_type) };
            let interface = writer.interface(&interface)?;
            let annotations = on_each.get(usize::from(packet.at.file));
            let comments = annotations.map_or(&[][..], |all| all.comments(packet.at.packet));
            let (at, original_len, bytes) = (packet.at.at, packet.original_len, &*packet.bytes);
            writer.packet(&NewPacket { interface, at, original_len, bytes }, comments)?;
        }
        writer.finish().map(drop)
    }

    /// The comments on the packets of each interface.
    fn annotations(&self, connection: &Connection<'_>, last: u32) -> Vec<Annotations> {
        let on = |interface: &String| {
            let mut annotations = Annotations::new(1 << 20);
            annotations.connection_on(interface, connection, last);
            annotations
        };
        self.settings.interfaces.iter().map(on).collect()
    }
}

/// What a segment says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    /// Nothing: it goes with the others of its connection.
    None,
    /// It opens a connection.
    Opens,
    /// It asks for a WebSocket, or may.
    Wanted,
    /// It carries something else.
    Refused,
}

impl Interest {
    fn of(segment: &Segment<'_>) -> Interest {
        const TLS_HANDSHAKE: u8 = 22;
        if segment.flags.syn() {
            return Interest::Opens;
        }
        let payload = segment.payload;
        match payload.first() {
            None => Interest::None,
            Some(&TLS_HANDSHAKE) => Interest::Wanted,
            _ if asks_for_websocket(payload) || payload.starts_with(HTTP2_PREFACE) => Interest::Wanted,
            _ => Interest::Refused,
        }
    }
}

/// Of a connection whose opening was not seen: is it nothing but frames of a WebSocket?
fn holds_frames(payload: &[u8]) -> bool {
    plausible::chain(payload).is_some_and(|chain| chain.telling > 0)
}

/// Is there an `Upgrade: websocket` or a `Sec-WebSocket-Key` in it, or the begin of a head that may yet have one?
fn asks_for_websocket(payload: &[u8]) -> bool {
    let has = |word: &[u8]| memmem::find(payload, word).is_some();
    let is_whole = has(b"\r\n\r\n");
    payload.starts_with(b"GET ") && (!is_whole || has(b"ebSocket") || has(b"ebsocket") || has(b"EBSOCKET"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wsclose::analyzer::{Analyzer, Options};
    use wsclose::capture::file::FileSource;
    use wsclose::capture::{Block, More, Source as _};
    use wsclose::decode::segment::{EncapsulationId, Endpoint};
    use wsclose::report::build::{self, Context};

    #[test]
    fn only_what_may_ask_for_a_websocket_is_recorded() {
        assert!(asks_for_websocket(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"));
        assert!(asks_for_websocket(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n"));
        assert!(asks_for_websocket(b"GET /a-head-that-goes-on"), "it may yet ask");
        assert!(!asks_for_websocket(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!asks_for_websocket(b"POST / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"));
    }

    #[test]
    fn a_connection_joined_in_mid_stream_is_recorded_if_it_holds_frames() {
        assert!(holds_frames(b"\x81\x02hi"));
        assert!(holds_frames(b"\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0"));
        for other in
            [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"SELECT 1", b"\0\0\0\x10abcd", b"\x17\x03\x03\0\x20", b""]
        {
            assert!(!holds_frames(other), "{other:?}");
        }
    }

    fn settings(folder: &Path, only: Vec<Selector>) -> Settings {
        Settings {
            folder: folder.to_owned(),
            budget: 1 << 20,
            disk: 1 << 30,
            only,
            interfaces: vec!["eth0".to_owned()],
        }
    }

    /// The verdicts on a capture, by stream of HTTP/2; each connection is shown to `see` as live capture does.
    fn verdicts(
        path: &Path,
        mut see: impl FnMut(&Block, Vec<(Box<ConnectionRecord>, bool)>),
    ) -> Vec<(Option<u32>, String)> {
        let mut source = FileSource::open(path, 0, &Limits::default()).unwrap();
        let mut analyzer = Analyzer::new(Options::default());
        let (mut block, mut found) = (Block::default(), Vec::new());
        loop {
            let more = source.read_block(&mut block).unwrap();
            analyzer.handle_block(&block);
            if more == More::No {
                analyzer.finish();
            }
            let records: Vec<_> = std::iter::from_fn(|| analyzer.poll_record()).collect();
            found.extend(records.iter().map(|one| {
                let stream = one.teardown.stream.as_ref().map(|stream| stream.id.0);
                (stream, format!("{:?} {:?}", one.verdict.kind, one.verdict.closed_by))
            }));
            see(&block, records.into_iter().map(|one| (one, true)).collect());
            if more == More::No {
                return found;
            }
        }
    }

    #[test]
    fn each_stream_of_a_connection_has_a_file_that_tells_the_same_end() {
        let folder = tempfile::tempdir().unwrap();
        let only = vec![Selector::parse("1006").unwrap()];
        let mut recorder = Recorder::new(settings(folder.path(), only), &Limits::default()).unwrap();
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/http2/node-h2c-server-killed.pcapng");
        let files = [fixture.to_str().unwrap().to_owned()];
        let context = Context { files: &files, redact: false };
        let whole = verdicts(&fixture, |block, records| {
            for packet in &block.packets {
                recorder.take(packet, block.packet_bytes(packet));
            }
            for (record, has_ended) in records {
                assert_eq!(
                    recorder.reported(&record, &build::connection(1, &record, context), has_ended).is_some(),
                    matches!(record.verdict.kind.label().as_ref(), "1006")
                );
            }
        });
        let lost: Vec<_> = whole.iter().filter(|(_, verdict)| verdict.contains("Abnormal")).collect();
        assert!(lost.len() > 1, "several streams end with the connection: {whole:?}");
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(names.len(), lost.len());
        for (stream, verdict) in lost {
            let ending = format!("-{}.pcapng", stream.unwrap());
            let file = names.iter().find(|name| name.to_str().unwrap().ends_with(&ending)).unwrap();
            assert!(verdicts(file, |_, _| {}).contains(&(*stream, verdict.clone())), "stream {stream:?}");
        }
    }

    #[test]
    fn a_recording_that_fails_is_counted_and_told_once_and_so_is_that_they_work_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::new(settings(folder.path(), Vec::new()), &Limits::default()).unwrap();
        let lost = || Err(anyhow::anyhow!("no space"));
        let written = folder.path().join("20261122T201438Z-1006.pcapng");
        assert_eq!((recorder.count(lost()), recorder.count(lost())), (None, None));
        assert_eq!(recorder.take_notices(), ["recordings fail, the capture goes on: no space"]);
        assert_eq!(recorder.count(Ok(written.clone())), Some(written.clone()));
        assert_eq!(recorder.take_notices(), ["recordings are written again; 2 recordings lost so far"]);
        assert_eq!(recorder.recordings, Recordings { written: 1, lost: 2, dropped_packets: 0 });
        std::fs::write(&written, "").unwrap();
        recorder.take_back(&written);
        recorder.take_back(&written);
        assert!(!written.exists() && recorder.take_notices().is_empty(), "deleted, and twice is no fault");
    }

    fn packet(number: u32) -> PacketRef {
        let at = Moment::new(wsclose::time::Timestamp::from_nanos(i64::from(number)), number, 0);
        PacketRef { at, link_type: LinkType::ETHERNET, fcs_len: 0, range: 0..0, original_len: 1_000 }
    }

    fn ends(port: u16) -> FlowKey {
        let end = |port| Endpoint { address: std::net::Ipv4Addr::LOCALHOST.into(), port };
        FlowKey::between(end(port), end(9), EncapsulationId::default()).0
    }

    #[test]
    fn the_budget_holds_and_a_busy_connection_does_not_push_out_a_quiet_ones_handshake() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::new(settings(folder.path(), Vec::new()), &Limits::default()).unwrap();
        recorder.keep(ends(1), Interest::Wanted, &packet(1), &[0; 500]);
        for number in 2..50_000 {
            let port = u16::try_from(2 + number % 40).unwrap();
            recorder.keep(ends(port), Interest::Wanted, &packet(number), &[0; 1_000]);
        }
        let kept = |reel: &Reel| reel.head.iter().chain(&reel.tail).map(Kept::cost).sum::<usize>();
        let dropped = recorder.recordings.dropped_packets;
        assert!(dropped > 0 && dropped < 50_000, "{dropped}");
        let memory = recorder.memory();
        assert!(memory > recorder.bytes && memory < (1 << 20) + (1 << 15), "{memory}");
        let held: usize = recorder.reels.values().map(kept).sum();
        assert_eq!(held, recorder.bytes);
        assert_eq!(recorder.tail_packets, recorder.reels.values().map(|reel| reel.tail.len()).sum::<usize>());
        let order = recorder.order.len() * size_of::<(FlowKey, Moment)>();
        assert!(held + order <= 1 << 20 && held > 1 << 19, "{held} and {order}");
        assert_eq!(recorder.reels[&ends(1)].head.len(), 1);
        let newest = |reel: &Reel| reel.tail.back().map_or(0, |kept| kept.at.packet);
        assert_eq!(recorder.reels.values().map(newest).max(), Some(49_999));
        // A flood of openings: neither they nor what is noted of them may pile up.
        for number in 50_000..100_000 {
            let port = u16::try_from(1_000 + number % 60_000).unwrap();
            recorder.keep(ends(port), Interest::Opens, &packet(number), &[0; 60]);
        }
        assert!(recorder.recordings.dropped_packets > dropped + 30_000, "handshakes that were let go count");
        let noted = (recorder.heads.len() + recorder.reels.len()) * size_of::<FlowKey>();
        assert!(recorder.head_bytes + noted < 2 << 20, "{noted}");
        for port in 1..u16::MAX {
            recorder.forget(&ends(port));
        }
        assert_eq!((recorder.bytes, recorder.head_bytes, recorder.tail_packets), (0, 0, 0));
    }
}
