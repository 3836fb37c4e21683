//! `wsclose inject-keys`: captures that carry their keys.

use crate::support::capture_file::{Pcap, Pcapng, gzip};
use crate::support::conversation::Conversation;
use crate::support::packaging::Packaging;
use crate::support::{program, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use wsclose::side::Side;

fn inject(arguments: &[&Path]) -> Output {
    program::output(program::command().arg("inject-keys").args(arguments))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A record that holds a `ClientHello` as far as its random.
fn client_hello(random: u8) -> Vec<u8> {
    let mut record = vec![
        22, 3, 1, 0, 43, // handshake
        1, 0, 0, 39, // ClientHello
        3, 3, // TLS 1.2
    ];
    record.extend([random; 32]);
    record.extend([0, 0, 2, 0x13, 0x01]);
    record
}

fn key_line(random: u8) -> String {
    format!("CLIENT_RANDOM {} {}\n", format!("{random:02X}").repeat(32), "ab".repeat(48))
}

/// A folder with a capture of session 1, whose hello comes in two segments, and a key log of sessions 1 and 2.
fn folder() -> (TempDir, PathBuf, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut conn = Conversation::connected();
    conn.sends_cut(Side::Client, &client_hello(1), &[20]).server_acks();
    let capture = Pcap::default().write(&Packaging::default().apply(&conn.packets()));
    std::fs::write(path("in.pcap"), capture).unwrap();
    std::fs::write(path("keys.log"), format!("# comment\n{}{}", key_line(1), key_line(2))).unwrap();
    let (input, keys, output) = (path("in.pcap"), path("keys.log"), path("out.pcapng"));
    (folder, input, keys, output)
}

fn holds(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn only_keys_of_sessions_in_the_capture_are_written_unless_all_are_asked_for() {
    let (_folder, input, keys, output) = folder();
    let arguments = [input.as_path(), Path::new("--keylog"), &keys, Path::new("-o"), &output];
    let outcome = inject(&arguments);
    assert!(outcome.status.success(), "{}", stderr(&outcome));
    assert!(stderr(&outcome).contains("keys of 1 session written; 1 not in the capture left out"));
    assert!(holds(&output, key_line(1).trim_end()) && !holds(&output, key_line(2).trim_end()));
    let outcome = inject(&[&arguments[..], &[Path::new("--all")]].concat());
    assert!(outcome.status.success() && holds(&output, key_line(2).trim_end()), "{}", stderr(&outcome));
}

#[test]
fn no_key_is_printed_and_nobody_else_may_read_the_output() {
    let (_folder, input, keys, output) = folder();
    let outcome = inject(&[&input, Path::new("--keylog"), &keys, Path::new("-o"), &output]);
    assert!(outcome.stdout.is_empty() && !stderr(&outcome).contains("abab"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(output.metadata().unwrap().permissions().mode() & 0o077, 0);
    }
}

#[test]
fn a_key_log_of_other_sessions_writes_nothing() {
    let (_folder, input, keys, output) = folder();
    std::fs::write(&keys, key_line(9)).unwrap();
    let outcome = inject(&[&input, Path::new("--keylog"), &keys, Path::new("-o"), &output]);
    assert_eq!(outcome.status.code(), Some(2));
    assert!(stderr(&outcome).contains("none of the 1 session"), "{}", stderr(&outcome));
    assert!(!output.exists());
}

#[test]
fn the_input_and_the_key_log_are_not_overwritten() {
    let (_folder, input, keys, _) = folder();
    for target in [&input, &keys] {
        let before = std::fs::read(target).unwrap();
        let outcome = inject(&[&input, Path::new("--keylog"), &keys, Path::new("-o"), target]);
        assert_eq!(outcome.status.code(), Some(2));
        assert_eq!(std::fs::read(target).unwrap(), before);
    }
}

#[test]
fn a_damaged_capture_is_written_as_far_as_it_goes_and_named() {
    let (_folder, input, keys, output) = folder();
    let mut conn = Conversation::connected();
    conn.sends_cut(Side::Client, &client_hello(1), &[20]).server_acks();
    let packets = Packaging::default().apply(&conn.packets());
    for whole in [Pcap::default().write(&packets), Pcapng::default().write(&packets)] {
        std::fs::write(&input, &whole[..whole.len() - 3]).unwrap();
        let outcome = inject(&[&input, Path::new("--keylog"), &keys, Path::new("-o"), &output]);
        let text = stderr(&outcome);
        assert_eq!(outcome.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("{}: cut short", input.display())), "{text}");
        assert!(holds(&output, key_line(1).trim_end()), "{text}");
        let refused =
            inject(&[&input, Path::new("--keylog"), &keys, Path::new("-o"), Path::new("/missing/x")]);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    }
    std::fs::write(&input, "no capture").unwrap();
    let outcome = inject(&[&input, Path::new("--keylog"), &keys, Path::new("-o"), &output]);
    assert_eq!(outcome.status.code(), Some(2));
    assert!(stderr(&outcome).contains(&*input.to_string_lossy()), "{}", stderr(&outcome));
}

#[test]
fn a_key_log_without_end_or_without_keys_is_refused() {
    let (folder, input, _, output) = folder();
    let large = folder.path().join("large.log");
    let limit = wsclose::limits::Limits::default().key_log_bytes as u64;
    std::fs::File::create(&large).unwrap().set_len(limit + 1).unwrap();
    let empty = folder.path().join("empty.log");
    std::fs::write(&empty, "").unwrap();
    let cases = [
        (Path::new("/dev/zero"), "regular file"),
        (&large, "more than 268435456 bytes"),
        (&empty, "no secret of a TLS session"),
    ];
    for (keys, why) in cases.into_iter().filter(|(keys, _)| keys.exists()) {
        let outcome = inject(&[&input, Path::new("--keylog"), keys, Path::new("-o"), &output]);
        let text = stderr(&outcome);
        assert_eq!(outcome.status.code(), Some(2), "{text}");
        assert!(text.contains(why) && text.contains(&*keys.to_string_lossy()), "{text}");
    }
}

#[test]
fn a_compressed_capture_is_written_plain() {
    let (_folder, input, keys, output) = folder();
    std::fs::write(&input, gzip(&std::fs::read(&input).unwrap())).unwrap();
    assert!(inject(&[&input, Path::new("--keylog"), &keys, Path::new("-o"), &output]).status.success());
    assert!(std::fs::read(&output).unwrap().starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
}

#[test]
fn tshark_decrypts_with_injected_keys() {
    let Some(root) = run::shared("lab-samples") else { return };
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("SKIPPED: tshark is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut scenarios = BTreeMap::new();
    for capture in run::capture_files(&root) {
        let keys = capture.with_file_name("keys.log");
        if !keys.is_file() || capture.file_name().is_none_or(|name| name != "client.pcap") {
            continue;
        }
        let scenario = capture.ancestors().nth(2).map(Path::to_owned);
        if scenarios.get(&scenario).is_some_and(|frames| *frames > 0) {
            continue; // One of each will do.
        }
        let output = folder.path().join("out.pcapng");
        let outcome = inject(&[&capture, Path::new("--keylog"), &keys, Path::new("-o"), &output]);
        if ["none of the", "no secret"].iter().any(|words| stderr(&outcome).contains(words)) {
            continue; // In clear text at this vantage.
        }
        assert!(outcome.status.success(), "{}: {}", capture.display(), stderr(&outcome));
        let key_file = format!("tls.keylog_file:{}", keys.display());
        let with_log = frames(&capture, &["-o", &key_file]);
        assert_eq!(frames(&output, &["-o", "tls.keylog_file:"]), with_log, "{}", capture.display());
        scenarios.insert(scenario, with_log);
    }
    assert!(scenarios.values().any(|frames| *frames > 0), "{scenarios:?}");
}

/// WebSocket frames that tshark finds.
fn frames(capture: &Path, options: &[&str]) -> usize {
    let mut command = Command::new("tshark");
    command.arg("-n").args(options).args(["-Y", "websocket", "-T", "fields", "-e", "websocket.opcode", "-r"]);
    let output = command.arg(capture).output().expect("tshark runs");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.split(',').count()).sum()
}
