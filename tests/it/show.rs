//! `wsclose show`: one connection packet by packet.

use crate::support::capture_file::Pcap;
use crate::support::conversation::Conversation;
use crate::support::packaging::Packaging;
use crate::support::{program, wire};
use std::path::{Path, PathBuf};
use std::process::Output;
use wsclose::side::Side;

fn run(arguments: &[&str]) -> Output {
    program::output(program::command().args(arguments))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Where each packet went, its number, and what it holds; of the first connection shown.
fn rungs(file: &str, stream: &str) -> Vec<(String, u32, String)> {
    let text = stdout(&run(&["show", &fixture(file).to_string_lossy(), "--stream", stream, "--last", "500"]));
    let rung = |line: &str| {
        let (_, rest) = line.split_once("  packet ")?;
        let (packet, rest) = rest.split_once(' ')?;
        let (way, what) = rest.trim_start().split_once("  ")?;
        Some((way.trim_end().to_owned(), packet.parse().ok()?, what.trim_start().to_owned()))
    };
    let lines = text.lines().skip(2).take_while(|line| !line.is_empty());
    let rungs: Vec<_> = lines.map(|line| rung(line).unwrap_or_else(|| panic!("{line}"))).collect();
    assert!(rungs.len() > 5, "{text}");
    rungs
}

#[test]
fn show_draws_one_connection_packet_by_packet() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::text(Side::Client, "hello")).server_acks();
    conn.server_sends(&wire::close(Side::Server, 1001, "\u{1b}[31mbye")).client_acks();
    conn.client_sends(&wire::close(Side::Client, 1001, ""));
    conn.fin(Side::Server).fin(Side::Client).server_acks();
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, Pcap::default().write(&Packaging::default().apply(&conn.packets()))).unwrap();
    let path = path.to_str().unwrap();
    let text = stdout(&run(&["show", path, "--stream", "0"]));
    for part in [
        "Text of 5 bytes",
        "client <-- server  ACK, ",
        "FIN, ACK",
        "1001, by server",
        "client was told 1001 (certain)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\u{1b}'));
    let last = stdout(&run(&["show", path, "--stream", "0", "--last", "1"]));
    assert!(
        last.contains("packets before these")
            && last.matches("packet ").count() < text.matches("packet ").count()
    );
    let missing = run(&["show", path, "--stream", "9"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn show_names_the_frames_inside_tls_and_takes_no_record_for_one() {
    let recorded = fixture("tls/1.3-aes128-gcm.pcapng");
    let text = stdout(&run(&["show", &recorded.to_string_lossy(), "--stream", "1"]));
    for part in [
        "Upgrade request",
        "status 101",
        "33 bytes; Text of 5 bytes",
        "Close 1001 \"going away\"",
        "1001, by server",
    ] {
        assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
    }
    assert!(!text.contains("opcode") && !text.contains("more follows"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.log");
    std::fs::write(&keys, b"nothing\n").unwrap();
    let keys = keys.to_str().unwrap();
    let without = run(&["show", &recorded.to_string_lossy(), "--stream", "1", "--keylog", keys]);
    assert!(without.status.success() && stderr(&without).contains("no secret of a TLS session in it"));
    let missing = run(&["show", &recorded.to_string_lossy(), "--stream", "1", "--keylog", "/nowhere"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn both_legs_of_a_proxied_connection_are_one_ladder_in_time() {
    let all = rungs("captures/nginx-idle/websockets--ws.any.pcap", "0");
    assert!(all.is_sorted_by_key(|(_, packet, _)| *packet));
    let ways = ["client --> proxy", "client <-- proxy", "proxy --> server", "proxy <-- server"];
    for way in ways {
        assert!(all.iter().any(|(of, ..)| of == way), "{way}");
    }
    assert!(all.iter().all(|(way, ..)| ways.contains(&way.as_str())), "{all:?}");
    // What the client sends the proxy passes on, each a packet of its own.
    for what in ["Upgrade request", "status 101", "Ping of 4 bytes", "Pong of 4 bytes"] {
        let count =
            |part: &str| all.iter().filter(|(way, _, it)| way.contains(part) && it.contains(what)).count();
        assert!(count("client") > 0 && count("client") == count("server"), "{what}: {all:?}");
    }
    // The back leg, shown by itself, is the same ladder.
    assert_eq!(rungs("captures/nginx-idle/websockets--ws.any.pcap", "1"), all);
}

#[test]
fn a_packet_that_the_capture_holds_twice_is_shown_once() {
    for pair in ["ws--websockets", "aiohttp--ws", "websockets--aiohttp"] {
        let of = |vantage: &str| {
            let all = rungs(&format!("captures/router-any/{pair}.{vantage}.pcap"), "0");
            // The kernel shows `any` not quite every packet: bare acknowledgments are left out.
            let telling = all.into_iter().filter(|(_, _, what)| what != "ACK");
            telling.map(|(way, _, what)| (way, what)).collect::<Vec<_>>()
        };
        assert_eq!(of("any"), of("middle"), "{pair}: tcpdump -i any saw each packet come and go");
    }
}

#[test]
fn frames_in_a_stream_of_http2_within_tls_are_named_on_both_legs() {
    let text = stdout(&run(&[
        "show",
        &fixture("http2/chromium-nghttpx-ws.pcapng").to_string_lossy(),
        "--stream",
        "0",
    ]));
    let shown = text
        .split("\n\nclient 127")
        .find(|part| part.contains("\n4000, by server"))
        .expect("closed with 4000");
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "client --> proxy ACK, 49 bytes; Text of 12 bytes",
        "proxy --> server ACK, 18 bytes; Text of 12 bytes",
        "proxy <-- server ACK, 7 bytes; Close 4000 \"bye\"",
        "client <-- proxy ACK, 38 bytes; Close 4000 \"bye\"",
        "Close 4000 \"bye\"; END_STREAM",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("opcode") && !shown.contains("missing"), "{shown}");
}

#[test]
fn frames_are_named_over_every_cipher_suite_as_their_twin_in_the_clear_names_them() {
    let files = std::fs::read_dir(fixture("tls")).unwrap().map(|entry| entry.unwrap().path());
    let captures: Vec<PathBuf> =
        files.filter(|it| it.extension().is_some_and(|end| end == "pcapng")).collect();
    assert!(captures.len() > 20);
    for capture in captures {
        let name = format!("tls/{}", capture.file_name().unwrap().to_string_lossy());
        // Its second connection: closed by the server with 1001.
        let stream = if name.contains("retry") || name.contains("resumed") { continue } else { "1" };
        let named: Vec<String> = rungs(&name, stream)
            .into_iter()
            .filter_map(|(way, _, what)| what.split_once("; ").map(|(_, words)| format!("{way} {words}")))
            .collect();
        assert!(named.contains(&"client --> server Text of 5 bytes".to_owned()), "{name}: {named:?}");
        assert!(
            named.contains(&"client <-- server Close 1001 \"going away\"".to_owned()),
            "{name}: {named:?}"
        );
    }
}

#[test]
fn the_body_of_a_refusal_is_no_frame() {
    let all = rungs("captures/handshake-refused/ws--ws.server.pcap", "1");
    assert!(all.iter().any(|(_, _, what)| what.contains("status 403")));
    assert!(all.iter().all(|(_, _, what)| !what.contains(" of ")), "{all:?}");
}

#[test]
fn many_frames_of_one_packet_are_counted_and_the_last_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = Conversation::opened();
    let mut frames: Vec<u8> = (0..40).flat_map(|_| wire::text(Side::Server, "x")).collect();
    frames.extend(wire::close(Side::Server, 1001, "bye"));
    conn.server_sends(&frames).client_acks().fin(Side::Server).fin(Side::Client).server_acks();
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, Pcap::default().write(&Packaging::default().apply(&conn.packets()))).unwrap();
    let text = stdout(&run(&["show", path.to_str().unwrap(), "--stream", "0"]));
    assert!(text.contains("Text of 1 bytes; 35 more frames; Close 1001 \"bye\""), "{text}");
    assert_eq!(text.matches("Text of 1 bytes").count(), 5, "{text}");
}

#[test]
fn one_stream_of_http2_is_named_everywhere_and_can_be_shown_alone() {
    let capture = fixture("http2/node-h2c-closes.pcapng");
    let capture = capture.to_str().unwrap();
    let all = stdout(&run(&["show", capture, "--stream", "0"]));
    let one = stdout(&run(&["show", capture, "--stream", "0/11"]));
    assert!(all.matches(", HTTP/2 stream ").count() == 11 && all.contains(&one), "{all}");
    assert!(one.starts_with("client 127.0.0.1:46346, server 127.0.0.1:9443, HTTP/2 stream 11\n"), "{one}");
    let missing = run(&["show", capture, "--stream", "0/2"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("no WebSocket with tcp.stream 0 and HTTP/2 stream 2"));
    assert_eq!(run(&["show", capture, "--stream", "0/"]).status.code(), Some(2));

    let text = stdout(&run(&[capture, "--verbose"]));
    let line = text.lines().find(|line| line.ends_with("  /client-end")).expect("listed");
    assert!(line.starts_with("  0/11  "), "{line}");
    let filter = "tcp.stream eq 0 && http2.streamid eq 11";
    assert!(text.contains(&format!("    HTTP/2 stream; in Wireshark: {filter}\n")), "{text}");
    let html = stdout(&run(&[capture, "--format", "html"]));
    assert!(html.contains(&filter.replace("&&", "&amp;&amp;")), "the filter of the stream");
    let csv = stdout(&run(&[capture, "--format", "csv"]));
    let mut lines = csv.lines();
    let column = lines.next().unwrap().split(',').position(|name| name == "h2_stream").expect("a column");
    let of_path = lines.find(|line| line.contains(",/client-end,")).expect("a row");
    assert_eq!(of_path.split(',').nth(column), Some("11"));
}

#[test]
fn nobody_was_told_a_code_where_no_websocket_came_about() {
    let capture = fixture("http2/node-h2c-closes.pcapng");
    let capture = capture.to_str().unwrap();
    let saw_none = "nothing: the opening handshake failed: the server's application saw no connection";
    let waiting = "nothing yet: the connection is still open when the capture ends";
    let shown = stdout(&run(&["show", capture, "--stream", "0"]));
    for says in [saw_none, waiting] {
        assert_eq!(shown.matches(&format!("server was told {says}")).count(), 1, "{shown}");
    }
    let html = stdout(&run(&[capture, "--format", "html"]));
    for says in [saw_none, waiting] {
        assert!(html.contains(&format!("<dt>Server was told</dt><dd>{says}")), "{says}");
    }
    let text = stdout(&run(&[capture, "--verbose"]));
    assert_eq!(text.matches("client was told 1006 (certain); server was told nothing\n").count(), 1);
    for report in [shown, html, text] {
        assert!(!report.contains("do not tell"), "{report}");
    }
}

#[test]
fn show_says_what_is_probable_of_an_encrypted_connection() {
    let folder = tempfile::tempdir().unwrap();
    // Without the keys in it.
    let bytes = std::fs::read(fixture("tls/1.3-aes128-gcm.pcapng")).unwrap();
    let keyless = folder.path().join("keyless.pcapng");
    std::fs::write(&keyless, crate::support::pcapng::without_secrets(&bytes)).unwrap();
    let keyless = keyless.to_str().unwrap();
    let report: serde_json::Value =
        serde_json::from_str(&stdout(&run(&[keyless, "--encrypted", "--format", "json"]))).unwrap();
    let one = &report["connections"][0];
    let probable = one["verdict"]["probable"]["text"].as_str().expect("an opinion");
    let shown = stdout(&run(&["show", keyless, "--stream", &one["tcp_stream"].to_string()]));
    assert!(shown.contains(&format!("\n{probable}\n")), "{probable}: {shown}");
}

#[test]
fn a_damaged_capture_is_shown_as_far_as_it_is_sound_with_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pcap");
    let mut conn = Conversation::opened();
    conn.client_sends(&wire::text(Side::Client, "hello")).server_acks().fin(Side::Client).server_acks();
    let mut file = Pcap::default().write(&Packaging::default().apply(&conn.packets()));
    file.truncate(file.len() - 3);
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let shown = run(&["show", path, "--stream", "0"]);
    assert_eq!(shown.status.code(), run(&[path]).status.code());
    assert_eq!(shown.status.code(), Some(1));
    assert!(
        stdout(&shown).contains("Text of 5 bytes") && stderr(&shown).contains(path),
        "{}",
        stderr(&shown)
    );
}
