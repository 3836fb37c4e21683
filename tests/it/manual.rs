//! `--help` of every command, the manual pages and the shells' scripts, as they stand in `tests/snapshots`.
//!
//! `UPDATE=1 cargo test --locked --test it manual` writes them anew; look at what changed.
#![cfg(all(feature = "live", not(feature = "parquet")))]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const COMMANDS: [&str; 11] = [
    "analyze",
    "live",
    "interfaces",
    "show",
    "explain",
    "inject-keys",
    "annotate",
    "merge",
    "completions",
    "man",
    "",
];
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

fn wsclose(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsclose"));
    // No terminal and no COLUMNS: the width is clap's own.
    command.args(arguments).stdin(Stdio::null()).env_remove("COLUMNS");
    let output = command.output().expect("wsclose runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Compares with the file, or writes it. Gives what is stale.
fn stale(name: &str, text: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    (fs::read_to_string(&path).ok().as_deref() != Some(text)).then(|| name.to_owned())
}

#[test]
fn help_manual_and_completions_are_as_they_were_looked_at() {
    let mut all = Vec::new();
    for command in COMMANDS {
        let name = if command.is_empty() { "wsclose" } else { command };
        let words: Vec<&str> = Some(command).filter(|it| !it.is_empty()).into_iter().collect();
        all.extend(stale(&format!("help/{name}.txt"), &wsclose(&[&words[..], &["--help"]].concat())));
        all.extend(stale(&format!("man/{name}.1"), &wsclose(&[&["man"], &words[..]].concat())));
    }
    for shell in SHELLS {
        all.extend(stale(&format!("completions/{shell}"), &wsclose(&["completions", shell])));
    }
    assert!(all.is_empty(), "look at them, then UPDATE=1: {all:?}");
}

#[test]
fn every_command_is_among_the_snapshots_and_has_examples() {
    let help = wsclose(&["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        assert!(COMMANDS.contains(&name), "{name}");
        let help = wsclose(&[name, "--help"]);
        assert!(help.contains("Examples:\n") || name == "interfaces", "{name}");
    }
    assert!(
        help.contains("Examples:\n")
            && help.contains("\nReport:\n")
            && help.contains("\nWhich connections:\n")
    );
}

#[test]
fn bash_takes_its_script_and_completes_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("wsclose.bash");
    fs::write(&script, wsclose(&["completions", "bash"])).unwrap();
    let ask = format!(
        "source '{}'; COMP_WORDS=(wsclose anno); COMP_CWORD=1; _wsclose wsclose anno wsclose; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "annotate");
}

#[test]
fn man_knows_no_other_command() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_wsclose")).args(["man", "nothing"]).output().expect("wsclose runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no command \"nothing\""));
}
