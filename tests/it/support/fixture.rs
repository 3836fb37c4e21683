//! The recorded captures in `fixtures/captures` and `fixtures/tls-twins`, each with its truth. `fixtures/README.md` documents the format.

use super::run::Answer;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// A recorded capture.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// `SCENARIO/CLIENT--SERVER.VANTAGE`.
    pub name: String,
    pub path: PathBuf,
    pub truth: Truth,
}

impl Fixture {
    /// Does it hold both legs of proxied connections?
    pub fn holds_legs(&self) -> bool {
        let has = |leg: &str| self.truth.connections.iter().any(|one| one.leg.as_deref() == Some(leg));
        has("client") && has("server")
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Truth {
    pub capture: Capture,
    pub endpoints: Libraries,
    pub connections: Vec<Expected>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Capture {
    pub file: String,
    pub vantage: String,
    pub snaplen: Option<u32>,
}

/// The library at each end, with its version.
#[derive(Clone, Debug, Deserialize)]
pub struct Libraries {
    pub client: String,
    pub server: String,
}

/// What each application was told; null where nobody knows.
#[derive(Clone, Debug, Deserialize)]
pub struct Reports {
    pub client: Option<Report>,
    pub server: Option<Report>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    pub code: Option<u16>,
}

/// A connection and the answers that are right for it.
#[derive(Clone, Debug, Deserialize)]
pub struct Expected {
    pub name: String,
    pub client: Endpoint,
    pub server: Endpoint,
    pub injected: String,
    /// Of a proxied connection: the leg at which end?
    pub leg: Option<String>,
    pub reported: Reports,
    /// The best first.
    pub expected: Vec<Answer>,
    pub seen_by_tshark: Option<Vec<String>>,
}

impl Expected {
    pub fn endpoints(&self) -> (SocketAddr, SocketAddr) {
        (self.client.socket(), self.server.socket())
    }

    /// The code that the application at `side` reported, as RFC 6455 has it. `None`: nobody knows, or none yet.
    pub fn told(&self, side: &str, libraries: &Libraries) -> Option<u16> {
        let (report, library) = match side {
            "client" => (&self.reported.client, &libraries.client),
            _ => (&self.reported.server, &libraries.server),
        };
        // aiohttp has 0, and tornado None, for a Close without a code.
        let code = report.as_ref()?.code?;
        Some(if code == 0 && library.starts_with("aiohttp") { 1005 } else { code })
    }

    /// The first Close that tshark sees of the other side, else 1006: what a naive reader would say. `None`: tshark was
    /// not asked, or cannot see that leg.
    pub fn naive_code(&self, side: &str) -> Option<u16> {
        let other = if side == "client" { "server" } else { "client" };
        let events = self.seen_by_tshark.as_ref()?;
        let close = events
            .iter()
            .find_map(|event| event.split_once(&format!(" {other} close ")).map(|(_, code)| code));
        Some(close.map_or(1006, |code| code.parse().unwrap_or(1005)))
    }

    /// `closed_by` of an `unknown` is not asked for: who began the end may be plain where the code is not.
    pub fn allows(&self, answer: &Answer) -> bool {
        self.expected.iter().any(|right| right == answer || (right.is("unknown") && answer.is("unknown")))
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Endpoint {
    pub address: IpAddr,
    pub port: u16,
}

impl Endpoint {
    fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// All fixtures in the clear, in order of name.
pub fn all() -> Vec<Fixture> {
    below("fixtures/captures")
}

/// The same scenarios over TLS, each with its keys inside and the name of its twin in the clear.
pub fn twins() -> Vec<Fixture> {
    below("fixtures/tls-twins")
}

/// In the clear and over TLS.
pub fn everything() -> Vec<Fixture> {
    let mut all = all();
    all.extend(twins());
    all
}

fn below(folder: &str) -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut fixtures: Vec<_> = std::fs::read_dir(&root)
        .expect("a folder of fixtures")
        .flat_map(|scenario| {
            let scenario = scenario.expect("an entry").path();
            let files = std::fs::read_dir(&scenario).expect("a scenario's folder");
            files.map(|file| file.expect("an entry").path()).collect::<Vec<_>>()
        })
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(".truth.json")))
        .map(|path| load(&root, &path))
        .collect();
    fixtures.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!fixtures.is_empty(), "no truth file in {}", root.display());
    fixtures
}

/// The captures of `fixtures/tls`, in order of name. Their keys are inside.
pub fn tls() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls");
    let entries = std::fs::read_dir(folder).expect("fixtures/tls");
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    assert!(found.len() >= 24, "{found:?}");
    found
}

fn load(root: &Path, truth_path: &Path) -> Fixture {
    let text = std::fs::read_to_string(truth_path).expect("readable");
    let truth: Truth =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", truth_path.display()));
    let path = truth_path.with_file_name(&truth.capture.file);
    let name =
        truth_path.strip_prefix(root).expect("below it").to_str().expect("UTF-8").replace(".truth.json", "");
    Fixture { name, path, truth }
}
