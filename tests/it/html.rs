//! `--format html`: what is listed, what opens, and that strings stay text. `make test-web` opens it in a browser.

use crate::support::page::{between, both, numbers, scenarios, wsclose};
use std::fs;
use std::path::{Path, PathBuf};
use wsclose::report::figures::{bin_of, bin_start};
use wsclose::report::html::{HtmlReport, ROWS_MAX};
use wsclose::report::model::Summary;

#[test]
fn the_answer_is_one_true_sentence() {
    let proxy = "cut by a proxy between client and server";
    let cases = [
        // Both legs, which are one WebSocket; and each by itself.
        ("nginx-idle", "any", format!("4 of 6 WebSockets ended abnormally; all of them {proxy} after 3.0 s of silence.")),
        ("nginx-idle", "client", "4 of 6 WebSockets ended abnormally; all of them cut by 10.60.1.1:9001 after 3.0 s of silence.".to_owned()),
        ("nginx-idle", "server", "4 of 6 WebSockets ended abnormally; all of them cut by clients of 10.60.2.2:9001 after 3.0 s of silence.".to_owned()),
        ("haproxy-killed", "any", format!("4 of 4 WebSockets ended abnormally; all of them {proxy}.")),
        ("sigkill-busy", "client", "The one WebSocket ended abnormally, cut by 10.60.2.2:9001.".to_owned()),
        ("reordered", "client", "1 of 2 WebSockets ended abnormally, cut by a client of 10.60.2.2:9001.".to_owned()),
        ("network-drop-tcp-keepalive", "client", "The one WebSocket ended abnormally, timed out: an end, or the path to 10.60.2.2:9001, had stopped answering.".to_owned()),
        ("network-reset", "client", "The one WebSocket ended abnormally, reset by something between the ends on the way to 10.60.2.2:9001.".to_owned()),
        ("close-crossed", "client", "The one WebSocket is not known to have ended abnormally.".to_owned()),
        ("connect-unanswered", "client", "None of 2 WebSockets is known to have ended abnormally; 1 was refused.".to_owned()),
        ("still-open", "server", "None of 2 WebSockets is known to have ended abnormally; 2 were still open.".to_owned()),
    ];
    for (scenario, place, expected) in cases {
        let is_wanted = |file: &PathBuf| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            name.contains(&format!(".{place}."))
        };
        let capture = scenarios(&[scenario]).into_iter().find(is_wanted).expect(scenario);
        let page = wsclose("html", &[capture]);
        assert_eq!(between(&page, "<p class=\"answer\">", "</p>"), expected, "{scenario} {place}");
    }
}

#[test]
fn the_answer_counts_both_legs_once_and_blames_where_the_end_began() {
    let cases = [
        // Two cut by clients, two by the server: no one to blame for most.
        ("captures/haproxy-closes/aiohttp--ws.any.pcap", "4 of 10 WebSockets ended abnormally."),
        ("captures/router-any/ws--websockets.any.pcap", "2 of 4 WebSockets ended abnormally."),
        (
            "captures/nginx-server-killed/ws--ws.any.pcap",
            "3 of 5 WebSockets ended abnormally; all of them cut by 10.60.2.2:9001; 2 more were refused.",
        ),
        (
            "http2/chromium-nghttpx-ws.pcapng",
            "3 of 7 WebSockets ended abnormally; all of them cut by clients of 127.0.0.1:9443.",
        ),
    ];
    for (capture, expected) in cases {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(capture);
        let page = wsclose("html", &[path]);
        assert_eq!(between(&page, "<p class=\"answer\">", "</p>"), expected, "{capture}");
    }
}

#[test]
fn the_worst_are_listed_with_their_last_packets_and_the_rest_is_counted() {
    let (page, report) = both(&scenarios(&["reset-by-server"]));
    let lost = report.connections.iter().find(|it| it.verdict.kind == "abnormal").unwrap();
    let row = between(&page, &format!("<tbody id=\"c{}\"", lost.id), "</tbody>");
    assert_eq!(row.matches("<li>").count(), row.matches("<polygon").count());
    assert!(
        row.contains("SYN, ACK") && row.contains("Text of "),
        "frames and ACKs beside the evidence: {row}"
    );
    assert!(row.matches("<li>").count() > lost.evidence.len());
    let mut html = HtmlReport::default();
    let mut one = report.connections[0].clone();
    for id in 1..=ROWS_MAX as u64 + 500 {
        one.id = id;
        one.verdict.kind = if id % 2 == 0 { "abnormal".into() } else { "open".into() };
        html.add(&one);
    }
    let mut page = Vec::new();
    let summary = Summary { connections: ROWS_MAX as u64 + 500, ..Summary::default() };
    html.write(&mut page, &[], &summary, &wsclose::anomaly::AnomalyCounts::default()).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert_eq!(page.matches("<tbody id=").count(), ROWS_MAX);
    assert_eq!(page.matches("data-kind=\"abnormal\"").count(), ROWS_MAX / 2 + 250);
    assert!(between(&page, "<p class=\"left-out\">", "</p>").contains("1,000 worst of 1,500 connections"));
}

#[test]
fn a_finding_links_only_to_rows_that_are_on_the_page() {
    let (_, report) = both(&scenarios(&["nginx-idle"]));
    let mut html = HtmlReport::default();
    html.count(&report.connections[0]);
    report.connections[1..].iter().for_each(|one| html.add(one));
    let summary = &report.summary;
    let left_out = report.connections[0].id;
    assert_eq!(summary.findings[0].connections[0], left_out);
    let mut page = Vec::new();
    html.write(&mut page, &[], summary, &wsclose::anomaly::AnomalyCounts::default()).unwrap();
    let page = String::from_utf8(page).unwrap();
    let findings = between(&page, "<ol class=\"findings\">", "</ol>");
    assert!(findings.contains(&format!("Connections {left_out} <a href=")), "{findings}");
    let links: Vec<&str> =
        page.split("href=\"#").skip(1).map(|link| link.split('"').next().unwrap()).collect();
    assert!(links.len() > 10);
    for link in links {
        assert!(page.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
    }
}

#[test]
fn a_ladder_of_two_legs_has_the_proxy_between_and_each_packet_once() {
    let capture = scenarios(&["nginx-idle"]);
    let capture: Vec<PathBuf> =
        capture.into_iter().filter(|it| it.ends_with("websockets--ws.any.pcap")).collect();
    let (page, report) = both(&capture);
    let lost: Vec<_> = report.connections.iter().filter(|it| it.verdict.kind == "abnormal").collect();
    assert!(lost.len() > 4);
    for one in lost {
        let row = between(&page, &format!("<tbody id=\"c{}\"", one.id), "</tbody>");
        let items: Vec<&str> =
            row.split("<li>").skip(1).map(|item| item.split("</li>").next().unwrap()).collect();
        let packets: Vec<u32> =
            items.iter().map(|item| between(item, " packet ", ",").trim().parse().unwrap()).collect();
        assert!(packets.is_sorted_by(|a, b| a < b), "each once, in order: {packets:?}");
        for sender in ["client: ", "server: ", "proxy, to the client: ", "proxy, to the server: "] {
            assert!(items.iter().any(|item| item.contains(&format!(", {sender}"))), "{sender}: {items:?}");
        }
        assert!(items.iter().any(|item| item.contains("Pong of") || item.contains("Text of")), "{items:?}");
        let drawn = between(row, "<svg class=\"ladder\"", "</svg>");
        assert_eq!(drawn.matches("class=\"lane\"").count(), 3, "client, proxy, server");
        assert!(drawn.contains(">proxy</text>") && drawn.matches("<polygon").count() == items.len());
        for item in &one.evidence {
            assert!(packets.contains(&item.packet), "#{} in {packets:?}", item.packet);
        }
    }
}

#[test]
fn times_of_a_ladder_count_from_the_connection_s_opening() {
    // Its evidence alone is listed where files can't be read again, as in a merged report; the SYN is none.
    let (_, report) = both(&scenarios(&["nginx-idle"]));
    let one = report.connections.iter().find(|one| one.verdict.kind == "abnormal").expect("one was lost");
    let first = &one.evidence[0];
    assert!(first.at > one.opened_at, "{first:?}");
    let mut html = HtmlReport::default();
    html.add(one);
    let mut page = Vec::new();
    html.write(&mut page, &[], &report.summary, &wsclose::anomaly::AnomalyCounts::default()).unwrap();
    let page = String::from_utf8(page).unwrap();
    let list = between(&page, "<ol class=\"packets\">", "</ol>");
    let since = format!("<span class=\"at\">+{:.3} s</span>", first.at.seconds_since(one.opened_at));
    assert!(list.starts_with(&format!("<li>{since} packet {}", first.packet)), "{since}: {list}");
}

#[test]
fn ladders_name_the_frames_inside_tls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let (page, report) =
        both(&[root.join("tls/1.3-aes128-gcm.pcapng"), root.join("http2/node-tls-closes.pcapng")]);
    for one in report.connections.iter().filter(|it| it.verdict.kind != "refused") {
        let row = between(&page, &format!("<tbody id=\"c{}\"", one.id), "</tbody>");
        let list = between(row, "<ol class=\"packets\">", "</ol>");
        assert!(list.contains("; Text of "), "{}: {list}", one.carrier);
        for close in [&one.close.client, &one.close.server].into_iter().flatten() {
            let item = between(list, &format!(" packet {}", close.packet), "</li>");
            assert_eq!(item.matches("Close ").count(), 1, "{item}");
        }
    }
}

#[test]
fn nothing_but_the_page_s_own_style_and_script_goes_in_without_escape() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/html");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    assert!(files.len() > 5);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let raw = text
            .lines()
            .filter(|line| line.contains("PreEscaped") && !line.contains("//") && !line.contains("use "));
        let allowed = ["PreEscaped(STYLE)", "PreEscaped(SCRIPT)", "PreEscaped(\"<"];
        for line in raw {
            assert!(allowed.iter().any(|it| line.contains(it)), "{}: {line}", file.display());
        }
    }
}

#[test]
fn no_string_of_a_connection_becomes_markup() {
    let (_, report) = both(&scenarios(&["close-codes"]));
    for harm in [
        "<script>x</script>",
        "</style>",
        "\" onload=\"x",
        "javascript:x",
        "a\u{202e}b\u{0}c\u{2066}\u{1b}[31m",
    ] {
        let json = serde_json::to_value(&report.connections[0]).unwrap();
        let one = serde_json::from_value(spoiled(json, harm)).unwrap();
        let mut html = HtmlReport::default();
        html.add(&one);
        let mut page = Vec::new();
        let summary = Summary { connections: 1, ..Summary::default() };
        html.write(&mut page, &[], &summary, &wsclose::anomaly::AnomalyCounts::default()).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert_eq!(page.matches("<script").count(), 1, "{harm}");
        assert_eq!(page.matches("</style>").count(), 1, "{harm}");
        assert!(
            !page.contains("\" onload=\"x") && !page.contains("href=\"j") && !page.contains(" src="),
            "{harm}"
        );
        assert!(!page.contains(['\u{202e}', '\0', '\u{2066}', '\u{1b}']), "{harm:?}");
        assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    }
}

/// `value` with every string in it that is free to be anything replaced by `harm`.
fn spoiled(value: serde_json::Value, harm: &str) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            let fixed = ["opened_at", "ended_at", "at", "address"];
            let spoil = |(name, value): (String, Value)| match value {
                value @ Value::String(_) if fixed.contains(&name.as_str()) => (name, value),
                value => (name, spoiled(value, harm)),
            };
            Value::Object(fields.into_iter().map(spoil).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| spoiled(item, harm)).collect()),
        Value::String(_) => Value::String(harm.to_owned()),
        other => other,
    }
}

#[test]
fn bins_of_the_histograms_are_where_their_names_say() {
    let (page, _) = both(&scenarios(&["nginx-idle"]));
    for (name, _) in numbers(&page, "lifetimes") {
        assert!(name.contains(" to "), "{name}");
    }
    assert!((bin_start(bin_of(60.0))..bin_start(bin_of(60.0) + 1)).contains(&60.0));
}
