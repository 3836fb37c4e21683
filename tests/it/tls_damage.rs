//! Keys that are wrong, cut off or mixed with nonsense cost what they must, and are named.

use crate::support::{fixture, pcapng, program};
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;
use wsclose::report::model::{Connection, Report};

/// A folder with a recording of three TLS connections apart from its keys.
struct Case {
    folder: TempDir,
    capture: PathBuf,
    blocks: Vec<(u32, Vec<u8>)>,
    keys: String,
}

impl Case {
    fn new() -> Case {
        let recorded =
            fixture::tls().into_iter().find(|path| path.ends_with("1.3-aes128-gcm.pcapng")).unwrap();
        let file = std::fs::read(recorded).unwrap();
        let blocks: Vec<_> =
            pcapng::blocks(&file).into_iter().map(|(kind, it)| (kind, it.to_vec())).collect();
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("bare.pcapng");
        std::fs::write(&capture, pcapng::without_secrets(&file)).unwrap();
        let secrets = blocks.iter().filter(|(kind, _)| *kind == pcapng::SECRETS);
        let keys = secrets.map(|(_, block)| pcapng::key_log(block)).collect();
        Case { folder, capture, blocks, keys }
    }

    fn with(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The lines of each session, in the order of the connections.
    fn sessions(&self) -> Vec<Vec<String>> {
        let mut sessions: Vec<(String, Vec<String>)> = Vec::new();
        for line in self.keys.lines().filter(|line| !line.starts_with('#')) {
            let random = line.split(' ').nth(1).unwrap().to_owned();
            match sessions.iter_mut().find(|(known, _)| *known == random) {
                Some((_, lines)) => lines.push(line.to_owned()),
                None => sessions.push((random, vec![line.to_owned()])),
            }
        }
        sessions.into_iter().map(|(_, lines)| lines).collect()
    }
}

fn run(arguments: &[&Path]) -> Output {
    let mut command = program::command();
    command.args(["analyze", "--ws-port", "9443"]).args(arguments).env_remove("SSLKEYLOGFILE");
    program::output(&mut command)
}

fn report(arguments: &[&Path]) -> Report<'static> {
    let output = run(&[&[Path::new("--format"), Path::new("json")], arguments].concat());
    serde_json::from_slice(&output.stdout).expect("a report")
}

fn labels(report: &Report<'_>) -> Vec<String> {
    let mut found: Vec<&Connection<'_>> = report.connections.iter().collect();
    found.sort_by_key(|it| it.tcp_stream);
    found.into_iter().map(|it| it.verdict.label.to_string()).collect()
}

const KEYLOG: &str = "--keylog";

#[test]
fn wrong_keys_are_named_and_cost_their_session_alone() {
    let case = Case::new();
    let mut sessions = case.sessions();
    for line in &mut sessions[1] {
        let digit = if line.ends_with('0') { "1" } else { "0" };
        line.replace_range(line.len() - 1.., digit);
    }
    let keys = case.with("keys.log", sessions.concat().join("\n").as_bytes());
    let report = report(&[&case.capture, Path::new(KEYLOG), &keys]);
    assert_eq!(labels(&report), ["1000", "unknown", "1006"]);
    let wrong = report.connections.iter().find(|it| it.verdict.kind == "unknown").unwrap();
    assert_eq!(wrong.anomalies, ["tls_keys_wrong"]);
    assert_eq!(wrong.verdict.blind.as_deref(), Some("encrypted"));
    assert!(wrong.verdict.why.contains("keys"), "{}", wrong.verdict.why);
    assert_eq!(report.anomalies.get("tls_keys_wrong"), Some(&1));
}

#[test]
fn bad_lines_of_a_long_key_log_are_warned_of_once_with_their_count() {
    let case = Case::new();
    let filler = "# nothing\n".repeat(500_000);
    let log =
        ["nonsense\n", &filler, "CLIENT_RANDOM 00 11\n", &case.keys, &filler, "more nonsense\n"].concat();
    assert!(log.len() > 9 << 20, "three reads");
    let keys = case.with("keys.log", log.as_bytes());
    let output = run(&[&case.capture, Path::new(KEYLOG), &keys]);
    let warnings = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = warnings.lines().filter(|line| line.contains("bad lines")).collect();
    let third = 500_003 + case.keys.lines().count() + 500_000;
    assert_eq!(lines.len(), 1, "{warnings}");
    assert!(
        lines[0].ends_with(&format!("bad lines passed over: 3 (line 1, 500002, {third})")),
        "{}",
        lines[0]
    );
    assert!(String::from_utf8(output.stdout).unwrap().contains("1001"));
}

/// The block of secrets with a claim of `more` bytes than it holds, and without the last `cut` of them.
fn cut_block(block: &[u8], cut: usize, more: u32) -> Vec<u8> {
    let held = (block.len() - 20 - cut) / 4 * 4;
    let total = u32::try_from(held + 20).unwrap().to_le_bytes();
    let claims = (u32::try_from(held).unwrap() + more).to_le_bytes();
    [&block[..4], &total, &block[8..12], &claims, &block[16..16 + held], &total].concat()
}

#[test]
fn a_block_of_secrets_that_ends_early_gives_what_it_holds_and_is_named() {
    let case = Case::new();
    let last = case.sessions()[2].iter().map(|line| line.len() + 1).sum::<usize>();
    let cut: Vec<u8> = case
        .blocks
        .iter()
        .flat_map(
            |(kind, block)| {
                if *kind == pcapng::SECRETS { cut_block(block, last - 30, 64) } else { block.clone() }
            },
        )
        .collect();
    let path = case.with("cut.pcapng", &cut);
    let found = report(&[&path]);
    assert_eq!(labels(&found), ["1000", "1001", "unknown"]);
    assert_eq!(found.inputs[0].unread_secrets_bytes, 64);
    assert_eq!(found.anomalies.get("key_log_line_bad"), Some(&1), "the line that is cut");
    assert!(found.inputs[0].complete, "the packets are all there");
    let text = String::from_utf8(run(&[&path]).stdout).unwrap();
    assert!(text.contains("64 bytes of TLS secrets could not be read"), "{text}");
}

#[test]
fn a_file_that_ends_within_its_secrets_is_said_to_and_those_that_are_there_decrypt() {
    let case = Case::new();
    let (secrets, others): (Vec<_>, Vec<_>) =
        case.blocks.iter().partition(|(kind, _)| *kind == pcapng::SECRETS);
    let all: Vec<u8> = others.iter().chain(&secrets).flat_map(|(_, block)| block.clone()).collect();
    let last = case.sessions()[2].iter().map(|line| line.len() + 1).sum::<usize>();
    let path = case.with("ends.pcapng", &all[..all.len() - last]);
    let found = report(&[&path]);
    assert_eq!(labels(&found), ["1000", "1001", "unknown"]);
    let input = &found.inputs[0];
    assert!(
        !input.complete && input.error.as_ref().is_some_and(|it| it.offset.is_some()),
        "{:?}",
        input.error
    );
}
