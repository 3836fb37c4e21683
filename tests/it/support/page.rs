//! The HTML report of some fixtures, taken apart.

use super::{program, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wsclose::report::model::Report;

pub fn wsclose(format: &str, inputs: &[PathBuf]) -> String {
    let output = program::output(program::command().args(["--format", format]).args(inputs));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub fn scenarios(names: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures");
    names.iter().flat_map(|name| run::capture_files(&root.join(name))).collect()
}

/// The page and the JSON report of the same captures.
pub fn both(inputs: &[PathBuf]) -> (String, Report<'static>) {
    let json: serde_json::Value = serde_json::from_str(&wsclose("json", inputs)).unwrap();
    (wsclose("html", inputs), serde_json::from_value(json).unwrap())
}

/// What stands between `start` and `end`.
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let at = text.find(start).unwrap_or_else(|| panic!("{start} is on the page")) + start.len();
    let rest = &text[at..];
    &rest[..rest.find(end).expect("an end")]
}

/// The numbers under a picture: each row's name, with its cells.
pub fn numbers(page: &str, figure: &str) -> Vec<(String, Vec<u64>)> {
    let table = between(page, &format!("<table data-figure=\"{figure}\">"), "</table>");
    let body = table.split("<tbody>").nth(1).expect("a body");
    let row = |row: &str| {
        let name = between(row, "<th scope=\"row\">", "</th>").to_owned();
        let cells = row.split("<td>").skip(1).map(|cell| cell.split('<').next().unwrap().parse().unwrap());
        (name, cells.collect())
    };
    body.split("<tr>").skip(1).map(row).collect()
}

pub fn list(page: &str, name: &str) -> BTreeMap<String, u64> {
    let items = between(page, &format!("data-list=\"{name}\">"), "</ul>");
    let item = |item: &str| {
        let (name, count) = item.split_once(" <strong>").expect("a count");
        (name.to_owned(), count.split('<').next().unwrap().parse().unwrap())
    };
    items.split("<li>").skip(1).map(item).collect()
}
