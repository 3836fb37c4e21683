//! How the benchmark compares ends: a report that gives one connection what is another's is wrong, though all totals are
//! right.

#[path = "../../benches/throughput/ends.rs"]
#[allow(unreachable_pub, missing_docs, dead_code, reason = "the benchmark's own")]
mod ends;

use ends::{End, Ends};
use serde_json::{Value, json};

/// Client's port, label, cause, `closed_by`.
type Row = (u16, &'static str, Option<&'static str>, Option<&'static str>);

const ROWS: [Row; 4] = [
    (40_001, "1000", None, Some("client")),
    (40_002, "1001", None, Some("server")),
    (40_003, "1006", Some("rst"), Some("server")),
    (40_004, "1006", Some("timeout"), None),
];

fn truth() -> Ends {
    let mut ends = Ends::default();
    for (port, label, cause, closed_by) in ROWS {
        let (client, server) = (([10, 0, 0, 1], port).into(), ([10, 0, 0, 9], 80).into());
        ends.add(End { client, server, label, cause, closed_by });
    }
    ends
}

fn report(rows: &[Row]) -> String {
    let row = |(port, label, cause, closed_by): &Row| -> Value {
        json!({
            "id": 1, "client": {"address": "10.0.0.1", "port": port}, "server": {"address": "10.0.0.9", "port": 80},
            "verdict": {"label": label, "kind": "coded", "cause": cause, "closed_by": closed_by}, "evidence": [],
        })
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    json!({ "schema": "x", "connections": rows, "summary": {"connections": 4}, "anomalies": {} }).to_string()
}

/// The parts that differ between the truth and a report of these rows.
fn wrong(rows: &[Row]) -> Vec<&'static str> {
    let mut ends = Ends::default();
    let text = report(rows);
    let summary: Value = ends::read_report(text.as_bytes(), |end| ends.add(end)).unwrap();
    assert_eq!(summary, json!({"connections": 4}));
    let parts = truth().parts().into_iter().zip(ends.parts());
    parts.filter(|(expected, found)| expected != found).map(|((name, _), _)| name).collect()
}

#[test]
fn the_order_of_a_report_does_not_matter() {
    let mut rows = ROWS;
    rows.reverse();
    assert!(wrong(&rows).is_empty());
}

#[test]
fn two_connections_with_each_other_s_label_are_wrong_whatever_the_totals_say() {
    let mut rows = ROWS;
    (rows[0].1, rows[1].1) = (rows[1].1, rows[0].1);
    assert_eq!(wrong(&rows), ["label"]);
}

#[test]
fn each_part_of_an_end_is_told_apart() {
    let mut rows = ROWS;
    (rows[0].3, rows[1].3) = (rows[1].3, rows[0].3);
    assert_eq!(wrong(&rows), ["closed_by"]);
    let mut rows = ROWS;
    rows[2].2 = Some("fin");
    assert_eq!(wrong(&rows), ["cause"]);
    let mut rows = ROWS;
    rows[0].0 += 10;
    assert_eq!(wrong(&rows), ["addresses", "label", "closed_by"]);
    assert_eq!(wrong(&ROWS[..3]), ["addresses", "label", "cause"]);
}

#[test]
fn who_closes_what_nobody_closed_is_not_compared() {
    let mut rows = ROWS;
    rows[3].3 = Some("network");
    assert!(wrong(&rows).is_empty());
}
