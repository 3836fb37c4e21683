//! The built program where something around it is odd: outputs that take nothing, reports from anywhere, strange arguments.

use crate::support::capture_file::{Pcap, Pcapng, RawPacket};
use crate::support::conversation::Conversation;
use crate::support::packaging::Packaging;
use crate::support::{program, wire};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use wsclose::side::Side::{Client, Server};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run(arguments: &[&str], folder: &TempDir) -> Output {
    program::output(program::command().args(arguments).current_dir(folder.path()).stdin(Stdio::null()))
}

/// A folder with `a.pcap`: a WebSocket that the server closes with this reason, and one that it aborts.
fn folder(reason: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut closed = Conversation::opened();
    closed.server_sends(&wire::close(Server, 1011, reason)).client_acks();
    closed.client_sends(&wire::close(Client, 1011, "")).server_acks();
    closed.fin(Server).fin(Client).acks(Server);
    let mut lost = Conversation::between("10.0.0.7:40001", "10.0.0.9:8080");
    lost.connect().upgrade("/lost").client_sends(&wire::text(Client, "hello")).server_acks().rst(Server);
    let packets = [closed.packets(), lost.packets()].concat();
    write(&folder, "a.pcap", &Pcap::default().write(&Packaging::default().apply(&packets)));
    folder
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What writes to a device that is always full says, where there is one.
fn on_a_full_device(arguments: &[&str], folder: &TempDir) -> Option<Output> {
    let full = std::fs::File::options().write(true).open("/dev/full").ok()?;
    let mut command: Command = program::command();
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(full);
    Some(command.output().expect("wsclose runs"))
}

#[test]
fn notices_that_cant_be_written_stop_nothing() {
    let folder = folder("bye");
    write(&folder, "cut.pcap", &std::fs::read(folder.path().join("a.pcap")).unwrap()[..400]);
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let mut command: Command = program::command();
    command
        .args(["--format", "json", "cut.pcap"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(full);
    let output = command.output().expect("wsclose runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).trim_end().ends_with('}'));
}

#[cfg(feature = "live")]
#[test]
fn interfaces_that_cant_be_written_are_an_error() {
    let folder = folder("");
    let Some(output) = on_a_full_device(&["interfaces"], &folder) else { return };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

/// Every string in `value`, with an escape sequence behind it; names of fields, the schema and the version stay.
fn poison(value: &mut Value) {
    match value {
        Value::String(text) if !text.starts_with("wsclose.report/") && !text.contains("T") => {
            text.push_str("\u{1b}[31m")
        }
        Value::Array(list) => list.iter_mut().for_each(poison),
        Value::Object(fields) => fields.values_mut().for_each(poison),
        _ => {}
    }
}

#[test]
fn no_word_of_a_report_reaches_the_terminal_as_an_escape() {
    let folder = folder("bye");
    let mut report: Value =
        serde_json::from_slice(&run(&["--format", "json", "a.pcap"], &folder).stdout).unwrap();
    poison(&mut report["summary"]["findings"]);
    for connection in report["connections"].as_array_mut().unwrap() {
        connection["anomalies"] = serde_json::json!(["odd"]);
        for name in ["anomalies", "diagnosis", "verdict", "handshake", "evidence"] {
            poison(&mut connection[name]);
        }
    }
    write(&folder, "r.json", report.to_string().as_bytes());
    let output = run(&["merge", "r.json", "-v"], &folder);
    let text = stdout(&output);
    assert!(text.contains("oddities: odd\\u{1b}[31m"), "{text}{}", stderr(&output));
    assert!(text.contains("What to do:") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn redacted_reports_name_no_subprotocol_and_no_service() {
    let folder = folder("");
    let spoken = |from: &str, code: u16, headers: &str, host: &str| {
        let mut conn = Conversation::between(from, "10.0.0.9:8080");
        let head = String::from_utf8(wire::request_with("/ws", headers)).unwrap();
        conn.connect().client_sends(head.replace("example.org", host).as_bytes()).server_acks();
        conn.server_sends(&wire::response_with(headers)).client_acks();
        conn.server_sends(&wire::close(Server, code, "")).client_sends(&wire::close(Client, code, ""));
        conn.fin(Server).fin(Client).acks(Server);
        conn.packets()
    };
    let protocol = "Sec-WebSocket-Protocol: graphql-transport-ws\r\n";
    let packets = [
        spoken("10.0.0.1:1001", 4429, protocol, "example.org"),
        spoken("10.0.0.2:1002", 4004, "", "gateway.discord.gg"),
    ];
    write(&folder, "b.pcap", &Pcap::default().write(&Packaging::default().apply(&packets.concat())));
    for format in ["text", "json", "ndjson", "html"] {
        let text = |more: &[&str]| {
            let arguments = ["--format", format, "-o", "out", "b.pcap"];
            let output = run(&[&arguments[..], more].concat(), &folder);
            assert!(output.status.success(), "{}", stderr(&output));
            std::fs::read_to_string(folder.path().join("out")).unwrap()
        };
        let (open, redacted) = (text(&[]), text(&["--redact"]));
        assert!(open.contains("in graphql-transport-ws") && open.contains("in Discord"), "{format}");
        assert!(redacted.contains("in what it speaks"), "{format}");
        for word in ["graphql-transport-ws", "Discord", "discord"] {
            assert!(!redacted.contains(word), "{format}: {word}");
        }
    }
}

#[test]
fn a_quotation_mark_in_a_reason_hides_no_packet_from_its_file() {
    let folder = folder("no \" packet 3 \\");
    std::fs::copy(folder.path().join("a.pcap"), folder.path().join("b.pcap")).unwrap();
    let output = run(&["--format", "json", "a.pcap", "b.pcap"], &folder);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let connections = report["connections"].as_array().unwrap();
    let closed = connections.iter().find(|it| it["verdict"]["label"] == "1011").unwrap();
    let text = closed["diagnosis"][0]["text"].as_str().unwrap();
    assert!(text.contains(r#""no \" packet 3 \\""#) && text.contains(" of file "), "{text}");
    let evidence = closed["evidence"].to_string();
    assert!(evidence.contains(r#"Close 1011 \"no \\\" packet 3 \\\\\""#), "{evidence}");
}

#[test]
fn a_json_report_that_was_cut_short_is_merged_as_far_as_it_goes() {
    let folder = folder("bye");
    let whole = stdout(&run(&["--format", "json", "a.pcap"], &folder));
    let (_, behind) = whole.split_at(whole.find("\"summary\"").unwrap());
    // Within the totals, and within the second connection.
    let cuts = [(whole.len() - behind.len() + 12, 2), (whole.find("10.0.0.7").unwrap(), 1)];
    for (cut, connections) in cuts {
        write(&folder, "r.json", &whole.as_bytes()[..cut]);
        let output = run(&["merge", "--format", "json", "r.json"], &folder);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("r.json: no totals at its end"), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["summary"]["connections"], connections);
    }
}

#[test]
fn an_output_that_takes_nothing_is_named() {
    let folder = folder("bye");
    let report = run(&["--format", "json", "a.pcap"], &folder).stdout;
    write(&folder, "r.json", &report);
    if !Path::new("/dev/full").exists() {
        return;
    }
    for format in ["text", "json", "ndjson", "html", "csv"] {
        for input in [&["a.pcap"][..], &["merge", "r.json"]] {
            let output = run(&[input, &["--format", format, "-o", "/dev/full"]].concat(), &folder);
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(text.contains("writing /dev/full: ") && !text.contains("r.json"), "{format}: {text}");
        }
    }
}

#[test]
fn link_types_that_are_not_supported_are_told_with_their_file_and_only_the_first_few() {
    let folder = folder("bye");
    for (name, kinds) in [("one.pcapng", 1_u16), ("many.pcapng", 20)] {
        let packet = |kind: u16| RawPacket::new(u64::from(kind), 50_000 + kind, vec![0; 60]);
        let packets: Vec<RawPacket> = (0..kinds).map(packet).collect();
        write(&folder, name, &Pcapng::default().write(&packets));
    }
    let output = run(&["a.pcap", "one.pcapng"], &folder);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("wsclose: one.pcapng: link type "), "{}", stderr(&output));
    let output = run(&["one.pcapng", "many.pcapng"], &folder);
    let lines = stderr(&output).lines().filter(|line| line.contains("not supported")).count();
    assert_eq!(lines, 9, "{}", stderr(&output));
    assert!(stderr(&output).contains("12 link types more not supported"), "{}", stderr(&output));
    assert!(stderr(&output).contains("not looked at (and of 1 other file)"), "{}", stderr(&output));
}

#[test]
fn limits_that_cant_be_listed_are_an_error_and_a_reader_that_left_is_none() {
    let folder = folder("");
    if let Some(output) = on_a_full_device(&["--limit", "help"], &folder) {
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).starts_with("wsclose: "), "{}", stderr(&output));
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program::command().args(["--limit", "help"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn arguments_that_cant_be_meant_are_refused() {
    let folder = folder("bye");
    let (early, late) = ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    let cases: [(&[&str], &str); 4] = [
        (&["--ws-port", "0", "a.pcap"], "--ws-port"),
        (&["--since", late, "--until", early, "a.pcap"], "--since is later than --until"),
        (&["show", "a.pcap", "--stream", "0", "--ws-port", "0"], "--ws-port"),
        (&["annotate", "a.pcap", "-o", "out", "--ws-port", "0"], "--ws-port"),
    ];
    for (arguments, why) in cases {
        let output = run(arguments, &folder);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    assert!(run(&["--since", early, "--until", late, "a.pcap"], &folder).status.success());
}

#[cfg(feature = "live")]
#[test]
fn an_interface_named_twice_is_refused() {
    let output = run(&["live", "-i", "lo", "-i", "lo"], &folder(""));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the interface lo is named twice"), "{}", stderr(&output));
}
