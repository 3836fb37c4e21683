//! The rules of the house that no compiler checks: which module may use which, and who may touch the outside world.
//!
//! The order of the `mod` lines in `src/lib.rs` is the order of the layers. A file may name only modules that stand
//! above its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A rule broken, as `file:line: what`.
type Violation = String;

/// Names of the outside world, which only `capture/` and `bin/` may use.
const OUTSIDE_WORLD: &[&str] = &[
    "std::fs",
    "fs::File",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "thread::spawn",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant::now",
    "std::time::Instant",
    "io::stdout",
    "io::stderr",
    "io::stdin",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
];
/// Lines of code a function may have.
const FUNCTION_LINES: usize = 60;
/// Lines that a file may have before its tests.
const FILE_LINES: usize = 600;

/// One source file of the library, by its path below `src/`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module of `lib.rs` that it belongs to; `None` for `lib.rs` itself.
    fn layer(&self) -> Option<&str> {
        let first = self.path.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib").then_some(name)
    }

    /// How many modules deep it lies: 1 for `side.rs` and `capture/mod.rs`, 2 for `capture/file.rs`.
    fn depth(&self) -> usize {
        self.path.split('/').filter(|part| *part != "mod.rs").count()
    }

    /// Its lines of code, with their numbers: comments blanked.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, without_comment(line)))
    }

    /// Is it a module of tests, `tests.rs` or a file in `tests/`?
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// The same, up to its inline module of tests.
    fn code_before_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = if self.is_test() { 0 } else { self.text.lines().count() };
        let lines: Vec<&str> = self.text.lines().collect();
        let is_start = |pair: &[&str]| {
            pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        let end = lines.windows(2).position(is_start).unwrap_or(all).min(all);
        self.code().take(end)
    }

    fn violation(&self, line: usize, what: &str) -> Violation {
        format!("src/{}:{line}: {what}", self.path)
    }
}

fn without_comment(line: &str) -> &str {
    let end = line
        .match_indices("//")
        .map(|(at, _)| at)
        .find(|at| line[..*at].matches('"').count().is_multiple_of(2))
        .unwrap_or(line.len());
    &line[..end]
}

/// The library's files; `src/bin` is another crate.
fn library() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        if path.is_dir() {
            if name != "bin" {
                collect(root, &path, sources);
            }
        } else if name.ends_with(".rs") {
            sources.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

/// The modules in the order of their `mod` lines.
fn layers(sources: &[Source]) -> Vec<String> {
    let lib = sources.iter().find(|source| source.path == "lib.rs").unwrap();
    lib.code()
        .filter_map(|(_, line)| {
            let line = line.trim();
            let declared = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?;
            Some(declared.strip_suffix(';')?.to_owned())
        })
        .collect()
}

/// The top modules that a file names, with the lines where it does: `crate::a`, `crate::{a::B, c}`, and `super::a`
/// where it climbs to the top.
fn named_modules(source: &Source) -> Vec<(usize, String)> {
    let text: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
    let mut named = Vec::new();
    let climb = "super::".repeat(source.depth());
    for prefix in ["crate::", climb.as_str()] {
        for (at, _) in text.match_indices(prefix) {
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if is_word(before) || before == ':' || before == '$' {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            named.extend(first_names(&text[at + prefix.len()..]).into_iter().map(|name| (line, name)));
        }
    }
    named
}

/// `a::B` has the first name `a`; `{a::{B, C}, d::E}` has `a` and `d`.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| is_word(*c)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut depth, mut names, mut start) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ if start && is_word(c) => {
                names.push(word(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn imports_point_upward(sources: &[Source]) -> Vec<Violation> {
    let layers = layers(sources);
    let height = |name: &str| layers.iter().position(|layer| layer == name);
    let mut violations = Vec::new();
    for source in sources {
        let Some(own) = source.layer() else { continue };
        let Some(own_height) = height(own) else {
            violations.push(source.violation(1, &format!("lib.rs has no line `mod {own};`")));
            continue;
        };
        for (line, named) in named_modules(source) {
            if height(&named).is_some_and(|named_height| named_height > own_height) {
                violations
                    .push(source.violation(line, &format!("{own} uses {named}, which stands below it")));
            }
        }
    }
    violations
}

/// Does `line` hold `name` as a word or path of its own, not as the end of a longer one?
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        !is_word(before) && before != ':'
    })
}

/// Who may name `name`: the files in `allowed`.
fn only_in(sources: &[Source], name: &str, allowed: &[&str]) -> Vec<Violation> {
    let others = sources.iter().filter(|source| !allowed.contains(&source.path.as_str()));
    others
        .flat_map(|source| {
            let lines = source.code().filter(|(_, line)| names(line, name));
            lines.map(|(line, _)| source.violation(line, &format!("names {name}"))).collect::<Vec<_>>()
        })
        .collect()
}

fn no_outside_world(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.layer() != Some("capture")) {
        for (line, code) in source.code_before_tests() {
            // `use std::{fs, io};` reads as `std::fs std::io`.
            let grouped = code.split_once("std::{").map(|(_, group)| first_names(&format!("{{{group}")));
            let spelt_out: String = grouped.iter().flatten().map(|name| format!(" std::{name}")).collect();
            let code = format!("{code}{spelt_out}");
            let named = OUTSIDE_WORLD.iter().filter(|name| names(&code, name));
            violations.extend(named.map(|name| source.violation(line, &format!("uses {name}"))));
        }
    }
    violations
}

/// Functions of more than [`FUNCTION_LINES`] lines of code. It relies on rustfmt: a function ends at the first `}` that
/// is indented as its `fn` is.
fn long_functions(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        let mut open: Option<(usize, usize, usize)> = None;
        for (line, code) in source.code_before_tests() {
            let indent = code.len() - code.trim_start().len();
            match &mut open {
                None if starts_function(code) && !code.trim_end().ends_with('}') => {
                    open = Some((line, indent, 1))
                }
                None => {}
                Some((start, outer, length)) => {
                    *length += usize::from(!code.trim().is_empty());
                    if code.trim_end() == format!("{:outer$}}}", "", outer = *outer) {
                        if *length > FUNCTION_LINES {
                            violations
                                .push(source.violation(*start, &format!("a function of {length} lines")));
                        }
                        open = None;
                    } else if indent == *outer && code.trim_end().ends_with(';') {
                        open = None; // a trait's method without a body
                    }
                }
            }
        }
    }
    violations
}

fn starts_function(code: &str) -> bool {
    let mut words = code.split_whitespace();
    words.find(|word| !matches!(*word, "pub" | "const" | "async" | "pub(crate)" | "pub(super)")) == Some("fn")
        && !code.trim_end().ends_with(';')
}

fn long_files(sources: &[Source]) -> Vec<Violation> {
    sources
        .iter()
        .map(|source| (source, source.code_before_tests().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(source, lines)| source.violation(1, &format!("{lines} lines before its tests")))
        .collect()
}

#[track_caller]
fn none(violations: &[Violation]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn the_library_s_imports_point_upward() {
    none(&imports_point_upward(&library()));
}

#[test]
fn only_time_names_chrono() {
    none(&only_in(&library(), "chrono", &["time.rs"]));
}

#[test]
fn only_live_capture_and_filters_name_libpcap() {
    none(&only_in(&library(), "pcap::", &["capture/live.rs", "capture/live/device.rs", "capture/filter.rs"]));
}

#[test]
fn the_outside_world_is_left_to_capture_and_the_binary() {
    none(&no_outside_world(&library()));
}

#[test]
fn functions_are_short() {
    none(&long_functions(&library()));
}

#[test]
fn files_are_a_few_hundred_lines() {
    none(&long_files(&library()));
}

// -- the checks themselves: each must find what is planted for it

/// A small library with one rule broken in `path`.
fn planted(path: &str, text: &str) -> Vec<Source> {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    vec![
        source("lib.rs", "pub mod time;\npub mod side;\npub mod capture;\nmod report;\n"),
        source("time.rs", "use chrono::DateTime;\n"),
        source(path, text),
    ]
}

#[test]
fn a_planted_downward_import_is_found() {
    for text in [
        "use crate::report::Model;\n",
        "use crate::{time::Timestamp, report::Model};\n",
        "use crate::{\n    time::{Timestamp, A},\n    report,\n};\n",
        "use super::report::Model;\n",
        "fn f() -> crate::report::Model {\n    crate::time::now()\n}\n",
    ] {
        let violations = imports_point_upward(&planted("side.rs", text));
        assert_eq!(violations.len(), 1, "{text}: {violations:?}");
        assert!(violations[0].ends_with("side uses report, which stands below it"), "{violations:?}");
    }
    let deep = imports_point_upward(&planted("capture/file.rs", "\nuse super::super::report::X;\n"));
    assert_eq!(deep, ["src/capture/file.rs:2: capture uses report, which stands below it"]);
}

#[test]
fn upward_imports_comments_and_own_modules_are_no_violation() {
    for text in [
        "use crate::time::Timestamp;\n",
        "use crate::side::Side;\n",
        "/// See [`crate::report::Model`].\n",
        "macro_rules! m { () => { $crate::report::X } }\n",
    ] {
        none(&imports_point_upward(&planted("side.rs", text)));
    }
    none(&imports_point_upward(&planted("capture/file.rs", "use super::report::X;\n")));
}

#[test]
fn a_planted_module_outside_of_lib_is_found() {
    let violations = imports_point_upward(&planted("stray/mod.rs", ""));
    assert_eq!(violations, ["src/stray/mod.rs:1: lib.rs has no line `mod stray;`"]);
}

#[test]
fn planted_foreign_names_are_found() {
    let chrono = planted("side.rs", "fn f() {\n    chrono::Utc::now();\n}\n");
    assert_eq!(only_in(&chrono, "chrono", &["time.rs"]), ["src/side.rs:2: names chrono"]);
    let pcap =
        planted("capture/file.rs", "use pcap::Capture;\nuse pcap_parser::Block;\nuse super::pcap::X;\n");
    assert_eq!(only_in(&pcap, "pcap::", &["capture/live.rs"]), ["src/capture/file.rs:1: names pcap::"]);
}

#[test]
fn planted_uses_of_the_outside_world_are_found() {
    let found: BTreeSet<Violation> = no_outside_world(&planted(
        "report/text.rs",
        "use std::fs::File;\nfn f() {\n    println!(\"x\");\n    let t = SystemTime::now();\n}\n",
    ))
    .into_iter()
    .collect();
    let expected = ["src/report/text.rs:1: uses std::fs", "src/report/text.rs:3: uses println!"];
    assert!(expected.iter().all(|violation| found.contains(*violation)), "{found:?}");
    assert!(found.contains("src/report/text.rs:4: uses SystemTime"), "{found:?}");
    let grouped = no_outside_world(&planted("side.rs", "use std::{fmt, thread};\n"));
    assert_eq!(grouped, ["src/side.rs:1: uses std::thread"]);
    none(&no_outside_world(&planted("capture/file.rs", "use std::fs::File;\n")));
    none(&no_outside_world(&planted("side.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n")));
    let declared = planted("side.rs", "#[cfg(test)]\nmod tests;\nuse std::fs;\n");
    assert_eq!(no_outside_world(&declared), ["src/side.rs:3: uses std::fs"]);
    none(&no_outside_world(&planted("side/tests.rs", "use std::fs;\n")));
}

#[test]
fn a_planted_long_function_is_found() {
    let body = "        work();\n".repeat(FUNCTION_LINES - 1);
    let text =
        |body: &str| format!("impl A {{\n    pub const fn f(\n        &self,\n    ) {{\n{body}    }}\n}}\n");
    assert_eq!(long_functions(&planted("side.rs", &text(&body))), ["src/side.rs:2: a function of 63 lines"]);
    none(&long_functions(&planted("side.rs", &text("        work();\n\n        // why\n"))));
    let declared = "trait A {\n    fn f(\n        &self,\n    );\n".to_owned()
        + &"    const B: u8;\n".repeat(FUNCTION_LINES)
        + "}\n";
    none(&long_functions(&planted("side.rs", &declared)));
}

#[test]
fn a_planted_long_file_is_found() {
    let text = "const A: u8 = 0;\n".repeat(FILE_LINES + 1);
    assert_eq!(long_files(&planted("side.rs", &text)), ["src/side.rs:1: 601 lines before its tests"]);
}
