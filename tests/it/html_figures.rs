//! Every figure of the HTML report is the JSON report's: each is counted here a second time, from the JSON alone.

use crate::support::page::{between, both, list, numbers, scenarios};
use std::collections::BTreeMap;
use wsclose::report::html::HtmlReport;
use wsclose::report::model::{Connection, Report, Summary};
use wsclose::time::Timestamp;

/// Captures with pings, idle limits, codes, reconnects and connections still open.
const SCENARIOS: [&str; 7] = [
    "router-any",
    "nginx-idle",
    "close-codes",
    "ping-timeout-fin",
    "reconnect-backoff",
    "reconnect-storm",
    "still-open",
];

fn ended<'a>(report: &'a Report<'static>) -> impl Iterator<Item = &'a Connection<'static>> {
    report.connections.iter().filter(|it| it.verdict.kind != "open")
}

/// How many of `durations` lie between the edges that docs/html-report.md names: eight for each power of ten.
fn histogram(durations: impl Iterator<Item = f64>) -> Vec<u64> {
    let durations: Vec<f64> = durations.collect();
    let edge = |number: i32| 1e-4 * 10_f64.powf(f64::from(number) / 8.0);
    let bins = (0..88).map(|bin| {
        let from = if bin == 0 { f64::NEG_INFINITY } else { edge(bin) };
        durations.iter().filter(|it| (from..edge(bin + 1)).contains(*it)).count() as u64
    });
    bins.filter(|count| *count > 0).collect()
}

#[test]
fn the_counts_in_short_are_the_summary_s() {
    let (page, report) = both(&scenarios(&SCENARIOS));
    assert!(report.connections.len() > 40);
    assert_eq!(list(&page, "by_label"), report.summary.by_label);
    assert_eq!(list(&page, "by_cause"), report.summary.by_cause);
    assert_eq!(list(&page, "by_closed_by"), report.summary.by_closed_by);
}

#[test]
fn every_histogram_counts_the_durations_of_the_json_report() {
    let (page, report) = both(&scenarios(&SCENARIOS));
    let lost = || ended(&report).filter(|it| it.verdict.kind == "abnormal");
    let round_trips = || {
        let both = report.connections.iter().flat_map(|it| [&it.traffic.client, &it.traffic.server]);
        both.filter_map(|traffic| traffic.ping_round_trip_s)
    };
    let figures = [
        ("lifetimes", histogram(ended(&report).map(|it| it.duration_s))),
        ("silences", histogram(lost().filter_map(|it| it.idle_before_end_s))),
        ("round-trips", histogram(round_trips())),
        ("reconnects", histogram(reconnects(&report))),
    ];
    for (figure, expected) in figures {
        let drawn: Vec<u64> = numbers(&page, figure).into_iter().map(|(_, cells)| cells[0]).collect();
        assert!(expected.len() > 2, "{figure}: {expected:?} tells nothing");
        assert_eq!(drawn, expected, "{figure}");
    }
}

/// For each connection whose client address had another one to the same server before: the time since the latest of
/// these ended.
fn reconnects<'a>(report: &'a Report<'static>) -> impl Iterator<Item = f64> + 'a {
    let pair = |it: &'a Connection<'static>| (it.client.address, it.server.address, it.server.port);
    report.connections.iter().filter_map(move |one| {
        let others = ended(report).filter(move |it| it.id != one.id && pair(it) == pair(one));
        let latest = others.map(|it| it.ended_at).filter(|end| *end <= one.opened_at).max()?;
        Some(one.opened_at.seconds_since(latest))
    })
}

#[test]
fn the_timeline_counts_each_end_in_its_column_by_its_label() {
    let (page, report) = both(
        // One recording: several at different times fall into a column each.
        &scenarios(&["close-codes"])
            .into_iter()
            .filter(|it| it.ends_with("aiohttp--ws.server.pcap"))
            .collect::<Vec<_>>(),
    );
    let table = between(&page, "<table data-figure=\"ends\">", "</thead>");
    let heads = table.split("<th scope=\"col\">").skip(2);
    let names: Vec<&str> = heads.map(|cell| cell.split('<').next().unwrap()).collect();
    let rows: Vec<(i64, Vec<u64>)> = numbers(&page, "ends")
        .into_iter()
        .map(|(from, cells)| (Timestamp::parse_rfc3339(&from).unwrap().nanos(), cells))
        .collect();
    assert!(rows.len() > 2 && rows.is_sorted_by_key(|(from, _)| *from));
    let mut expected = vec![vec![0; names.len()]; rows.len()];
    for one in ended(&report) {
        // Columns without an end have no row.
        let row = rows.partition_point(|(from, _)| *from <= one.ended_at.nanos()).checked_sub(1);
        let own = names.iter().position(|name| *name == one.verdict.label);
        let column = own.or_else(|| names.iter().position(|name| *name == "other"));
        expected[row.expect("a column that begins before it")][column.expect("a label")] += 1;
    }
    let drawn: Vec<Vec<u64>> = rows.iter().map(|(_, cells)| cells.clone()).collect();
    assert_eq!(drawn, expected);
    // All columns are equally long, as the caption says, and no end lies beyond its own.
    let width = rows.windows(2).map(|pair| pair[1].0 - pair[0].0).min().unwrap();
    assert!(rows.iter().all(|(from, _)| (from - rows[0].0) % width == 0));
    let milliseconds: i64 = between(&page, "each column is ", " ms.").parse().unwrap();
    assert_eq!(milliseconds * 1_000_000, width);
    let last = ended(&report).map(|it| it.ended_at.nanos()).max().unwrap();
    assert!(last < rows.last().unwrap().0 + width);
}

#[test]
fn ends_by_address_are_counted_by_kind() {
    let (page, report) = both(&scenarios(&SCENARIOS));
    check_addresses(&page, &report.connections);
}

#[test]
fn addresses_beyond_the_ten_worst_are_one_bar() {
    let (_, report) = both(&scenarios(&["close-codes"]));
    let mut html = HtmlReport::default();
    let mut connections = Vec::new();
    for id in 1..=60_u8 {
        let mut one = report.connections[0].clone();
        one.client.address = format!("10.9.0.{}", id % 17).parse().unwrap();
        (one.id, one.server.port) = (u64::from(id), 9_000 + u16::from(id % 13));
        one.verdict.kind = if id % 3 == 0 { "abnormal".into() } else { "coded".into() };
        html.add(&one);
        connections.push(one);
    }
    let summary = Summary { connections: 60, ..Summary::default() };
    let mut page = Vec::new();
    html.write(&mut page, &[], &summary, &wsclose::anomaly::AnomalyCounts::default()).unwrap();
    check_addresses(&String::from_utf8(page).unwrap(), &connections);
}

fn check_addresses(page: &str, connections: &[Connection<'_>]) {
    let by_client: fn(&Connection<'_>) -> String = |it| it.client.address.to_string();
    let by_server: fn(&Connection<'_>) -> String = |it| format!("{}:{}", it.server.address, it.server.port);
    for (figure, address) in [("clients", by_client), ("servers", by_server)] {
        let table = between(page, &format!("<table data-figure=\"{figure}\">"), "</thead>");
        let heads = table.split("<th scope=\"col\">").skip(2);
        let kinds: Vec<&str> = heads.map(|cell| cell.split('<').next().unwrap()).collect();
        let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for it in connections {
            let own = counts.entry(address(it)).or_insert_with(|| vec![0; kinds.len()]);
            own[kinds.iter().position(|kind| *kind == it.verdict.kind).expect("a column of its kind")] += 1;
        }
        let mut expected: Vec<(String, Vec<u64>)> = counts.into_iter().collect();
        let lost = kinds.iter().position(|kind| *kind == "abnormal");
        let badness = |cells: &[u64]| (lost.map_or(0, |lost| cells[lost]), cells.iter().sum::<u64>());
        expected.sort_by(|a, b| badness(&b.1).cmp(&badness(&a.1)).then_with(|| a.0.cmp(&b.0)));
        let rest = expected.split_off(expected.len().min(10));
        if !rest.is_empty() {
            let sums = (0..kinds.len()).map(|kind| rest.iter().map(|(_, cells)| cells[kind]).sum()).collect();
            expected.push((format!("{} others", rest.len()), sums));
        }
        assert_eq!(numbers(page, figure), expected, "{figure}");
    }
}

/// Each bar of a picture: what its title says, and how long it is drawn.
fn bars(page: &str, figure: &str, length: &str) -> Vec<(String, f64)> {
    let picture = between(page, &format!("<figure id=\"figure-{figure}\""), "</figure>");
    let picture = between(picture, "<svg class=\"chart\"", "</svg>");
    let bar = |rect: &str| {
        let long = between(rect, &format!(" {length}=\""), "\"").parse().unwrap();
        (between(rect, "<title>", "</title>").to_owned(), long)
    };
    let rects = picture.split("<rect ").skip(1).filter(|rect| rect.contains("<title>"));
    rects.map(|rect| bar(rect.split("</rect>").next().unwrap())).collect()
}

#[test]
fn every_bar_is_as_long_as_its_number_says() {
    let (page, _) = both(&scenarios(&SCENARIOS));
    let upright = ["ends", "silences", "lifetimes", "reconnects", "round-trips"].map(|it| (it, "height"));
    for (figure, length) in upright.into_iter().chain([("servers", "width"), ("clients", "width")]) {
        let table = between(&page, &format!("<table data-figure=\"{figure}\">"), "</thead>");
        let heads = table.split("<th scope=\"col\">").skip(2);
        let parts: Vec<&str> = heads.map(|cell| cell.split('<').next().unwrap()).collect();
        let mut expected: Vec<(String, u64)> = Vec::new();
        for (name, cells) in numbers(&page, figure) {
            let filled = parts.iter().zip(cells).filter(|(_, count)| *count > 0);
            expected.extend(filled.map(|(part, count)| (format!("{name}: {count} {part}"), count)));
        }
        let drawn: BTreeMap<String, f64> = bars(&page, figure, length).into_iter().collect();
        let named: BTreeMap<String, f64> =
            expected.iter().map(|(title, _)| (title.clone(), drawn[title])).collect();
        assert_eq!(drawn, named, "{figure}: a bar for each number, and no other");
        let (longest, most) =
            expected.iter().map(|(title, count)| (drawn[title], *count)).max_by_key(|it| it.1).unwrap();
        for (title, count) in &expected {
            let due = (longest * *count as f64 / most as f64).max(1.0);
            assert!(
                (drawn[title] - due).abs() < 0.2,
                "{figure}: {title} is {} long, not {due}",
                drawn[title]
            );
        }
    }
}
