//! What is said of encrypted connections without any key, against what their applications reported.

use crate::support::run;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wsclose::capture::merge::MergedSource;
use wsclose::capture::{Block, More, Source as _};
use wsclose::decode::Decoder;
use wsclose::decode::segment::{Decoded, Endpoint, Segment};
use wsclose::limits::Limits;
use wsclose::moment::Moment;
use wsclose::side::{PerSide, Side};
use wsclose::tcp::connection::Connection;
use wsclose::tcp::stream_event::{StreamEvent, StreamSink};
use wsclose::tls::shape::{
    Confidence, Ending, Probable, Protection, RecordKind, RecordSeen, Shape, SideEnd, TcpEnds,
};

/// Splits both directions into records, and reads of the hellos what the shape needs.
#[derive(Default)]
struct Splitter {
    held: PerSide<Vec<u8>>,
    shape: Shape,
    suite: Option<u16>,
    /// Not encrypted: each segment is taken for a record.
    in_clear: bool,
}

impl StreamSink for Splitter {
    fn stream(&mut self, side: Side, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Gap(_) => self.shape.handle_gap(side),
            StreamEvent::Data { at, bytes, wire, .. } if self.in_clear => {
                if self.suite.is_none() {
                    self.suite = Some(0);
                    self.shape.set_protection(Protection::tls12(8, 16));
                }
                let len = u16::try_from(bytes.len() + 24).unwrap_or(u16::MAX);
                let kind = RecordKind::ApplicationData;
                self.shape.handle_record(side, &RecordSeen { at, kind, len, wire });
            }
            StreamEvent::Data { at, bytes, wire, .. } => {
                self.held.get_mut(side).extend_from_slice(bytes);
                while let Some(record) = take_record(self.held.get_mut(side)) {
                    let kind = match record[0] {
                        21 => RecordKind::Alert,
                        23 => RecordKind::ApplicationData,
                        _ => RecordKind::Handshake,
                    };
                    if record[0] == 22 && record[5] == 2 && self.suite.is_none() {
                        self.hello(&record[5..]);
                    }
                    let len = u16::try_from(record.len() - 5).unwrap();
                    self.shape.handle_record(side, &RecordSeen { at, kind, len, wire });
                }
            }
        }
    }
}

impl Splitter {
    fn hello(&mut self, message: &[u8]) {
        let session = usize::from(message[38]);
        let suite = u16::from_be_bytes([message[39 + session], message[40 + session]]);
        self.suite = Some(suite);
        self.shape.set_protection(match suite {
            0x1302 => Protection::tls13(16, 48),
            0x1301 | 0x1303 => Protection::tls13(16, 32),
            0xc02b | 0xc02c | 0xc02f | 0xc030 => Protection::tls12(8, 16),
            0xcca8..=0xccaa => Protection::tls12(0, 16),
            _ => Protection::block(),
        });
    }
}

fn take_record(held: &mut Vec<u8>) -> Option<Vec<u8>> {
    let len = 5 + usize::from(u16::from_be_bytes([*held.get(3)?, *held.get(4)?]));
    (held.len() >= len).then(|| held.drain(..len).collect())
}

struct Flow {
    client: Endpoint,
    server: Endpoint,
    tcp: Connection,
    splitter: Splitter,
}

impl Flow {
    fn ends(&self) -> TcpEnds {
        let sides = PerSide::from_fn(|side| {
            let half = &self.tcp.halves[side];
            let fin = half.fin.map(|fin| SideEnd {
                at: fin.at,
                peer_received: fin.peer_acked,
                offset: fin.offset,
                is_reset: false,
            });
            let reset = half.reset.as_deref().map(|reset| SideEnd {
                at: reset.at,
                peer_received: reset.acked,
                offset: reset.sent,
                is_reset: true,
            });
            fin.into_iter().chain(reset).min_by_key(|end: &SideEnd| end.at)
        });
        let opened = self.tcp.halves.client.syn;
        let established = self.tcp.halves.client.established;
        let nanos =
            opened.zip(established).map_or(0, |(syn, next): (Moment, Moment)| next.at.nanos_since(syn.at));
        TcpEnds {
            sides,
            timed_out: Side::BOTH.iter().any(|side| self.tcp.halves[*side].unanswered.sendings >= 3),
            round_trip: Duration::from_nanos(nanos.try_into().unwrap_or(0)),
        }
    }
}

fn flows(capture: &Path, in_clear: bool) -> Vec<Flow> {
    let limits = Limits::default();
    let mut decoder = Decoder::new(&limits, false);
    let mut flows: HashMap<(Endpoint, Endpoint), Flow> = HashMap::new();
    let mut source = MergedSource::open(&[capture.to_owned()], &limits);
    let mut block = Block::default();
    loop {
        let more = source.read_block(&mut block).unwrap();
        for packet in &block.packets {
            let bytes = block.packet_bytes(packet);
            let decoded =
                decoder.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
            if let Decoded::Segment(segment) = decoded {
                take_segment(&mut flows, &segment, in_clear, &limits);
            }
        }
        if more == More::No {
            return flows.into_values().collect();
        }
    }
}

fn take_segment(
    flows: &mut HashMap<(Endpoint, Endpoint), Flow>,
    segment: &Segment<'_>,
    in_clear: bool,
    limits: &Limits,
) {
    let (there, back) = ((segment.source, segment.destination), (segment.destination, segment.source));
    let (key, side) = if flows.contains_key(&back) { (back, Side::Server) } else { (there, Side::Client) };
    let flow = flows.entry(key).or_insert_with(|| Flow {
        client: key.0,
        server: key.1,
        tcp: Connection::new(segment.at),
        splitter: Splitter { in_clear, ..Splitter::default() },
    });
    flow.tcp.handle_segment(side, segment, limits, &mut flow.splitter);
}

#[derive(Default)]
struct Tally {
    right: u32,
    wrong: Vec<String>,
    declined: u32,
}

/// Is `probable` right about a connection with this label and this initiator?
fn is_right(probable: &Probable, label: &str, initiator: &str) -> Option<bool> {
    let is_coded = label.starts_with("close:");
    match probable.ending {
        Ending::ClosingHandshake { first, .. } => Some(is_coded && first.name() == initiator),
        Ending::OneSidedClose { by, .. } => Some(is_coded && by.name() == initiator),
        Ending::NoClose => Some(!is_coded),
        Ending::StillOpen => Some(label == "open-at-end"),
        Ending::Unclear | Ending::Unreadable(_) => None,
    }
}

fn socket(value: &Value) -> SocketAddr {
    let address: IpAddr = value[0].as_str().unwrap().parse().unwrap();
    SocketAddr::new(address, value[1].as_u64().unwrap().try_into().unwrap())
}

fn is_at(endpoint: Endpoint, value: &Value) -> bool {
    SocketAddr::new(endpoint.address, endpoint.port) == socket(value)
}

fn judge_run(run: &Path, in_clear: bool, tallies: &mut BTreeMap<(u16, Confidence), Tally>) {
    let truth: Value = serde_json::from_slice(&std::fs::read(run.join("truth.json")).unwrap()).unwrap();
    for vantage in ["client", "mid", "server"] {
        let file = run.join(format!("{vantage}.pcap"));
        let flows = if file.is_file() { flows(&file, in_clear) } else { continue };
        for connection in truth["connections"].as_array().unwrap() {
            let tuples = &connection["tuples"][vantage];
            let legs = tuples
                .as_array()
                .map_or_else(|| vec![tuples.clone()], Clone::clone)
                .into_iter()
                .filter(Value::is_object)
                .collect::<Vec<_>>();
            let wire = &connection["wire_by_vantage"][vantage];
            for flow in flows.iter().filter(|flow| {
                flow.splitter.suite.is_some()
                    && legs
                        .iter()
                        .any(|leg| is_at(flow.client, &leg["client"]) && is_at(flow.server, &leg["server"]))
            }) {
                let probable = flow.splitter.shape.probable(&flow.ends());
                let label = wire["label"].as_str().or(connection["expected_label"].as_str()).unwrap();
                let initiator = wire["initiator"].as_str().or(connection["initiator"].as_str()).unwrap_or("");
                let tally = tallies.entry((flow.splitter.suite.unwrap(), probable.confidence)).or_default();
                match is_right(&probable, label, initiator) {
                    Some(true) => tally.right += 1,
                    None => tally.declined += 1,
                    Some(false) => tally.wrong.push(format!(
                        "{} {vantage} {} {label} by {initiator}: {probable:?}",
                        run.display(),
                        connection["case"]
                    )),
                }
            }
        }
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.is_dir()).collect()
}

fn evaluate(in_clear: bool) {
    let Some(root) = run::shared("lab-samples") else { return };
    let mut tallies = BTreeMap::new();
    for scenario in folders(&root) {
        let is_tls = scenario.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tls"));
        if is_tls != in_clear {
            folders(&scenario).iter().for_each(|run| judge_run(run, in_clear, &mut tallies));
        }
    }
    for ((suite, confidence), tally) in &tallies {
        let (right, wrong) = (tally.right, tally.wrong.len());
        let name = confidence.name();
        eprintln!("{suite:04x} {name:<6} right {right} wrong {wrong} declined {}", tally.declined);
        tally.wrong.iter().for_each(|wrong| eprintln!("   {wrong}"));
    }
    let high = tallies.iter().filter(|((_, confidence), _)| *confidence == Confidence::High);
    let (right, wrong) =
        high.fold((0, 0), |(right, wrong), (_, tally)| (right + tally.right, wrong + tally.wrong.len()));
    assert!(right > 0 && wrong * 20 <= right as usize, "{right} right, {wrong} wrong");
}

#[test]
fn high_confidence_is_right_in_19_of_20_encrypted_lab_samples() {
    evaluate(false);
}

#[test]
fn high_confidence_is_right_in_19_of_20_lab_samples_whose_segments_are_taken_for_records() {
    evaluate(true);
}
