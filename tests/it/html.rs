//! `--format html`: every number is the JSON report's, and strings stay text. `make test-web` opens it in a browser.

use crate::support::run;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wsclose::report::figures::{Figures, bin_of, bin_start};
use wsclose::report::html::{HtmlReport, ROWS_MAX};
use wsclose::report::model::{Report, Summary};

fn wsclose(format: &str, inputs: &[PathBuf]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsclose"));
    let output = command.args(["--format", format]).args(inputs).output().expect("wsclose runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn scenarios(names: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures");
    names.iter().flat_map(|name| run::capture_files(&root.join(name))).collect()
}

/// The page and the JSON report of the same captures.
fn both(inputs: &[PathBuf]) -> (String, Report<'static>) {
    let json: serde_json::Value = serde_json::from_str(&wsclose("json", inputs)).unwrap();
    (wsclose("html", inputs), serde_json::from_value(json).unwrap())
}

/// What stands between `start` and `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let at = text.find(start).unwrap_or_else(|| panic!("{start} is on the page")) + start.len();
    let rest = &text[at..];
    &rest[..rest.find(end).expect("an end")]
}

/// The numbers under a picture: each row's name, with its cells.
fn numbers(page: &str, figure: &str) -> Vec<(String, Vec<u64>)> {
    let table = between(page, &format!("<table data-figure=\"{figure}\">"), "</table>");
    let body = table.split("<tbody>").nth(1).expect("a body");
    let row = |row: &str| {
        let name = between(row, "<th scope=\"row\">", "</th>").to_owned();
        let cells = row.split("<td>").skip(1).map(|cell| cell.split('<').next().unwrap().parse().unwrap());
        (name, cells.collect())
    };
    body.split("<tr>").skip(1).map(row).collect()
}

fn list(page: &str, name: &str) -> BTreeMap<String, u64> {
    let items = between(page, &format!("data-list=\"{name}\">"), "</ul>");
    let item = |item: &str| {
        let (name, count) = item.split_once(" <strong>").expect("a count");
        (name.to_owned(), count.split('<').next().unwrap().parse().unwrap())
    };
    items.split("<li>").skip(1).map(item).collect()
}

#[test]
fn every_number_drawn_is_the_json_report_s() {
    let (page, report) = both(&scenarios(&[
        "router-any",
        "nginx-idle",
        "close-codes",
        "ping-timeout-fin",
        "reconnect-backoff",
    ]));
    let connections = &report.connections;
    assert!(connections.len() > 40);
    assert_eq!(list(&page, "by_label"), report.summary.by_label);
    assert_eq!(list(&page, "by_cause"), report.summary.by_cause);
    assert_eq!(list(&page, "by_closed_by"), report.summary.by_closed_by);
    let histogram = |durations: Vec<f64>| {
        let mut bins: BTreeMap<usize, u64> = BTreeMap::new();
        durations.into_iter().for_each(|seconds| *bins.entry(bin_of(seconds)).or_default() += 1);
        bins.into_values().collect::<Vec<u64>>()
    };
    let drawn =
        |figure: &str| numbers(&page, figure).into_iter().map(|(_, cells)| cells[0]).collect::<Vec<u64>>();
    let ended = || connections.iter().filter(|it| it.verdict.kind != "open");
    assert_eq!(drawn("lifetimes"), histogram(ended().map(|it| it.duration_s).collect()));
    let silences = ended().filter(|it| it.verdict.kind == "abnormal").filter_map(|it| it.idle_before_end_s);
    assert_eq!(drawn("silences"), histogram(silences.collect()));
    let round_trips = connections.iter().flat_map(|it| {
        [&it.traffic.client, &it.traffic.server].into_iter().filter_map(|traffic| traffic.ping_round_trip_s)
    });
    let round_trips: Vec<f64> = round_trips.collect();
    assert!(!round_trips.is_empty());
    assert_eq!(drawn("round-trips"), histogram(round_trips));
    for (figure, address) in [
        (
            "clients",
            (|it| it.client.address.to_string()) as fn(&wsclose::report::model::Connection<'_>) -> String,
        ),
        ("servers", |it| format!("{}:{}", it.server.address, it.server.port)),
    ] {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        connections.iter().for_each(|it| *counts.entry(address(it)).or_default() += 1);
        let drawn: BTreeMap<_, u64> =
            numbers(&page, figure).into_iter().map(|(name, cells)| (name, cells.iter().sum())).collect();
        assert_eq!(drawn, counts, "{figure}");
    }
    let ends: u64 = numbers(&page, "ends").iter().flat_map(|(_, cells)| cells).sum();
    assert_eq!(ends, ended().count() as u64);
}

#[test]
fn the_timeline_counts_each_end_in_its_column_by_its_label() {
    let (page, report) = both(&scenarios(&["close-codes", "reconnect-storm"]));
    let mut figures = Figures::default();
    report.connections.iter().for_each(|it| figures.count(it));
    let width = figures.ends.width_ms() * 1_000_000;
    let names: Vec<String> = {
        let table = between(&page, "<table data-figure=\"ends\">", "</thead>");
        table
            .split("<th scope=\"col\">")
            .skip(2)
            .map(|cell| cell.split('<').next().unwrap().to_owned())
            .collect()
    };
    let rows = numbers(&page, "ends");
    assert!(!rows.is_empty());
    for (from, cells) in rows {
        let start = wsclose::time::Timestamp::parse_rfc3339(&from).unwrap().nanos();
        for (name, count) in names.iter().zip(cells) {
            let ended = report.connections.iter().filter(|it| it.verdict.kind != "open");
            let here = ended.filter(|it| (start..start + width).contains(&it.ended_at.nanos()));
            let expected = here.filter(|it| {
                let label = it.verdict.label.as_ref();
                label == name || (name == "other" && !names.iter().any(|own| own == label))
            });
            assert_eq!(count, expected.count() as u64, "{name} from {from}");
        }
    }
}

#[test]
fn the_answer_is_one_true_sentence() {
    let (page, report) = both(&scenarios(&["nginx-idle"]));
    let lost = report.summary.by_kind["abnormal"];
    let answer = between(&page, "<p class=\"answer\">", "</p>");
    assert!(
        answer.starts_with(&format!("{lost} of {} WebSockets ended abnormally; ", report.connections.len())),
        "{answer}"
    );
    assert!(answer.ends_with(" of silence.") && answer.contains(":9001"), "{answer}");
    let (page, _) = both(&scenarios(&["close-crossed"]));
    assert!(between(&page, "<p class=\"answer\">", "</p>").starts_with("None of "));
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
