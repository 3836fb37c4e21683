//! The workloads: what is in each capture, and the truth about how its connections end.

use crate::connection::{Connection, Ending, Kind};
use crate::ends::{End, Ends};
use crate::generate::{CLIENT, Flow, PacketWriter, SERVER};
use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;

/// The names on the command line, and what each holds at scale 1.
pub const WORKLOADS: [(&str, &str); 5] = [
    ("small", "2.27 million packets, messages of 20 to 800 bytes, 2000 connections at a time"),
    ("bulk", "2 GB, messages of 64 KB to 1 MB, 16 connections at a time"),
    ("churn", "200,000 connections of three messages each, 1000 at a time"),
    ("idle", "1,000,000 connections opened, one message each, 1 % closed, the others left open"),
    ("noise", "1 GB, 1 % of the connections WebSocket among HTTP and TLS"),
];

/// Of what the generator does and what the truth holds of it: one more with each change. Captures with another are made anew.
pub const VERSION: u32 = 2;

/// What a right report says of a workload's capture, in the names of the report's `summary`, and of each connection's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Truth {
    pub version: u32,
    /// Packets in the file.
    pub packets: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// WebSockets, refused ones included.
    pub connections: u64,
    pub other_tcp_connections: u64,
    pub by_kind: BTreeMap<String, u64>,
    pub by_label: BTreeMap<String, u64>,
    pub by_cause: BTreeMap<String, u64>,
    pub ends: Ends,
    /// The label of each WebSocket; only where `listing` asks for it, since there may be a million.
    #[serde(skip)]
    pub labels: Option<Labels>,
}

/// Labels by the connection's two addresses, the smaller one first.
pub type Labels = BTreeMap<[SocketAddr; 2], String>;

/// The key of a connection in `Labels`.
pub fn pair(one: SocketAddr, other: SocketAddr) -> [SocketAddr; 2] {
    [one.min(other), one.max(other)]
}

impl Truth {
    fn new() -> Self {
        Truth { version: VERSION, ..Truth::default() }
    }

    fn count(&mut self, kind: Kind, flow: &Flow) {
        let Kind::WebSocket { ending, .. } = kind else {
            self.other_tcp_connections += 1;
            return;
        };
        let (kind, label, cause) = ending.verdict();
        let (client, server) = (flow.address(CLIENT), flow.address(SERVER));
        self.ends.add(End { client, server, label: &label, cause, closed_by: ending.closed_by() });
        if let Some(labels) = &mut self.labels {
            labels.insert(pair(client, server), label.clone());
        }
        self.connections += 1;
        *self.by_kind.entry(kind.to_owned()).or_default() += 1;
        *self.by_label.entry(label).or_default() += 1;
        if let Some(cause) = cause {
            *self.by_cause.entry(cause.to_owned()).or_default() += 1;
        }
    }
}

/// When no new connections start any more.
#[derive(Clone, Copy, Debug)]
enum Until {
    Packets(u64),
    Bytes(u64),
    Connections(u64),
}

struct Plan {
    until: Until,
    /// Connections at a time.
    active: usize,
    /// The next connection's kind and number of messages.
    next: fn(&mut Rng) -> (Kind, u32),
}

/// Writes the workload's capture.
pub fn generate<W: Write>(name: &str, scale: f64, seed: u64, out: W) -> io::Result<Truth> {
    play(name, scale, seed, out, Truth::new())
}

/// The label of each connection in the workload's capture.
pub fn labels(name: &str, scale: f64, seed: u64) -> io::Result<Labels> {
    let listing = Truth { labels: Some(Labels::new()), ..Truth::new() };
    Ok(play(name, scale, seed, io::sink(), listing)?.labels.unwrap_or_default())
}

fn play<W: Write>(name: &str, scale: f64, seed: u64, out: W, truth: Truth) -> io::Result<Truth> {
    let scaled = |full: u64| ((full as f64 * scale) as u64).max(1);
    match name {
        "small" => interleaved(
            &Plan { until: Until::Packets(scaled(2_270_000)), active: 2000, next: small },
            seed,
            out,
            truth,
        ),
        "bulk" => interleaved(
            &Plan { until: Until::Bytes(scaled(2_000_000_000)), active: 16, next: bulk },
            seed,
            out,
            truth,
        ),
        "churn" => interleaved(
            &Plan { until: Until::Connections(scaled(200_000)), active: 1000, next: churn },
            seed,
            out,
            truth,
        ),
        "idle" => idle(scaled(1_000_000), seed, out, truth),
        "noise" => interleaved(
            &Plan { until: Until::Bytes(scaled(1_000_000_000)), active: 1000, next: noise },
            seed,
            out,
            truth,
        ),
        _ => Err(io::Error::other(format!("no workload is called {name}"))),
    }
}

/// A stream of about `gigabytes` GB that never holds more than a few connections.
pub fn stream<W: Write>(gigabytes: f64, seed: u64, out: W) -> io::Result<Truth> {
    let until = Until::Bytes((gigabytes * 1e9) as u64);
    interleaved(&Plan { until, active: 16, next: bulk }, seed, out, Truth::new())
}

fn small(rng: &mut Rng) -> (Kind, u32) {
    let ending = Ending::random(rng);
    (Kind::WebSocket { ending, sizes: (20, 800), from_client: 500 }, 50 + rng.below(400) as u32)
}

fn bulk(rng: &mut Rng) -> (Kind, u32) {
    let ending = Ending::random(rng);
    (Kind::WebSocket { ending, sizes: (65_536, 1_048_576), from_client: 200 }, 10 + rng.below(20) as u32)
}

fn churn(rng: &mut Rng) -> (Kind, u32) {
    let ending = Ending::random(rng);
    (Kind::WebSocket { ending, sizes: (20, 200), from_client: 500 }, 3)
}

fn noise(rng: &mut Rng) -> (Kind, u32) {
    match rng.below(100) {
        0 => small(rng),
        1..60 => (Kind::Http, 1 + rng.below(5) as u32),
        _ => (Kind::Tls, 2 + rng.below(8) as u32),
    }
}

fn server_port(kind: Kind) -> u16 {
    match kind {
        Kind::WebSocket { .. } => 9001,
        Kind::Http => 80,
        Kind::Tls => 443,
    }
}

fn interleaved<W: Write>(plan: &Plan, seed: u64, out: W, mut truth: Truth) -> io::Result<Truth> {
    let mut rng = Rng::new(seed);
    let mut out = PacketWriter::new(out, seed)?;
    let mut active: Vec<Connection> = Vec::with_capacity(plan.active);
    let mut started = 0;
    let mut ending = false;
    loop {
        let goes_on = match plan.until {
            Until::Packets(packets) => out.packets < packets,
            Until::Bytes(bytes) => out.bytes < bytes,
            Until::Connections(connections) => started < connections,
        };
        if !goes_on && !ending {
            active.iter_mut().for_each(Connection::hurry);
            ending = true;
        }
        if goes_on && active.len() < plan.active {
            let (kind, messages) = (plan.next)(&mut rng);
            let flow = Flow::new(started, server_port(kind), &mut rng);
            truth.count(kind, &flow);
            active.push(Connection::new(flow, kind, messages));
            started += 1;
        }
        if active.is_empty() {
            break;
        }
        let turn = rng.below(active.len() as u64) as usize;
        if active[turn].step(&mut out, &mut rng)? {
            active.swap_remove(turn);
        }
        // Each connection has its turn about every 200 ms, the shortest retransmission timeout in use.
        out.wait_us(200_000 / plan.active as u64);
    }
    (truth.packets, truth.bytes) = (out.packets, out.bytes);
    out.finish()?;
    Ok(truth)
}

/// All connections open one after the other, then each sends one message, then one in a hundred closes.
fn idle<W: Write>(connections: u64, seed: u64, out: W, mut truth: Truth) -> io::Result<Truth> {
    const STEPS: usize = 3; // connect, upgrade, one message
    let mut rng = Rng::new(seed);
    let mut out = PacketWriter::new(out, seed)?;
    let mut all = Vec::with_capacity(connections as usize);
    for index in 0..connections {
        let ending = if index % 100 == 0 { Ending::Coded(1000, CLIENT) } else { Ending::Open };
        let kind = Kind::WebSocket { ending, sizes: (20, 100), from_client: 500 };
        let flow = Flow::new(index, 9001, &mut rng);
        truth.count(kind, &flow);
        all.push(Connection::new(flow, kind, 1));
    }
    for step in 0..STEPS + 2 {
        // A connection that stays open has nothing left to say after its message.
        for connection in all.iter_mut().step_by(if step < STEPS { 1 } else { 100 }) {
            connection.step(&mut out, &mut rng)?;
            out.wait_us(20);
        }
    }
    (truth.packets, truth.bytes) = (out.packets, out.bytes);
    out.finish()?;
    Ok(truth)
}
