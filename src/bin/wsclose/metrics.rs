//! `--metrics`: what a live capture counts, as a page for Prometheus (OpenMetrics), and `/healthz`.
//!
//! Values are set by the capture's thread; one more thread answers requests, one at a time. What packets may choose
//! (codes, addresses) is bounded: beyond the first few it counts as `other`.

use crate::heartbeat::Heartbeat;
use crate::reconnects::Reconnects;
use anyhow::{Context as _, Result};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use wsclose::analyzer::Turn;
use wsclose::report::model::{Connection, Sides, Stats};

/// Server addresses that have a series of their own.
const SERVERS: usize = 64;
/// Labels that do.
const LABELS: usize = 64;
/// A request is read and answered within this.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests answered at a time.
const THREADS: usize = 8;
/// Bytes of a request's head.
const HEAD: usize = 4_096;
/// What a value beyond those with a series of their own is called.
const OTHER: &str = "other";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct End {
    label: String,
    cause: String,
    closed_by: String,
    server: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSide {
    side: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct By {
    by: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Table {
    table: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The metrics of one capture.
pub(crate) struct Metrics {
    ends: Family<End, Counter>,
    revised: Counter,
    lifetimes: Family<OfKind, Histogram>,
    idle: Family<OfKind, Histogram>,
    pings: Family<OfSide, Histogram>,
    reconnects: Histogram,
    open: Gauge,
    open_tcp: Gauge,
    packets: Counter,
    bytes: Counter,
    dropped: Family<By, Counter>,
    evicted: Counter,
    memory: Family<Table, Gauge>,
    recordings: Family<Outcome, Counter>,
    recorder_dropped: Counter,
    pub(crate) heartbeat: Heartbeat,
    uptime: Gauge<f64, AtomicU64>,
    labels: HashSet<String>,
    servers: HashSet<String>,
    comings: Reconnects,
    forgotten: Counter,
    stats: Stats,
}

impl Metrics {
    /// Fresh metrics, and the registry that writes them.
    pub(crate) fn new() -> (Metrics, Registry) {
        let metrics = Metrics {
            ends: Family::default(),
            revised: Counter::default(),
            lifetimes: Family::new_with_constructor(long_times as fn() -> Histogram),
            idle: Family::new_with_constructor(long_times as fn() -> Histogram),
            pings: Family::new_with_constructor(short_times as fn() -> Histogram),
            reconnects: Histogram::new([0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0]),
            open: Gauge::default(),
            open_tcp: Gauge::default(),
            packets: Counter::default(),
            bytes: Counter::default(),
            dropped: Family::default(),
            evicted: Counter::default(),
            memory: Family::default(),
            recordings: Family::default(),
            recorder_dropped: Counter::default(),
            heartbeat: Heartbeat::new(),
            uptime: Gauge::default(),
            labels: HashSet::new(),
            servers: HashSet::new(),
            comings: Reconnects::default(),
            forgotten: Counter::default(),
            stats: Stats::default(),
        };
        let registry = metrics.registry();
        (metrics, registry)
    }

    fn registry(&self) -> Registry {
        let mut all = Registry::with_prefix("wsclose");
        all.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        all.register(
            "connections_ended",
            "WebSockets that ended, as the report lists them",
            self.ends.clone(),
        );
        all.register(
            "connections_revised",
            "Ends that were told too early, and taken back",
            self.revised.clone(),
        );
        let lifetime = "From a connection's first packet to its end";
        all.register_with_unit("connection_lifetime", lifetime, Unit::Seconds, self.lifetimes.clone());
        let idle = "From a connection's last payload to its end";
        all.register_with_unit("connection_idle_before_end", idle, Unit::Seconds, self.idle.clone());
        let pings = "Median round trip of the pings of a connection that ended, by who sent them";
        all.register_with_unit("ping_round_trip", pings, Unit::Seconds, self.pings.clone());
        let reconnects =
            "From the end of a client's connection to its next one to the same server, once that opens";
        all.register_with_unit("reconnect_delay", reconnects, Unit::Seconds, self.reconnects.clone());
        all.register(
            "reconnect_clients_forgotten",
            "Clients that may come back, but were forgotten to remember no more than 16,384",
            self.forgotten.clone(),
        );
        all.register("websockets_open", "WebSockets open now", self.open.clone());
        all.register("tcp_connections_open", "TCP connections followed now", self.open_tcp.clone());
        all.register("packets", "Packets captured", self.packets.clone());
        all.register_with_unit("captured", "Bytes captured", Unit::Bytes, self.bytes.clone());
        all.register("dropped_packets", "Packets lost, by whom", self.dropped.clone());
        all.register(
            "connections_evicted",
            "Connections dropped to keep to the memory",
            self.evicted.clone(),
        );
        all.register_with_unit(
            "memory",
            "Memory in use, by table: estimates, some by what one entry takes on average",
            Unit::Bytes,
            self.memory.clone(),
        );
        all.register("recordings", "Files of --record, by what became of them", self.recordings.clone());
        all.register(
            "recorder_packets_dropped",
            "Packets that --record let go before their connection ended, to keep to its budget",
            self.recorder_dropped.clone(),
        );
        all.register_with_unit("uptime", "Since the capture began", Unit::Seconds, self.uptime.clone());
        all
    }

    /// Counts a connection that was listed.
    pub(crate) fn count(&mut self, connection: &Connection<'_>) {
        let verdict = &connection.verdict;
        let server = SocketAddr::new(connection.server.address, connection.server.port).to_string();
        let server = bounded(&mut self.servers, SERVERS, server);
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        let end = End {
            label: bounded(&mut self.labels, LABELS, verdict.label.to_string()),
            cause: text(&verdict.cause),
            closed_by: text(&verdict.closed_by),
            server,
        };
        self.ends.get_or_create(&end).inc();
        let kind = OfKind { kind: verdict.kind.to_string() };
        self.lifetimes.get_or_create(&kind).observe(connection.duration_s);
        if let Some(idle) = connection.idle_before_end_s {
            self.idle.get_or_create(&kind).observe(idle);
        }
        let Sides { client, server: by_server } = &connection.traffic;
        for (side, traffic) in [("client", client), ("server", by_server)] {
            if let Some(median) = traffic.ping_round_trip_s {
                self.pings.get_or_create(&OfSide { side }).observe(median);
            }
        }
        let server = SocketAddr::new(connection.server.address, connection.server.port);
        let delay = self.comings.ended((connection.client.address, server), connection.ended_at);
        self.observe_reconnect(delay);
    }

    /// A WebSocket has opened: its client may have come back.
    pub(crate) fn opened(&mut self, turn: &Turn) {
        let delay = self.comings.opened(between(turn), turn.at);
        self.observe_reconnect(delay);
    }

    /// TCP of a WebSocket has ended.
    pub(crate) fn closing(&mut self, turn: &Turn) {
        let delay = self.comings.ended(between(turn), turn.at);
        self.observe_reconnect(delay);
    }

    fn observe_reconnect(&mut self, delay: Option<f64>) {
        delay.into_iter().for_each(|delay| self.reconnects.observe(delay));
        self.forgotten.inc_by(std::mem::take(&mut self.comings.forgotten));
    }

    /// Counts one that was taken back.
    pub(crate) fn revise(&self) {
        self.revised.inc();
    }

    /// Takes over the capture's own numbers.
    pub(crate) fn set(&mut self, now: Stats) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.open.set(gauge(now.websockets.open));
        self.open_tcp.set(gauge(now.tcp_connections.open));
        self.uptime.set(now.uptime_s);
        let new = |now: u64, before: u64| now.saturating_sub(before);
        self.packets.inc_by(new(now.packets, self.stats.packets));
        self.bytes.inc_by(new(now.bytes, self.stats.bytes));
        self.evicted.inc_by(new(now.evicted, self.stats.evicted));
        for (by, now, before) in [
            ("kernel", now.dropped_by_kernel, self.stats.dropped_by_kernel),
            ("interface", now.dropped_by_interface, self.stats.dropped_by_interface),
        ] {
            self.dropped.get_or_create(&By { by }).inc_by(new(now, before));
        }
        for (table, bytes) in [
            ("connections", now.memory.connections),
            ("out_of_order", now.memory.out_of_order),
            ("fragments", now.memory.fragments),
            ("waiting", now.memory.waiting),
            ("survey", now.memory.survey),
            ("recorder", now.memory.recorder),
        ] {
            self.memory.get_or_create(&Table { table }).set(gauge(bytes));
        }
        let before = self.stats.recordings.unwrap_or_default();
        if let Some(now) = now.recordings {
            self.recorder_dropped.inc_by(new(now.dropped_packets, before.dropped_packets));
            for (outcome, count) in
                [("written", new(now.written, before.written)), ("lost", new(now.lost, before.lost))]
            {
                self.recordings.get_or_create(&Outcome { outcome }).inc_by(count);
            }
        }
        self.stats = now;
    }
}

fn between(turn: &Turn) -> (IpAddr, SocketAddr) {
    (turn.client.address, SocketAddr::new(turn.server.address, turn.server.port))
}

/// Lives and silences: a tenth of a second to a day.
fn long_times() -> Histogram {
    Histogram::new([
        0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0,
    ])
}

/// Round trips: a millisecond to ten seconds.
fn short_times() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
}

/// `value`, if it is among the first `most`; else `other`.
fn bounded(known: &mut HashSet<String>, most: usize, value: String) -> String {
    if known.contains(&value) {
        return value;
    }
    if known.len() >= most {
        return OTHER.to_owned();
    }
    known.insert(value.clone());
    value
}

/// Opens the page's port. A bare port is one of the loopback interface.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("listening on {address} for --metrics"))
}

/// Answers requests from now on, on threads of their own: a client that says nothing holds one of them up for [`PATIENCE`].
pub(crate) fn serve(listener: &TcpListener, registry: Registry, heartbeat: &Heartbeat) -> Result<()> {
    let registry = Arc::new(registry);
    for _ in 0..THREADS {
        let listener = listener.try_clone().context("sharing the port of --metrics")?;
        let (registry, heartbeat) = (Arc::clone(&registry), heartbeat.clone());
        let answer_all = move || {
            for stream in listener.incoming().flatten() {
                // One that misbehaves is its own loss.
                let _ = answer(stream, &registry, &heartbeat);
            }
        };
        std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(answer_all)
            .context("starting a thread")?;
    }
    Ok(())
}

fn answer(mut stream: TcpStream, registry: &Registry, heartbeat: &Heartbeat) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let asked = read_request(&mut stream)?;
    let (status, kind, body) =
        match asked.as_ref().map(|asked| (asked.path.as_str(), asked.takes_openmetrics)) {
            Some(("/metrics", takes_openmetrics)) => {
                let mut page = String::new();
                match encode(&mut page, registry) {
                    Ok(()) if takes_openmetrics => ("200 OK", OPENMETRICS, page),
                    Ok(()) => ("200 OK", PLAIN, plain(&page)),
                    Err(_) => ("500 Internal Server Error", "text/plain", String::new()),
                }
            }
            Some(("/healthz", _)) => match heartbeat.silent_for() {
                None => ("200 OK", "text/plain", "ok\n".to_owned()),
                Some(silence) => ("503 Service Unavailable", "text/plain", stands_still(silence)),
            },
            Some(_) => ("404 Not Found", "text/plain", "/metrics, /healthz\n".to_owned()),
            None => ("400 Bad Request", "text/plain", String::new()),
        };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

fn stands_still(silence: Duration) -> String {
    format!("the capture has stood still for {} s\n", silence.as_secs())
}

/// What a GET asks for.
struct Asked {
    path: String,
    takes_openmetrics: bool,
}

/// The older text format, which every tool reads: counters bear their `_total` in the lines about them, too.
fn plain(openmetrics: &str) -> String {
    let mut page = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines().filter(|line| !line.starts_with("# UNIT") && *line != "# EOF") {
        if line.starts_with("# HELP ") {
            help = line;
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let kind = if kind == "info" { "gauge" } else { kind };
            let about = help
                .strip_prefix("# HELP ")
                .and_then(|rest| rest.split_once(' '))
                .map_or("", |(_, about)| about);
            page.push_str(&format!("# HELP {name}{suffix} {about}\n# TYPE {name}{suffix} {kind}\n"));
            continue;
        }
        page.push_str(line);
        page.push('\n');
    }
    page
}

/// Reads a request; `None`: it is no GET.
fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let began = std::time::Instant::now();
    let mut head = Vec::new();
    let mut piece = [0; 1_024];
    while head.len() < HEAD && began.elapsed() < PATIENCE {
        let read = stream.read(&mut piece)?;
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.filter(|_| request.method == Some("GET"));
                let path = path.and_then(|path| path.split('?').next()).map(str::to_owned);
                let takes_openmetrics = request.headers.iter().any(|header| {
                    header.name.eq_ignore_ascii_case("accept")
                        && String::from_utf8_lossy(header.value).contains("application/openmetrics-text")
                });
                return Ok(path.map(|path| Asked { path, takes_openmetrics }));
            }
            Ok(httparse::Status::Partial) if read > 0 => {}
            _ => return Ok(None),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wsclose::decode::segment::Endpoint;
    use wsclose::report::model::{Memory, Recordings};
    use wsclose::time::Timestamp;

    #[test]
    fn what_packets_may_choose_is_bounded() {
        let mut known = HashSet::new();
        let names: Vec<String> = (0..5).map(|n| bounded(&mut known, 2, n.to_string())).collect();
        assert_eq!(names, ["0", "1", OTHER, OTHER, OTHER]);
        assert_eq!(bounded(&mut known, 2, "1".to_owned()), "1");
    }

    #[test]
    fn a_reconnect_is_on_the_page_while_the_new_connection_is_open() {
        let (mut metrics, registry) = Metrics::new();
        let end = |port| Endpoint { address: std::net::Ipv4Addr::LOCALHOST.into(), port };
        let turn = |seconds| Turn { client: end(1), server: end(9), at: Timestamp::from_parts(seconds, 0) };
        metrics.opened(&turn(0));
        metrics.closing(&turn(10));
        metrics.opened(&turn(13));
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        assert!(page.contains("wsclose_reconnect_delay_seconds_sum 3.0"), "{page}");
    }

    #[test]
    fn a_capture_that_stands_still_is_not_healthy() {
        for (silence, status) in [(0, "200 OK"), (9, "503 Service Unavailable")] {
            let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let address = listener.local_addr().unwrap();
            let heartbeat = Heartbeat::silent_since(Duration::from_secs(silence));
            serve(&listener, Registry::default(), &heartbeat).unwrap();
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        }
    }

    #[test]
    fn clients_that_say_nothing_hold_up_nobody_else() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        serve(&listener, Registry::default(), &Heartbeat::silent_since(Duration::ZERO)).unwrap();
        let silent: Vec<TcpStream> = (1..THREADS).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut stream = TcpStream::connect(address).unwrap();
        // One after the other they would take `PATIENCE` each.
        stream.set_read_timeout(Some(PATIENCE * 3)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(silent);
    }

    #[test]
    fn the_page_names_every_metric_and_counts_what_was_new() {
        let (mut metrics, registry) = Metrics::new();
        for packets in [5, 5, 7] {
            metrics.set(Stats { packets, dropped_by_kernel: packets, ..Stats::default() });
        }
        for lost in [1, 1, 3] {
            let recordings = Some(Recordings { written: 0, lost, dropped_packets: 2 * lost });
            let memory = Memory { waiting: 4, survey: 5, recorder: 6, ..Memory::default() };
            metrics.set(Stats { packets: 7, dropped_by_kernel: 7, recordings, memory, ..Stats::default() });
        }
        metrics.revise();
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        for line in [
            "wsclose_packets_total 7",
            "wsclose_dropped_packets_total{by=\"kernel\"} 7",
            "wsclose_connections_revised_total 1",
            "wsclose_recordings_total{outcome=\"lost\"} 3",
            "wsclose_recorder_packets_dropped_total 6",
            "wsclose_memory_bytes{table=\"waiting\"} 4",
            "wsclose_memory_bytes{table=\"survey\"} 5",
            "wsclose_memory_bytes{table=\"recorder\"} 6",
            "# EOF",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
    }
}
