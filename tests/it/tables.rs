//! CSV, Parquet and merged reports: the same facts as in the JSON report, and the commands of docs/tables.md.

use crate::support::capture_file::Pcap;
use crate::support::conversation::Conversation;
use crate::support::packaging::Packaging;
use crate::support::{program, run, wire};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use wsclose::report::columns::{COLUMNS, Kind};
use wsclose::report::model::Report;
use wsclose::side::Side::{Client, Server};

fn wsclose(arguments: &[&str], folder: &Path) -> Output {
    program::output(program::command().args(arguments).current_dir(folder))
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A folder with `server.pcap`: connections that were closed, and lost, and one whose strings mean harm.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut lost = Conversation::between("10.0.0.1:40001", "10.0.0.9:8080");
    lost.connect().upgrade("/lost").client_sends(&wire::text(Client, "hello")).server_acks().rst(Server);
    let mut closed = Conversation::between("10.0.0.2:40002", "10.0.0.9:8080");
    closed.connect().upgrade("/=HYPERLINK(\"http://evil\",\"x\")");
    closed.client_sends(&wire::close(Client, 1000, "=cmd|' /C calc'!A0\r\n\u{202e}"));
    closed.server_sends(&wire::close(Server, 1000, "-2+3")).fin(Server).fin(Client);
    let mut packets = [lost.packets(), closed.packets()].concat();
    packets.sort_by_key(|packet| packet.at_ns);
    let file = Pcap::default().write(&Packaging::default().apply(&packets));
    std::fs::write(folder.path().join("server.pcap"), file).unwrap();
    folder
}

/// What the JSON report holds at `field`, as a cell would show it before it is made harmless.
fn at(connection: &Value, field: &str) -> Option<String> {
    let shown = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    if let Some((list, member)) = field.split_once("[].") {
        let all: Vec<_> =
            connection[list].as_array()?.iter().filter_map(|item| shown(&item[member])).collect();
        return Some(all.join(", "));
    }
    let found = field.split('.').fold(connection, |value, name| &value[name]);
    match found {
        Value::Array(items) => Some(items.iter().filter_map(shown).collect::<Vec<_>>().join(", ")),
        other => shown(other),
    }
}

#[test]
fn every_cell_of_csv_is_the_field_of_the_json_report_made_harmless() {
    let folder = folder();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/chromium-closes");
    let own = run::capture_files(&fixtures)
        .iter()
        .map(|file| file.to_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    let inputs: Vec<&str> = own.iter().map(String::as_str).chain(["server.pcap"]).collect();
    let json = text(wsclose(&[&["--format", "json"], &inputs[..]].concat(), folder.path()));
    let json: Value = serde_json::from_str(&json).unwrap();
    let table = text(wsclose(&[&["--format", "csv"], &inputs[..]].concat(), folder.path()));
    assert!(table.lines().count() > 10 && table.ends_with("\r\n"));
    assert_eq!(table.matches('\n').count(), table.matches("\r\n").count(), "no bare line feed");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let names: Vec<String> = rows.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names, COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>());
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    let connections = json["connections"].as_array().unwrap();
    assert_eq!(rows.len(), connections.len());
    for (row, connection) in rows.iter().zip(connections) {
        for (column, cell) in COLUMNS.iter().zip(row) {
            let expected = at(connection, column.field).unwrap_or_default();
            let same = match column.kind {
                Kind::Real if !expected.is_empty() => cell.parse::<f64>() == expected.parse::<f64>(),
                Kind::Text => cell.trim_start_matches('\'') == wsclose::report::escape::terminal(&expected),
                _ => cell == expected,
            };
            assert!(same, "{}: {cell:?}, not {expected:?}", column.name);
        }
    }
    let cells = || rows.iter().flatten().filter(|cell| !cell.is_empty());
    assert!(
        cells()
            .all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !cell.contains(['\r', '\n']))
    );
    assert!(cells().any(|cell| cell.starts_with("'=cmd|")) && cells().any(|cell| cell == "'-2+3"));
}

#[test]
fn the_page_lists_every_column_with_its_field() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tables.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, _) = page.split_once("## Columns\n").expect("a heading");
    let row = |column: &wsclose::report::columns::Column| {
        let kind = match column.kind {
            Kind::Text => "text",
            Kind::Integer => "whole number",
            Kind::Real => "number",
            Kind::Flag => "true or false",
            Kind::Time => "time",
        };
        format!("| `{}` | {kind} | `{}` |\n", column.name, column.field)
    };
    let rows: String = COLUMNS.iter().map(row).collect();
    let expected = format!(
        "{before}## Columns\n\nWhat each holds stands in [report-format.md](report-format.md). This list is written by a test\n\
         (`UPDATE=1 cargo test --locked --test it tables`).\n\n| column | holds | field of the JSON report |\n|---|---|---|\n{rows}"
    );
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == expected,
        "docs/tables.md is stale: see its last lines"
    );
}

#[test]
fn runs_behind_each_other_in_one_file_add_up_as_if_each_had_its_own() {
    let folder = folder();
    text(wsclose(&["--format", "ndjson", "server.pcap", "-o", "one.ndjson"], folder.path()));
    let one = std::fs::read_to_string(folder.path().join("one.ndjson")).unwrap();
    let merged = |name: &str| {
        let output = wsclose(&["merge", "--format", "json", name], folder.path());
        let report: Report<'static> =
            serde_json::from_slice::<Value>(&output.stdout).and_then(serde_json::from_value).unwrap();
        (output.status.code(), report)
    };
    let alone = merged("one.ndjson").1;
    // The second run was killed within its last line.
    for (name, before, whole) in
        [("whole", one.clone(), true), ("cut", format!("{}\n", &one[..one.len() - 9]), false)]
    {
        std::fs::write(folder.path().join(name), before + &one).unwrap();
        let (status, report) = merged(name);
        assert_eq!(status, Some(i32::from(!whole)), "{name}");
        assert_eq!(report.connections.iter().map(|it| it.id).collect::<Vec<_>>(), [1, 2, 3, 4], "{name}");
        assert_eq!(report.summary.connections, 2 * alone.summary.connections, "{name}");
        let runs = if whole { 2 } else { 1 };
        assert_eq!(report.inputs.len(), runs, "{name}");
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        assert_eq!(sum(&report.anomalies), runs as u64 * sum(&alone.anomalies), "{name}");
        let ids =
            |report: &Report<'_>| report.summary.findings.iter().flat_map(|it| it.connections.clone()).max();
        assert_eq!(ids(&report), ids(&alone).map(|id| id + 2), "{name}");
    }
    std::fs::write(folder.path().join("bad"), format!("{{\"type\":\"con\n{}", one.lines().nth(1).unwrap()))
        .unwrap();
    assert_eq!(
        wsclose(&["merge", "bad"], folder.path()).status.code(),
        Some(2),
        "only a run may follow a cut line"
    );
}

#[test]
fn merged_reports_count_what_each_counted_and_number_it_anew() {
    let folder = folder();
    for (format, name) in [("json", "a.json"), ("ndjson", "b.ndjson")] {
        text(wsclose(&["--format", format, "server.pcap", "-o", name], folder.path()));
    }
    let merged = text(wsclose(&["merge", "--format", "json", "a.json", "b.ndjson", "a.json"], folder.path()));
    let merged: Report<'static> =
        serde_json::from_str::<Value>(&merged).and_then(serde_json::from_value).unwrap();
    let one = std::fs::read_to_string(folder.path().join("a.json")).unwrap();
    let one: Report<'static> = serde_json::from_str::<Value>(&one).and_then(serde_json::from_value).unwrap();
    assert_eq!(merged.connections.iter().map(|it| it.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let thrice = |counts: &BTreeMap<String, u64>| {
        counts.iter().map(|(k, n)| (k.clone(), 3 * n)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(merged.summary.by_label, thrice(&one.summary.by_label));
    assert_eq!(merged.summary.by_cause, thrice(&one.summary.by_cause));
    assert_eq!(merged.summary.by_closed_by, thrice(&one.summary.by_closed_by));
    assert_eq!(merged.anomalies, thrice(&one.anomalies));
    assert_eq!((merged.summary.connections, merged.inputs.len()), (6, 3));
    assert!(!one.summary.findings.is_empty());
    for (finding, of_one) in merged.summary.findings.iter().zip(&one.summary.findings) {
        assert_eq!(finding.count, 3 * of_one.count);
        let ids: Vec<_> =
            (0..3).flat_map(|turn| of_one.connections.iter().map(move |id| id + 2 * turn)).collect();
        assert_eq!(finding.connections, ids);
    }
    let people = text(wsclose(&["merge", "a.json", "b.ndjson"], folder.path()));
    assert!(people.starts_with("4 WebSocket connections in 2 files"), "{people}");
    assert_eq!(text(wsclose(&["merge", "--format", "csv", "a.json"], folder.path())).lines().count(), 3);
}

#[test]
fn an_end_that_was_taken_back_is_not_merged() {
    let folder = folder();
    let lines = text(wsclose(&["--format", "ndjson", "server.pcap"], folder.path()));
    let revised = "{\"type\":\"revised\",\"id\":1,\"label\":\"1006\",\"at\":\"2026-11-22T00:00:00Z\",\"packet\":9}\n{\"type\":\"summary\"";
    let live = lines.replace("{\"type\":\"summary\"", revised);
    assert_ne!(live, lines);
    std::fs::write(folder.path().join("live.ndjson"), live).unwrap();
    let merged = text(wsclose(&["merge", "--format", "csv", "live.ndjson"], folder.path()));
    assert_eq!(merged.lines().count(), 2, "{merged}");
}

#[test]
fn a_report_cut_short_is_merged_as_far_as_it_goes_and_others_are_refused() {
    let folder = folder();
    let lines = text(wsclose(&["--format", "ndjson", "server.pcap"], folder.path()));
    let cut = lines.rfind("{\"type\":\"summary\"").unwrap() + 30;
    std::fs::write(folder.path().join("cut.ndjson"), &lines[..cut]).unwrap();
    std::fs::write(folder.path().join("other.json"), "{\"schema\": \"other/1\"}").unwrap();
    let outcome = wsclose(&["merge", "cut.ndjson"], folder.path());
    assert_eq!(outcome.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("cut short"));
    assert!(String::from_utf8_lossy(&outcome.stdout).starts_with("2 WebSocket connections"));
    for name in ["other.json", "server.pcap", "missing"] {
        let outcome = wsclose(&["merge", name], folder.path());
        assert_eq!(outcome.status.code(), Some(2), "{name}");
        assert!(String::from_utf8_lossy(&outcome.stderr).contains(name));
    }
    let outcome = wsclose(&["merge", "cut.ndjson", "-o", "cut.ndjson"], folder.path());
    assert_eq!(outcome.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(folder.path().join("cut.ndjson")).unwrap(), lines[..cut]);
}

/// The `sh` blocks of docs/tables.md.
fn commands() -> Vec<String> {
    let page = include_str!("../../docs/tables.md");
    page.split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// Python with DuckDB and pandas: that of `make test-tables`, where it has been made.
fn notebook_python() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let folder = target.join("notebook-venv/bin");
    folder.join("python3").is_file().then_some(folder)
}

#[test]
fn every_command_of_the_page_runs() {
    let is_required = std::env::var_os("WSCLOSE_REQUIRE_TOOLS").is_some();
    let python = notebook_python();
    let program = Path::new(env!("CARGO_BIN_EXE_wsclose")).parent().unwrap();
    let mut path: Vec<PathBuf> = vec![program.to_owned()];
    path.extend(python.clone());
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let has = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    let commands = commands();
    assert!(commands.len() >= 7, "{}", commands.len());
    for command in commands {
        let lacks = [
            ("jq", command.contains("jq ") && !has("jq")),
            ("python3 with duckdb and pandas", command.contains("python3") && python.is_none()),
            ("the feature `parquet`", command.contains("--format parquet") && !cfg!(feature = "parquet")),
        ];
        if let Some((tool, _)) = lacks.iter().find(|(_, lacks)| *lacks) {
            assert!(!is_required, "{tool} is missing (`make test-tables` installs it)");
            eprintln!("SKIPPED: {tool} is missing (`make test-tables` installs it):\n{command}");
            continue;
        }
        let folder = folder();
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &command]).current_dir(folder.path());
        let output = shell.env("PATH", std::env::join_paths(&path).unwrap()).output().expect("bash runs");
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            ["1006", "rst", "10.0.0.9", "4", "abnormal"].iter().any(|it| shown.contains(it)),
            "{command}\n{shown}"
        );
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_the_cells_of_csv() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    let shown = |field: &Field| match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bool(flag) => flag.to_string(),
        Field::Long(number) => number.to_string(),
        Field::Double(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let capture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/router-any/ws--websockets.any.pcap");
    let capture = capture.to_str().unwrap();
    for (format, name) in [("csv", "a.csv"), ("parquet", "a.parquet")] {
        text(wsclose(&["--format", format, capture, "-o", name], folder.path()));
    }
    let file = std::fs::File::open(folder.path().join("a.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let mut rows = csv::Reader::from_path(folder.path().join("a.csv")).unwrap();
    let mut compared = 0;
    for (cells, row) in rows.records().zip(reader.get_row_iter(None).unwrap()) {
        let (cells, row) = (cells.unwrap(), row.unwrap());
        for ((cell, (_, field)), column) in cells.iter().zip(row.get_column_iter()).zip(COLUMNS) {
            match (column.kind, field) {
                (Kind::Time, Field::Long(nanos)) => {
                    assert_eq!(cell, wsclose::time::Timestamp::from_nanos(*nanos).to_rfc3339());
                }
                (Kind::Time, other) => panic!("{other:?}"),
                _ => assert_eq!(cell, shown(field), "{}", column.name),
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 4 * COLUMNS.len());
}
