//! What is said of encrypted connections without any key, against what their applications reported.

use crate::support::conversation::Conversation;
use crate::support::run::{self, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wsclose::analyzer::Options;
use wsclose::capture::merge::{MergeInput, MergedSource};
use wsclose::capture::{Block, More, Source as _};
use wsclose::decode::Decoder;
use wsclose::decode::segment::{Decoded, Endpoint, Segment};
use wsclose::limits::Limits;
use wsclose::report::model::Connection;
use wsclose::side::{PerSide, Side};
use wsclose::tcp::connection::Connection as Tcp;
use wsclose::tcp::stream_event::{StreamEvent, StreamSink};
use wsclose::tls::keylog::KeyLog;
use wsclose::tls::record::ContentType;
use wsclose::tls::shape::{Ending, Probable, Protection, RecordSeen, Shape, SideEnd, TcpEnds};

/// Answers of one confidence.
#[derive(Default)]
pub(crate) struct Tally {
    right: usize,
    wrong: Vec<String>,
    declined: usize,
}

/// By cipher suite and confidence.
pub(crate) type Tallies = BTreeMap<(String, String), Tally>;

impl Tally {
    pub(crate) fn count(&mut self, right: Option<bool>, what: impl FnOnce() -> String) {
        match right {
            Some(true) => self.right += 1,
            Some(false) => self.wrong.push(what()),
            None => self.declined += 1,
        }
    }
}

/// A lab run's connection as a vantage sees it: what closed it, and who.
struct Truth {
    legs: Vec<(SocketAddr, SocketAddr)>,
    label: String,
    initiator: String,
    case: String,
}

fn socket(value: &Value) -> Option<SocketAddr> {
    let address: IpAddr = value.get(0)?.as_str()?.parse().ok()?;
    Some(SocketAddr::new(address, value.get(1)?.as_u64()?.try_into().ok()?))
}

fn truths(run: &Path, vantage: &str) -> Vec<Truth> {
    let file = std::fs::read(run.join("truth.json")).unwrap();
    let truth: Value = serde_json::from_slice(&file).unwrap();
    let of = |connection: &Value| {
        let tuples = &connection["tuples"][vantage];
        let legs = tuples.as_array().map_or_else(|| vec![tuples.clone()], Clone::clone);
        let legs = legs.iter().filter_map(|leg| Some((socket(&leg["client"])?, socket(&leg["server"])?)));
        let wire = &connection["wire_by_vantage"][vantage];
        let text = |value: &Value, other: &Value| value.as_str().or(other.as_str()).unwrap_or("").to_owned();
        Truth {
            legs: legs.collect(),
            label: text(&wire["label"], &connection["expected_label"]),
            initiator: text(&wire["initiator"], &connection["initiator"]),
            case: format!("{} {vantage} {}", run.display(), connection["case"]),
        }
    };
    truth["connections"].as_array().unwrap().iter().map(of).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.is_dir()).collect()
}

/// Each capture of the lab, in TLS or in clear, with its truth.
fn each_capture(in_tls: bool, mut judge: impl FnMut(&Path, &[Truth])) {
    let Some(root) = run::shared("lab-samples") else { return };
    for scenario in folders(&root) {
        let is_tls = scenario.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tls"));
        if is_tls != in_tls {
            continue;
        }
        for run in folders(&scenario) {
            for vantage in ["client", "mid", "server"] {
                let file = run.join(format!("{vantage}.pcap"));
                if file.is_file() {
                    judge(&file, &truths(&run, vantage));
                }
            }
        }
    }
}

fn print(tallies: &Tallies) {
    for ((suite, confidence), tally) in tallies {
        let (right, wrong) = (tally.right, tally.wrong.len());
        eprintln!("{suite}, {confidence}: {right} right, {wrong} wrong, {} declined", tally.declined);
        tally.wrong.iter().for_each(|wrong| eprintln!("   {wrong}"));
    }
}

/// At least 95 of 100 are right where confidence is high.
pub(crate) fn assert_high_is_right(tallies: &Tallies) {
    print(tallies);
    let high = tallies.iter().filter(|((_, confidence), _)| confidence == "high");
    let (right, wrong) =
        high.fold((0, 0), |(right, wrong), (_, tally)| (right + tally.right, wrong + tally.wrong.len()));
    assert!(tallies.is_empty() || right > 0, "nothing was said with high confidence");
    assert!(wrong * 20 <= right + wrong, "{right} right, {wrong} wrong");
}

fn without_keys(file: &Path, options: Options) -> Outcome {
    run::analyze(vec![MergeInput::Path(file.to_owned())], options)
}

/// Nothing may be claimed for certain of what could not be decrypted.
pub(crate) fn assert_claims_nothing(connection: &Connection<'_>) {
    let verdict = &connection.verdict;
    assert!(matches!(&*verdict.kind, "unknown" | "open"), "{verdict:?}");
    assert_eq!(verdict.code, None);
    for endpoint in [&connection.endpoints.client, &connection.endpoints.server] {
        assert_eq!((endpoint.code, endpoint.certainty.as_ref()), (None, "unknown"), "{verdict:?}");
    }
}

#[test]
fn high_confidence_is_right_in_19_of_20_encrypted_lab_samples() {
    let mut tallies = Tallies::new();
    each_capture(true, |file, truths| {
        let outcome = without_keys(file, Options { encrypted: true, ..Options::default() });
        for connection in outcome.connections.iter().filter(|connection| connection.carrier == "tls") {
            assert_claims_nothing(connection);
            let legs = run::endpoints(connection);
            let truth =
                truths.iter().find(|truth| truth.legs.contains(&legs)).expect("a connection of the lab");
            let said = connection.verdict.probable.as_ref().expect("an opinion");
            let suite = connection.tls.as_ref().and_then(|tls| tls.cipher_suite.as_deref()).unwrap_or("?");
            let is_coded = truth.label.starts_with("close:");
            let right = match &*said.ending {
                "closing-handshake" | "one-sided-close" => {
                    Some(is_coded && said.closed_by.as_deref() == Some(truth.initiator.as_str()))
                }
                "no-close" => Some(!is_coded),
                "still-open" => Some(truth.label == "open-at-end"),
                _ => None,
            };
            let key = (suite.to_owned(), said.confidence.clone().into_owned());
            let what = || format!("{} {} by {}: {}", truth.case, truth.label, truth.initiator, said.text);
            tallies.entry(key).or_default().count(right, what);
        }
    });
    assert_high_is_right(&tallies);
}

#[test]
fn most_encrypted_lab_samples_look_like_websockets() {
    let (mut probable, mut all) = (0, 0);
    each_capture(true, |file, _| {
        let outcome = without_keys(file, Options { encrypted: true, ..Options::default() });
        let encrypted = outcome.connections.iter().filter(|connection| connection.carrier == "tls");
        probable += encrypted.count() as u64;
        all += outcome.encrypted_connections;
    });
    eprintln!("{probable} of {all} encrypted connections look like a WebSocket");
    assert!(probable * 10 >= all * 9, "{probable} of {all}");
}

#[test]
fn a_session_without_keys_is_listed_where_another_one_shows_the_server_to_carry_websockets() {
    let mut is_shown = false;
    each_capture(true, |file, truths| {
        let Ok(log) = std::fs::read_to_string(file.with_file_name("keys.log")) else { return };
        let session = |line: &str| line.split(' ').nth(1).map(str::to_owned);
        let Some(first) = log.lines().find_map(session) else { return };
        let lines: Vec<&str> = log.lines().filter(|line| session(line).as_ref() == Some(&first)).collect();
        let mut keys = KeyLog::default();
        keys.read(lines.join("\n").as_bytes(), &Limits::default());
        let outcome = without_keys(file, Options { keys, ..Options::default() });
        let known: Vec<_> = outcome.connections.iter().filter(|it| it.verdict.blind.is_none()).collect();
        if let [one] = known.as_slice()
            && one.carrier == "tls"
            && truths.len() > 3
        {
            is_shown = true;
            let hidden = outcome.connections.len() - 1;
            assert!(
                hidden * 10 >= (truths.len() - 1) * 8,
                "{hidden} of {}: {}",
                truths.len(),
                file.display()
            );
        }
    });
    assert!(is_shown || run::shared("lab-samples").is_none());
}

/// A TLS 1.2 connection with AES-GCM that ends with a closing handshake by the server, encrypted throughout.
fn encrypted() -> Conversation {
    let record = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3][..], &length, content].concat()
    };
    let hello = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        record(22, &[&[kind][..], &length[1..], body].concat())
    };
    let client_hello = [&[3, 3][..], &[1; 32], &[0], &[0, 2, 0xc0, 0x2f], &[1, 0]].concat();
    let server_hello = [&[3, 3][..], &[2; 32], &[0], &[0xc0, 0x2f], &[0]].concat();
    let data = |length: usize| record(23, &vec![0x5a; length]);
    let finished = [record(20, &[1]), record(22, &[0x5a; 40])].concat();
    let mut conn = Conversation::connected();
    conn.client_sends(&hello(1, &client_hello)).server_sends(&hello(2, &server_hello));
    conn.client_sends(&finished).server_sends(&finished);
    conn.client_sends(&data(300)).server_sends(&data(200));
    conn.client_sends(&data(34)).server_sends(&data(30));
    conn.server_sends(&data(38)).client_sends(&data(42)).server_acks();
    conn.fin(Side::Server).fin(Side::Client).acks(Side::Server);
    conn
}

#[test]
fn an_encrypted_connection_is_counted_and_listed_only_where_that_is_asked_for() {
    let packets = encrypted().packets();
    let analyze = |options| run::analyze_packets_with(&packets, options);
    let unasked = analyze(Options::default());
    assert_eq!((unasked.connections.len(), unasked.encrypted_connections), (0, 1));
    let asked = analyze(Options { encrypted: true, ..Options::default() });
    let named = analyze(Options { ws_ports: vec![asked.only().server.port], ..Options::default() });
    for outcome in [asked, named] {
        let connection = outcome.only();
        assert_claims_nothing(connection);
        assert_eq!(connection.verdict.blind.as_deref(), Some("encrypted"));
        let said = connection.verdict.probable.as_ref().unwrap();
        assert_eq!(
            said.text,
            "probable closing handshake, server first, with a reason of about 10 bytes (high)"
        );
        assert!(connection.evidence.iter().any(|item| item.what == "record of a Close's size"));
        assert_eq!(outcome.encrypted_connections, 1);
    }
}

// The samples in clear text hold many more ways to end. Each segment is taken for a record.

/// Takes each segment's payload for a record.
#[derive(Default)]
struct Segments(Shape);

impl StreamSink for Segments {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Gap(_) => self.0.handle_gap(side),
            StreamEvent::Data { at, bytes, wire, .. } => {
                let length = u16::try_from(bytes.len() + 24).unwrap_or(u16::MAX);
                let content_type = ContentType::APPLICATION_DATA;
                self.0.handle_record(side, &RecordSeen { at, content_type, length, wire });
            }
        }
    }
}

struct Flow {
    legs: (SocketAddr, SocketAddr),
    tcp: Tcp,
    records: Segments,
}

impl Flow {
    fn new(segment: &Segment<'_>) -> Self {
        let address = |endpoint: Endpoint| SocketAddr::new(endpoint.address, endpoint.port);
        let mut records = Segments::default();
        records.0.set_server_hello(Some(Protection::tls12(8, 16)), None);
        let legs = (address(segment.source()), address(segment.destination()));
        Flow { legs, tcp: Tcp::new(segment.at), records }
    }

    fn probable(&self) -> Probable {
        let sides = PerSide::from_fn(|side| {
            let half = &self.tcp.halves[side];
            let fin = half.fin.map(|fin| (fin.at, fin.peer_acked, fin.offset, false));
            let reset = half.reset.as_deref().map(|reset| (reset.at, reset.acked, reset.sent, true));
            let first = fin.into_iter().chain(reset).min_by_key(|end| end.0)?;
            let (at, peer_received, offset, is_reset) = first;
            Some(SideEnd { at, peer_received, offset, is_reset })
        });
        let timed_out = Side::BOTH.iter().any(|side| self.tcp.halves[*side].unanswered.sendings >= 3);
        self.records.0.probable(&TcpEnds { sides, timed_out, round_trip: Duration::from_millis(1) })
    }
}

fn flows(file: &Path) -> Vec<Flow> {
    let limits = Limits::default();
    let mut decoder = Decoder::new(&limits, false);
    let mut flows: HashMap<(Endpoint, Endpoint), Flow> = HashMap::new();
    let mut source = MergedSource::open(&[file.to_owned()], &limits);
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block).unwrap();
        for packet in &block.packets {
            let bytes = block.packet_bytes(packet);
            let decoded =
                decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
            if let Decoded::Segment(segment) = decoded {
                let (there, back) =
                    ((segment.source(), segment.destination()), (segment.destination(), segment.source()));
                let is_answer = flows.contains_key(&back);
                let (key, side) = if is_answer { (back, Side::Server) } else { (there, Side::Client) };
                let flow = flows.entry(key).or_insert_with(|| Flow::new(&segment));
                flow.tcp.handle_segment(side, &segment, &limits, &mut flow.records);
            }
        }
        if more == More::No {
            return flows.into_values().collect();
        }
    }
}

#[test]
fn high_confidence_is_right_in_19_of_20_lab_samples_whose_segments_are_taken_for_records() {
    let mut tallies = Tallies::new();
    each_capture(false, |file, truths| {
        for flow in flows(file) {
            let Some(truth) = truths.iter().find(|truth| truth.legs.contains(&flow.legs)) else { continue };
            let probable = flow.probable();
            let is_coded = truth.label.starts_with("close:");
            let right = match probable.ending {
                Ending::ClosingHandshake { first: side, .. } | Ending::OneSidedClose { by: side, .. } => {
                    Some(is_coded && side.name() == truth.initiator)
                }
                Ending::NoClose => Some(!is_coded),
                Ending::StillOpen => Some(truth.label == "open-at-end"),
                Ending::Unclear | Ending::Unreadable(_) => None,
            };
            let key = ("in clear".to_owned(), probable.confidence.name().to_owned());
            let what =
                || format!("{} {} by {}: {:?}", truth.case, truth.label, truth.initiator, probable.ending);
            tallies.entry(key).or_default().count(right, what);
        }
    });
    assert_high_is_right(&tallies);
}
