//! The built program: arguments in; output, messages and exit status out.

use super::schema::assert_valid;
use super::support::capture_file::{Pcap, RawPacket};
use super::support::conversation::Conversation;
use super::support::fixture;
use super::support::packaging::Packaging;
use super::support::packet::TcpPacket;
use super::support::program as checked;
use super::support::wire;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use wsclose::side::Side;

fn program() -> Command {
    let mut command = checked::command();
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    checked::output(program().args(arguments).stdin(Stdio::null()))
}

fn status(arguments: &[&str]) -> Option<i32> {
    run(arguments).status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("a report is UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A WebSocket that the server closes with this code.
fn closed(code: u16) -> Conversation {
    let mut conn = Conversation::opened();
    conn.server_sends(&wire::close(Side::Server, code, "bye")).client_acks();
    conn.client_sends(&wire::close(Side::Client, code, "")).server_acks();
    conn.fin(Side::Server).fin(Side::Client).acks(Side::Server);
    conn
}

/// A WebSocket that the client resets.
fn aborted() -> Conversation {
    let mut conn = Conversation::opened();
    conn.rst(Side::Client);
    conn
}

fn pcap(packets: &[TcpPacket]) -> Vec<u8> {
    Pcap::default().write(&Packaging::default().apply(packets))
}

/// A folder with captures in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).expect("a file in it");
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    fn capture(&self, name: &str, conn: &Conversation) -> String {
        self.with(name, &pcap(&conn.packets()))
    }
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_slice(&run(&[arguments, &["--format", "json"]].concat()).stdout).expect("JSON")
}

fn ndjson(arguments: &[&str]) -> Vec<Value> {
    let output = run(&[arguments, &["--format", "ndjson"]].concat());
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

#[test]
fn file_alone_is_short_for_analyze() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    let (short, long) = (run(&[&path]), run(&["analyze", &path]));
    assert_eq!(short.status.code(), Some(0));
    assert_eq!(stdout(&short), stdout(&long));
    let text = stdout(&short);
    assert!(text.starts_with(&format!("1 WebSocket connection in {path}\n")), "{text}");
    assert!(text.contains("1  1001 Going Away  server 1"), "{text}");
    let line = text.lines().last().unwrap();
    assert!(line.contains("1001 \"bye\"  server  example.org/ws"), "{line}");
}

#[test]
fn verbose_shows_the_packets_that_prove_it() {
    let folder = Folder::new();
    let text = stdout(&run(&["-v", &folder.capture("a.pcap", &aborted())]));
    assert!(text.contains("RST by client in packet 8; neither side had sent a Close"), "{text}");
    assert!(text.contains("packet 8"), "{text}");
}

#[test]
fn a_summary_counts_every_connection_and_lists_none() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &aborted());
    let text = stdout(&run(&["--summary", &path]));
    let whole = stdout(&run(&[&path]));
    assert!(whole.starts_with(&text), "{text}\nis not how this begins:\n{whole}");
    assert!(text.contains("1006") && !text.contains("STREAM"), "{text}");
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&stdout(&run(&[args, &["--format", "json", &path]].concat()))).unwrap()
    };
    let (short, whole) = (json(&["--summary"]), json(&[]));
    assert_eq!(short["connections"], serde_json::json!([]));
    assert_eq!(short["summary"], whole["summary"]);
    assert_eq!(whole["connections"].as_array().map(Vec::len), Some(1));
}

#[test]
fn standard_input_is_a_dash() {
    let mut child =
        program().arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("wsclose runs");
    child.stdin.take().unwrap().write_all(&pcap(&closed(1000).packets())).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("1 WebSocket connection in standard input\n"));
}

#[test]
fn an_ended_connection_is_reported_while_the_pipe_is_still_open() {
    let mut first = closed(1001);
    first.wait(Duration::from_secs(60)).acks(Side::Client);
    let mut child = program()
        .args(["--format", "ndjson", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("wsclose runs");
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&pcap(&first.packets())).unwrap();
    pipe.flush().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_valid("Line", &line);
        line
    };
    assert_eq!(next()["type"], "begin");
    let connection = next();
    assert_eq!(
        (&connection["type"], &connection["verdict"]["label"]),
        (&"connection".into(), &"1001".into())
    );
    drop(pipe);
    while lines.next().is_some() {}
    assert!(child.wait().unwrap().success());
}

#[test]
fn standard_input_can_be_named_once() {
    let output = run(&["-", "-"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("standard input (-) is named twice"), "{}", stderr(&output));
}

/// Interrupts `wsclose -` once it has told of a connection that has ended, while another one is open; `goes_on`: who writes
/// into the pipe does not end it. Gives the lines behind that connection's, and the exit status.
#[cfg(unix)]
fn interrupted(goes_on: bool) -> (Vec<Value>, Option<i32>) {
    let mut first = closed(1001);
    first.wait(Duration::from_secs(60)).acks(Side::Client);
    let child = program()
        .args(["--format", "ndjson", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("wsclose runs");
    let mut pipe = child.stdin.take();
    pipe.as_mut().unwrap().write_all(&pcap(&first.packets())).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(lines.by_ref().find(|line| line["type"] == "connection").unwrap()["verdict"]["label"], "1001");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    pipe = pipe.filter(|_| goes_on);
    let rest = lines.collect();
    drop(pipe);
    (rest, child.wait().unwrap().code())
}

#[cfg(unix)]
#[test]
fn what_came_through_a_pipe_is_reported_when_both_ends_are_interrupted() {
    let (lines, status) = interrupted(false);
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["type"], &end["inputs"][0]["complete"], status),
        (&"summary".into(), &true.into(), Some(0))
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_that_goes_on_after_the_interrupt_is_reported_as_not_read_whole() {
    let (lines, status) = interrupted(true);
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["type"], &end["inputs"][0]["complete"], status),
        (&"summary".into(), &false.into(), Some(1))
    );
    assert_eq!(end["summary"]["by_label"]["1001"], 1, "{end}");
    let reason = end["inputs"][0]["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("stopped by a signal"), "{reason}");
}

#[test]
fn what_was_before_the_damage_is_reported_with_the_offset() {
    let folder = Folder::new();
    let whole = pcap(&closed(1001).packets());
    let path = folder.with("cut.pcap", &whole[..whole.len() - 5]);
    let output = run(&[&path, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with(&format!("wsclose: {path}: cut short at byte ")),
        "{}",
        stderr(&output)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["connections"][0]["verdict"]["label"], "1001");
    assert_eq!(report["inputs"][0]["complete"], false);
    let last_record =
        (whole.len() - 16 - Packaging::default().apply(&closed(1001).packets()).pop().unwrap().bytes.len())
            as u64;
    assert_eq!(report["inputs"][0]["error"]["offset"], last_record);
}

#[test]
fn a_missing_file_is_named_and_the_others_are_read() {
    let folder = Folder::new();
    let good = folder.capture("good.pcap", &closed(1001));
    let output = run(&["no-such.pcap", &good]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("can't open no-such.pcap: No such file"), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("1 WebSocket connection in 2 files") && text.contains("2:"), "{text}");
}

#[test]
fn where_nothing_could_be_read_people_are_told_that_alone_and_programs_get_their_document() {
    let folder = Folder::new();
    let page = folder.path("report.html").to_str().expect("UTF-8").to_owned();
    for arguments in [
        &["no-such.pcap"][..],
        &["analyze", "no-such.pcap"],
        &["--format", "html", "-o", &page, "no-such.pcap"],
    ] {
        let output = run(arguments);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{arguments:?}");
        assert_eq!(stderr(&output).matches("can't open no-such.pcap").count(), 1, "{}", stderr(&output));
    }
    assert!(!folder.path("report.html").exists(), "nothing is overwritten by nothing");
    let document = run(&["--format", "json", "no-such.pcap"]);
    let report: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document.status.code(), Some(1));
    assert!(report["inputs"][0]["error"]["reason"].as_str().unwrap().contains("can't open"));
}

#[test]
fn captures_of_both_ends_are_warned_of_and_rotated_ones_are_not() {
    let fixture = |vantage: &str| format!("fixtures/captures/network-reset/ws--ws.{vantage}.pcap");
    let both = run(&[&fixture("client"), &fixture("server")]);
    assert!(
        stderr(&both).contains("overlap in time and are read as taken at one place"),
        "{}",
        stderr(&both)
    );
    let file = std::fs::read(fixture("client")).unwrap();
    let packets = super::support::capture_file::read(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let parts = packets.chunks(packets.len().div_ceil(3)).zip(0..).map(|(part, number)| {
        let path = folder.path().join(format!("trace.pcap{number}"));
        std::fs::write(&path, Pcap::default().write(part)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let parts: Vec<_> = parts.collect();
    let rotated = run(&parts.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((rotated.status.code(), stderr(&rotated).as_str()), (Some(0), ""));
}

#[test]
fn a_misspelt_command_is_not_taken_for_a_file() {
    for (arguments, meant) in [
        (&["anlyze", "a.pcap"][..], "analyze"),
        (&["liev", "-i", "eth0"], "live"),
        (&["expain", "1006"], "explain"),
    ] {
        if meant == "live" && cfg!(not(feature = "live")) {
            continue;
        }
        let output = run(arguments);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()));
        assert!(stderr(&output).contains(&format!("did you mean `wsclose {meant}`?")), "{}", stderr(&output));
    }
    // A file of that name is one, and a word like no command is a file's name.
    let folder = Folder::new();
    folder.capture("anlyze", &closed(1001));
    let output = checked::output(program().arg("anlyze").current_dir(folder.0.path()));
    assert!(stdout(&output).starts_with("1 WebSocket connection in anlyze"), "{}", stderr(&output));
    assert!(stderr(&run(&["nothing-like-it"])).contains("can't open nothing-like-it"));
}

#[test]
fn what_never_opened_is_not_counted_as_if_it_had() {
    let folder = Folder::new();
    let mut asked = Conversation::between("10.0.0.1:40001", "10.0.0.9:8080");
    asked.connect();
    asked.client_sends(&wire::request("/ws")).server_acks();
    let text = stdout(&run(&[&folder.capture("asked.pcap", &asked)]));
    assert!(text.lines().next().unwrap().ends_with("asked.pcap, which is not open yet"), "{text}");
    assert!(text.contains("an Upgrade request that was not answered yet\n"), "{text}");
    let mut silent = Conversation::between("10.0.0.1:40001", "10.0.0.9:8080");
    silent.connect();
    let text = stdout(&run(&["--ws-port", "8080", &folder.capture("silent.pcap", &silent)]));
    assert!(text.lines().next().unwrap().ends_with("silent.pcap, which is not open yet"), "{text}");
    assert!(text.contains("no Upgrade request yet\n"), "{text}");
    assert!(!stdout(&run(&[&folder.capture("closed.pcap", &closed(1001))])).contains("never opened"));
}

#[test]
fn ends_of_the_same_words_are_told_once_with_the_packets_of_each() {
    let folder = Folder::new();
    let packets: Vec<TcpPacket> = (0..3_u16)
        .flat_map(|number| {
            let mut lost = Conversation::between(&format!("10.0.0.1:{}", 40_000 + number), "10.0.0.9:8080");
            lost.connect().upgrade("/ws").fin(Side::Server).fin(Side::Client).server_acks();
            let mut packets = lost.packets();
            packets.iter_mut().for_each(|packet| packet.at_ns += u64::from(number) * 1_000_000_000);
            packets
        })
        .collect();
    let path = folder.with("a.pcap", &pcap(&packets));
    let text = stdout(&run(&[&path]));
    let table = text.split("STREAM").nth(1).expect("a table");
    assert_eq!(table.matches("without a Close").count(), 1, "{text}");
    assert_eq!(table.matches("    likewise, in packet ").count(), 2, "{text}");
    assert!(!stdout(&run(&["-v", &path])).contains("likewise"), "--verbose tells each in full");
}

#[test]
fn an_empty_file_is_no_capture_and_an_empty_capture_is_one() {
    let folder = Folder::new();
    let output = run(&[&folder.with("empty", b"")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the file is empty; expected pcap or pcapng"), "{}", stderr(&output));
    let no_packets = folder.with("none.pcap", &pcap(&[]));
    assert_eq!(status(&[&no_packets]), Some(0));
    assert_eq!(json(&[&no_packets])["summary"]["connections"], 0);
    assert_eq!(ndjson(&[&no_packets]).len(), 2);
}

#[test]
fn an_unsupported_link_type_is_named() {
    let folder = Folder::new();
    for (number, name) in [(147, "LINKTYPE_147"), (249, "USBPCAP"), (230, "IEEE802_15_4_NOFCS")] {
        let packet = RawPacket::new(0, number, vec![0; 60]);
        let path = folder.with("other.pcap", &Pcap::default().write(&[packet]));
        let output = run(&[&path]);
        assert_eq!(output.status.code(), Some(1));
        let message = format!("wsclose: {path}: link type {name} is not supported: 1 packet not looked at\n");
        assert_eq!(stderr(&output), message);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    for wrong in [
        &[][..],
        &["--no-such-option", &path],
        &[&path, "--only", "closed"],
        &[&path, "--fail-on", "abnormal:gap"],
        &[&path, "--closed-by", "nobody"],
        &[&path, "--since", "yesterday"],
        &[&path, "--format", "xml"],
        &["explain", "70000"],
        &[&path, "-o", "/no/such/folder/report"],
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_report_never_overwrites_its_capture() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    let before = std::fs::read(&path).unwrap();
    let output = run(&[&path, "-o", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is an input"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_report_never_overwrites_its_key_log() {
    let folder = Folder::new();
    let (path, keys) = (folder.capture("a.pcap", &closed(1001)), folder.path("keys.log"));
    std::fs::write(&keys, "# kept\n").unwrap();
    let keys = keys.to_str().unwrap();
    let named = run(&[&path, "--keylog", keys, "-o", keys]);
    let by_environment = checked::output(program().args([&path, "-o", keys]).env("SSLKEYLOGFILE", keys));
    for output in [named, by_environment] {
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("is an input"), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(keys).unwrap(), "# kept\n");
}

#[test]
fn the_words_of_a_report_that_is_merged_reach_no_terminal_as_they_are() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &aborted());
    let mut report = json(&[&path]);
    let evil = "\u{1b}]0;owned\u{7}\u{202e}";
    let connection = &mut report["connections"][0];
    for word in ["label", "kind", "cause", "closed_by", "blind"] {
        connection["verdict"][word] = evil.into();
    }
    connection["endpoints"]["client"]["certainty"] = evil.into();
    connection["evidence"][0]["from"] = evil.into();
    report["inputs"][0]["first_packet_at"] = evil.into();
    let merged = folder.path("evil.json");
    std::fs::write(&merged, report.to_string()).unwrap();
    let text = stdout(&run(&["merge", "-v", merged.to_str().unwrap()]));
    assert!(text.contains("owned"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
}

#[test]
#[cfg(unix)]
fn what_reads_its_input_twice_refuses_a_pipe_at_once() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (pipe, out) = (pipe.to_str().unwrap(), folder.path("out.pcapng"));
    for arguments in [&["show", pipe, "--stream", "0"][..], &["annotate", pipe, "-o", out.to_str().unwrap()]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("reads its input more than once"), "{}", stderr(&output));
    }
}

#[test]
fn the_report_goes_to_the_file_that_was_asked_for() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    let report = folder.path("report.txt");
    let output = run(&[&path, "-o", report.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    assert_eq!(std::fs::read_to_string(report).unwrap(), stdout(&run(&[&path])));
}

#[test]
#[cfg(target_os = "linux")]
fn an_output_that_is_full_exits_with_2() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    for format in ["text", "json", "ndjson"] {
        let output = run(&[&path, "--format", format, "-o", "/dev/full"]);
        assert_eq!(output.status.code(), Some(2), "{format}");
        assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    let mut child = program()
        .args(["--format", "ndjson", &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
#[cfg(feature = "live")]
fn a_bad_filter_is_refused_with_libpcap_s_words_before_anything_is_read() {
    let output = run(&["no-such.pcap", "--filter", "tcp prot 80"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("\"tcp prot 80\"") && message.contains("syntax error"), "{message}");
    assert!(!message.contains("no-such.pcap"), "{message}");
}

#[test]
#[cfg(feature = "live")]
fn a_filter_leaves_packets_out_and_keeps_their_numbers() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    assert_eq!(json(&[&path, "--filter", "tcp port 80"])["summary"]["connections"], 0);
    let report = json(&[&path, "--filter", "tcp port 9001"]);
    assert_eq!(report["connections"][0]["close"]["server"]["packet"], 8);
}

#[test]
#[cfg(feature = "live")]
fn what_a_filter_may_hide_makes_no_end_abnormal() {
    let folder = Folder::new();
    let mut reset = Conversation::between("10.77.1.2:33047", "10.77.2.2:9001");
    reset.connect().upgrade("/ws").rst(Side::Client);
    let path = folder.with("a.pcap", &pcap(&[closed(1001).packets(), reset.packets()].concat()));
    let labels = |filter: &str| {
        let output = run(&[&path, "--filter", filter, "--format", "json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let verdicts = report["connections"].as_array().unwrap().iter();
        let verdicts = verdicts.map(|one| format!("{} {}", one["verdict"]["label"], one["verdict"]["blind"]));
        (verdicts.collect::<Vec<_>>(), stderr(&output))
    };
    assert_eq!(
        labels("tcp port 9001"),
        (vec!["\"1001\" null".into(), "\"1006\" null".into()], String::new())
    );
    let (verdicts, said) = labels("tcp port 9001 and (tcp[tcpflags] != 0x3f)");
    assert_eq!(verdicts, ["\"1001\" null", "\"unknown\" \"dropped\""]);
    assert!(said.contains("no end is called abnormal"), "{said}");
}

#[test]
fn a_report_to_a_dash_goes_to_standard_output() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1001));
    let plain = run(&[&path, "--format", "json"]).stdout;
    assert_eq!(run(&[&path, "--format", "json", "-o", "-"]).stdout, plain);
    assert!(!plain.is_empty() && !Path::new("-").exists());
}

/// A capture with one connection closed by the server with 1001, and a later one that the client resets.
fn two(folder: &Folder) -> String {
    let mut second = Conversation::between("10.77.1.2:33047", "10.77.2.2:9001");
    second.wait(Duration::from_secs(3600)).connect().upgrade("/ws").rst(Side::Client);
    folder.with("two.pcap", &pcap(&[closed(1001).packets(), second.packets()].concat()))
}

#[test]
fn only_what_was_asked_for_is_listed() {
    let folder = Folder::new();
    let path = two(&folder);
    let start = "2026-09-21T14:13:20Z";
    assert_eq!(wsclose::time::Timestamp::parse_rfc3339(start).unwrap().nanos(), 1_790_000_000_000_000_000);
    let cases: [(&[&str], &[&str]); 9] = [
        (&[], &["1001", "1006"]),
        (&["--only", "abnormal"], &["1006"]),
        (&["--only", "coded,abnormal:rst"], &["1001", "1006"]),
        (&["--only", "coded:1006"], &[]),
        (&["--closed-by", "server"], &["1001"]),
        (&["--since", "2026-09-21T14:43:20Z"], &["1006"]),
        (&["--until", "2026-09-21T14:43:20Z"], &["1001"]),
        (&["--until", "2026-09-21T15:43:20+01:00"], &["1001"]),
        (&["--until", start], &[]),
    ];
    for (options, expected) in cases {
        let report = json(&[options, &[path.as_str()]].concat());
        let found = report["connections"].as_array().unwrap();
        let labels: Vec<_> = found.iter().map(|it| it["verdict"]["label"].as_str().unwrap()).collect();
        assert_eq!(labels, expected, "{options:?}");
        assert_eq!(report["summary"]["connections"], expected.len(), "{options:?}");
    }
    let text = stdout(&run(&[&path, "--only", "refused"]));
    assert!(text.starts_with("0 matching WebSocket connections"), "{text}");
}

#[test]
fn fail_on_exits_with_3_if_a_connection_matches() {
    let folder = Folder::new();
    let path = two(&folder);
    assert_eq!(status(&[&path, "--fail-on", "abnormal"]), Some(3));
    assert_eq!(status(&[&path, "--fail-on", "1011,unknown"]), Some(0));
    // Listed or not.
    assert_eq!(status(&[&path, "--only", "coded", "--fail-on", "abnormal:rst"]), Some(3));
}

const ATTACK: &str = "\u{1b}[31m\u{7}\r\n\u{202e}\0";

/// Controls and bidirectional overrides wherever a peer can put them. ASCII controls make a head no HTTP; those of
/// UTF-8 (U+009B is a terminal's CSI as well) do not.
fn hostile() -> Conversation {
    let mut conn = Conversation::connected();
    let request = wire::request_with("/\u{9b}2J\u{202e}", "User-Agent: \u{9b}0;owned\u{9c}\u{feff}\r\n");
    conn.client_sends(&request).server_acks();
    conn.server_sends(&wire::response_with("Server: \u{9b}31m\u{202e}\r\n")).client_acks();
    conn.server_sends(&wire::close(Side::Server, 4000, ATTACK)).client_acks().fin(Side::Server);
    conn
}

#[test]
fn nothing_from_packets_or_names_reaches_a_terminal_unescaped() {
    let folder = Folder::new();
    let path = folder.capture("\u{1b}[31m\u{202e}.pcap", &hostile());
    for options in
        [&["-v", &path][..], &["-v", &path, &folder.with("\u{7}.pcap", b"junk")], &[&path, "\u{1b}[2J"]]
    {
        let output = run(options);
        let shown = stdout(&output) + &stderr(&output);
        let escaped = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert_eq!(shown.matches(escaped).collect::<Vec<_>>(), [""; 0], "{shown}");
    }
    let shown = stdout(&run(&["-v", &path]));
    assert!(shown.contains("\\u{1b}[31m\\u{7}\\u{d}\\u{a}\\u{202e}\\u{0}"), "{shown}");
}

#[test]
fn reports_of_every_kind_fit_the_schema() {
    let folder = Folder::new();
    let mut refused = Conversation::connected();
    refused
        .client_sends(&wire::request("/no"))
        .server_sends(&wire::refusal(403, "Forbidden"))
        .fin(Side::Server);
    let mut unknown = Conversation::opened();
    unknown.next_not_captured().server_sends(&wire::text(Side::Server, "lost")).client_acks();
    unknown.fin(Side::Server).acks(Side::Client).fin(Side::Client);
    let mut bad_utf8 = Conversation::opened();
    bad_utf8.server_sends(&wire::close_body(Side::Server, b"\x03\xe8\xff\xfe")).fin(Side::Server);
    let cases = [
        ("coded", closed(1001)),
        ("coded", hostile()),
        ("coded", bad_utf8),
        ("abnormal", aborted()),
        ("refused", refused),
        ("unknown", unknown),
        ("open", Conversation::opened()),
    ];
    for (kind, conn) in cases {
        let path = folder.capture("a.pcap", &conn);
        for options in [&[path.as_str()][..], &[&path, "--redact"]] {
            assert_eq!(json(options)["connections"][0]["verdict"]["kind"], kind);
            assert_eq!(ndjson(options)[1]["verdict"]["kind"], kind);
        }
    }
}

#[test]
fn redacted_reports_hold_no_query_and_no_header_value() {
    let folder = Folder::new();
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request_with("/ws?token=hush", "Origin: https://hush.example\r\n"));
    conn.server_sends(&wire::response_with("Server: hush\r\n"));
    let path = folder.capture("a.pcap", &conn);
    for options in [&["-v"][..], &["--format", "json"], &["--format", "ndjson"]] {
        let with = stdout(&run(&[options, &[path.as_str()]].concat()));
        let without = stdout(&run(&[options, &[path.as_str(), "--redact"]].concat()));
        assert!(with.contains("hush") && !without.contains("hush"), "{without}");
    }
}

#[test]
fn redacted_reports_do_not_say_what_a_library_was_recognised_by() {
    let folder = Folder::new();
    let mut conn = Conversation::connected();
    conn.client_sends(&wire::request_with("/ws", "User-Agent: Python/3.11 aiohttp/3.14.5\r\n"));
    conn.server_sends(&wire::response_with("Sec-WebSocket-X: 1\r\n"));
    conn.server_sends(&wire::close_empty(Side::Server)).client_acks();
    conn.fin(Side::Client).fin(Side::Server).client_acks();
    let path = folder.capture("a.pcap", &conn);
    let with = stdout(&run(&["--format", "json", &path]));
    let without = stdout(&run(&["--format", "json", "--redact", &path]));
    assert!(with.contains("aiohttp/3.14.5") && with.contains("reported_as"), "{with}");
    assert!(!without.contains("aiohttp/3.14.5") && without.contains("reported_as"), "{without}");
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &aborted());
    let colored = |arguments: &[&str]| stdout(&run(arguments)).contains('\u{1b}');
    assert!(!colored(&[&path]));
    assert!(!colored(&[&path, "--color", "never"]));
    assert!(colored(&[&path, "--color", "always"]));
    let forced = checked::output(program().arg(&path).env("CLICOLOR_FORCE", "1"));
    assert!(stdout(&forced).contains('\u{1b}'));
    let refused = checked::output(program().arg(&path).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert!(!stdout(&refused).contains('\u{1b}'));
}

#[test]
fn days_tunnels_and_ipv6_are_shown_where_there_are_any() {
    use super::support::packaging::{Link, Tunnel};
    use super::support::rewrite_names::to_ipv6;
    let folder = Folder::new();
    let mut late = Conversation::between("10.77.1.2:33047", "10.77.2.2:9001");
    late.wait(Duration::from_secs(86_400)).connect().upgrade("/late");
    let packets = to_ipv6(&[closed(1000).packets(), late.packets()].concat());
    let packaging = Packaging { link: Link::Vlan(5), tunnel: Tunnel::Vxlan(42), ..Packaging::default() };
    let text = stdout(&run(&[&folder.with("a.pcap", &Pcap::default().write(&packaging.apply(&packets)))]));
    assert!(text.contains("2026-09-21 14:13:20 to 2026-09-22 14:13:20 UTC"), "{text}");
    assert!(text.contains("\n2026-09-21\n") && text.contains("\n2026-09-22\n"), "{text}");
    assert!(text.contains("vlan 5, vxlan 42") && text.contains("]:9001"), "{text}");
}

#[test]
fn explain_takes_one_code_or_two() {
    let one = stdout(&run(&["explain", "1001"]));
    assert!(one.starts_with("1001 Going Away"), "{one}");
    let two = stdout(&run(&["explain", "1001", "1006"]));
    assert!(two.contains("1001 Going Away") && two.contains("1006"), "{two}");
}

#[test]
fn explain_takes_the_words_of_a_verdict_and_keylog() {
    for word in ["fin", "rst", "timeout", "refused", "unknown"] {
        let text = stdout(&run(&["explain", word]));
        assert!(text.starts_with(word) && text.contains("Evidence"), "{text}");
    }
    let text = stdout(&run(&["explain", "keylog"]));
    assert!(text.contains("--ssl-key-log-file") && text.contains("wsclose --keylog"), "{text}");
    assert!(stderr(&run(&["explain", "timeuot"])).contains("did you mean timeout?"));
}

#[test]
fn help_names_the_exit_statuses_and_shows_examples() {
    let help = stdout(&run(&["--help"]));
    for part in ["Exit status:", "Examples:", "--fail-on", "Which connections:"] {
        assert!(help.contains(part), "{part}");
    }
}

#[test]
fn the_readme_shows_the_program_s_own_report() {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```console\n$ wsclose ").expect("a command in README.md");
    let (arguments, rest) = block.split_once('\n').unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = checked::output(program().args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(stdout(&output), shown, "put what the program prints now into README.md");
}

#[test]
fn advice_on_an_end_within_tls_goes_to_the_side_that_the_verdict_names() {
    let recorded =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls/1.3-aes128-gcm.pcapng");
    let report = json(&[&recorded.to_string_lossy()]);
    let lost = &report["connections"][2];
    assert_eq!(lost["verdict"]["closed_by"], "client");
    let text = lost["diagnosis"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("client ended TLS in packet 65 without a Close"), "{text}");
}

#[test]
fn a_key_log_that_is_no_file_is_refused_rather_than_taken_for_empty() {
    let folder = Folder::new();
    let path = folder.capture("a.pcap", &closed(1000));
    let output = run(&[&path, "--keylog", folder.0.path().to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not a regular file"), "{}", stderr(&output));
}

#[test]
fn a_command_that_explain_shows_is_not_cut_at_a_hyphen() {
    let text = stdout(&run(&["explain", "keylog"]));
    assert!(text.contains("with-keys.pcapng") && !text.lines().any(|line| line.ends_with("with-")), "{text}");
}

#[test]
fn the_report_is_the_same_on_one_thread_and_on_two() {
    let captures: Vec<String> =
        fixture::all().iter().step_by(4).map(|fixture| fixture.path.to_string_lossy().into_owned()).collect();
    for format in ["text", "json", "ndjson"] {
        let report = |threads: &str| {
            let mut arguments = vec!["analyze", "--threads", threads, "--format", format];
            arguments.extend(captures.iter().map(String::as_str));
            stdout(&run(&arguments))
        };
        assert!(report("1").len() > 10_000);
        assert_eq!(report("1"), report("2"), "--format {format}");
    }
}

/// So many connections that a plain file of them, too, is read by a thread of its own.
fn capture_of_many_blocks() -> Vec<u8> {
    let packets = (0..3_000_u16).flat_map(|number| {
        let client = format!("10.77.1.2:{}", 10_000 + number);
        let mut conn = Conversation::between(&client, "10.77.2.2:9001");
        conn.wait(Duration::from_millis(number.into())).connect().upgrade("/ws");
        let code = if number % 3 == 0 { 1000 } else { 1001 };
        conn.server_sends(&wire::close(Side::Server, code, "bye")).client_acks();
        conn.fin(Side::Server).fin(Side::Client).acks(Side::Server);
        conn.packets()
    });
    pcap(&packets.collect::<Vec<_>>())
}

#[test]
fn a_thread_that_reads_ahead_changes_no_byte_of_the_report() {
    let capture = capture_of_many_blocks();
    assert!(capture.len() > 40 * (64 << 10), "{} bytes", capture.len());
    let folder = Folder::new();
    let plain = folder.with("many.pcap", &capture);
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(&capture).unwrap();
    let zipped = folder.with("many.pcap.gz", &zipped.finish().unwrap());
    for input in [plain.as_str(), &zipped, "-"] {
        let report = |threads: &str| {
            let stdin = std::fs::File::open(&plain).unwrap();
            let arguments = ["analyze", "--threads", threads, "--format", "ndjson", input];
            stdout(&checked::output(program().args(arguments).stdin(stdin)))
        };
        let one = report("1");
        assert_eq!(one.lines().count(), 3_002, "{input}");
        assert!(one == report("2") && one == report("3"), "{input}");
    }
}

#[test]
fn two_legs_of_one_websocket_are_said_to_be_one() {
    let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/captures/nginx-idle");
    let at = |place: &str| format!("{captures}/websockets--ws.{place}.pcap");
    let says =
        |pairs: &str| format!("{pairs} of them are one WebSocket each: its legs before and behind a proxy");
    let any = at("any");
    assert!(stdout(&run(&[&any])).contains(&format!("\n{}\n", says("6 pairs"))));
    assert!(stdout(&run(&[&any, "--only", "abnormal"])).contains(&format!("\n{}\n", says("4 pairs"))));
    assert!(
        stdout(&run(&[&any, "--format", "html"]))
            .contains(&format!("Counted by connection; {}", says("6 pairs")))
    );
    assert!(!stdout(&run(&[&at("client")])).contains("pair"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&run(&[&any, "--format", "json"]))).unwrap();
    assert_eq!(
        (json["summary"]["connections"].as_u64(), json["summary"]["proxied_pairs"].as_u64()),
        (Some(12), Some(6))
    );
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("one.json");
    std::fs::write(&report, json.to_string()).unwrap();
    let report = report.to_str().unwrap();
    assert!(stdout(&run(&["merge", report, report])).contains(&says("12 pairs")));
    let merged: serde_json::Value =
        serde_json::from_str(&stdout(&run(&["merge", report, report, "--format", "json"]))).unwrap();
    let front_legs = |of: &serde_json::Value| -> Vec<Option<u64>> {
        of["connections"].as_array().unwrap().iter().map(|one| one["front_leg"].as_u64()).collect()
    };
    let own: Vec<Option<u64>> = (1..=12).map(|id| (id % 2 == 0).then_some(id - 1)).collect();
    assert_eq!(front_legs(&json), own);
    let again = own.iter().map(|front| front.map(|id| id + 12));
    assert_eq!(front_legs(&merged), own.iter().copied().chain(again).collect::<Vec<_>>());
    // The same pairs of legs, counted from the reports.
    let page = stdout(&run(&["merge", report, report, "--format", "html"]));
    assert!(page.contains("8 of 12 WebSockets ended abnormally; all of them cut by a proxy"), "{page}");
}

#[test]
fn of_several_files_each_packet_is_named_with_its_file() {
    let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/captures");
    let [one, two] = ["reset-by-server", "fin-by-client"]
        .map(|name| format!("{captures}/{name}/ws--websockets.server.pcap"));
    let folder = tempfile::tempdir().unwrap();
    let report = |name: &str, inputs: &[&str]| {
        let path = folder.path().join(name).to_string_lossy().into_owned();
        assert_eq!(status(&[inputs, &["--format", "json", "-o", &path]].concat()), Some(0));
        path
    };
    let unnamed = |text: &str| {
        let digits = |rest: &&str| rest.starts_with(|first: char| first.is_ascii_digit());
        let named = |rest: &str| {
            rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with(" of file ")
        };
        text.split("packet ").skip(1).filter(digits).find(|rest| !named(rest)).map(str::to_owned)
    };
    let parts = [report("one.json", &[&one]), report("two.json", &[&two, &one])];
    let merged = [&["merge", &parts[0], &parts[1]][..], &["merge", &parts[0], &parts[1], "--format", "html"]];
    let read = [&[&*one, &*two][..], &[&*one, &*two, "--verbose"], &[&*one, &*two, "--format", "json"]];
    for arguments in read.iter().chain(&merged) {
        let text = stdout(&run(arguments));
        let found = unnamed(text.split("<ol class=\"packets\">").next().unwrap());
        assert_eq!(found, None, "{arguments:?}");
    }
    // The second report's own second file is the third of the merged one.
    let text = stdout(&run(merged[0]));
    for file in 1..=3 {
        assert!(text.contains(&format!(" of file {file}")), "{file}: {text}");
    }
    assert!(stdout(&run(&[&one])).contains(" in packet ") && unnamed(&stdout(&run(&[&one]))).is_some());
}

#[test]
#[cfg(feature = "live")]
fn a_document_is_not_rotated_and_the_format_for_it_is_named() {
    for format in ["json", "html"] {
        let output =
            run(&["live", "-i", "no-such-0", "--format", format, "-o", "/no/such/report", "--rotate", "1d"]);
        assert_eq!(output.status.code(), Some(2), "{format}");
        assert!(stderr(&output).contains("use --format ndjson"), "{}", stderr(&output));
    }
}

#[test]
#[cfg(feature = "live")]
fn packets_that_redact_does_not_reach_are_warned_of() {
    let folder = Folder::new();
    let records = folder.path("records");
    let arguments = ["live", "-i", "no-such-0", "--record", records.to_str().unwrap()];
    assert!(!stderr(&run(&arguments)).contains("--redact"));
    let warned = stderr(&run(&[&arguments[..], &["--redact"]].concat()));
    assert!(warned.starts_with("wsclose: --redact does not reach the packets"), "{warned}");
}
