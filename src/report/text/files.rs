//! Short names for several inputs: `3:client.pcap`.

use crate::report::escape::cell_end;
use std::collections::HashMap;

/// Columns of a file's name in a line.
const WIDTH: usize = 48;

/// How lines name each input; by nothing where there is but one.
#[derive(Debug, Default)]
pub(super) struct FileNames {
    names: HashMap<String, (usize, String)>,
}

impl FileNames {
    /// Names for inputs with these paths: their position, and what of the path tells them apart.
    pub(super) fn new(paths: &[String]) -> Self {
        let mut names = HashMap::new();
        if paths.len() > 1 {
            let common = common_folder(paths);
            for (path, number) in paths.iter().zip(1..) {
                let rest = path.get(common..).unwrap_or(path);
                let name = format!("{number}:{}", cell_end(rest, WIDTH));
                names.entry(path.clone()).or_insert((number, name));
            }
        }
        FileNames { names }
    }

    /// The name of the input with this path; empty where there is but one input.
    pub(super) fn name(&self, path: &str) -> &str {
        self.names.get(path).map_or("", |(_, name)| name.as_str())
    }

    /// ` of file 3`, as a verdict's reasons say it; empty where there is but one input.
    pub(super) fn reference(&self, path: &str) -> String {
        self.names.get(path).map_or_else(String::new, |(number, _)| format!(" of file {number}"))
    }
}

/// Length of the folders that all paths begin with.
fn common_folder(paths: &[String]) -> usize {
    let first = paths.first().map_or("", String::as_str);
    let ends = first.match_indices('/').map(|(at, _)| at + 1);
    let shared = |end: &usize| paths.iter().all(|path| path.get(..*end) == first.get(..*end));
    ends.take_while(shared).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_number_and_by_what_differs() {
        let paths = ["/var/cap/a/x.pcap".to_owned(), "/var/cap/b/x.pcap".to_owned()];
        let names = FileNames::new(&paths);
        assert_eq!(names.name(&paths[0]), "1:a/x.pcap");
        assert_eq!(names.name(&paths[1]), "2:b/x.pcap");
    }

    #[test]
    fn a_single_file_needs_no_name() {
        assert_eq!(FileNames::new(&["a.pcap".to_owned()]).name("a.pcap"), "");
    }

    #[test]
    fn a_hostile_file_name_is_escaped_and_cut_at_its_start() {
        let paths = ["\u{1b}[2J".to_owned(), format!("{}.pcap", "x".repeat(90))];
        let names = FileNames::new(&paths);
        assert_eq!(names.name(&paths[0]), "1:\\u{1b}[2J");
        assert_eq!(names.name(&paths[1]), format!("2:…{}.pcap", "x".repeat(42)));
    }
}
