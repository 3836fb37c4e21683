//! The built program, run to its end. Whatever report it writes as JSON has to be what the schema says.

use crate::schema::assert_valid;
use std::path::PathBuf;
use std::process::{Command, Output};

/// What the program of this package is called with.
pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_wsclose"))
}

/// Runs it, and checks the reports on its standard output and in the file that `-o` names.
pub fn output(command: &mut Command) -> Output {
    let output = command.output().expect("wsclose runs");
    assert_reports(&output.stdout);
    let file = written(command).filter(|path| path.is_file());
    // Status 2: it wrote nothing, and what lies there was there before.
    if let Some(path) = file.filter(|_| output.status.code() != Some(2)) {
        assert_reports(&std::fs::read(path).expect("a file"));
    }
    output
}

fn written(command: &Command) -> Option<PathBuf> {
    let path = command.get_args().skip_while(|argument| *argument != "-o").nth(1)?;
    Some(command.get_current_dir().map(|folder| folder.join(path)).unwrap_or_else(|| path.into()))
}

/// Fails where `text` is JSON, and neither a report nor lines of one. Other formats pass.
fn assert_reports(text: &[u8]) {
    if text.starts_with(b"{\"type\":") {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .for_each(|line| assert_valid("Line", &serde_json::from_slice(line).expect("one object a line")));
    } else if text.starts_with(b"{") {
        assert_valid("Report", &serde_json::from_slice(text).expect("one object"));
    }
}

#[test]
fn a_report_that_lacks_a_field_is_noticed() {
    let begin = br#"{"type":"begin","schema":"wsclose.report/1","inputs":[]}"#;
    let report = br#"{"schema":"wsclose.report/1","connections":[]}"#;
    for text in [&begin[..], report] {
        assert!(std::panic::catch_unwind(|| assert_reports(text)).is_err());
    }
    assert_reports(b"1 WebSocket connection");
}

#[test]
fn the_file_of_a_report_is_checked_too() {
    let mut command = command();
    command.args(["--format", "json", "-o", "r.json", "a.pcap"]).current_dir("/folder");
    assert_eq!(written(&command), Some("/folder/r.json".into()));
    assert_eq!(written(super::program::command().arg("a.pcap")), None);
}
