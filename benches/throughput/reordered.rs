//! Do the close codes survive when packets overtake each other? Counted for wsclose and for tshark.

use crate::peers;
use crate::rng::Rng;
use crate::workload::Truth;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Packets in a thousand that arrive behind the next one of their sender.
const OVERTAKEN_PER_MILLE: u64 = 20;

/// A pcap file's header, and a record's.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Ethernet and IPv4: from the addresses on, with the ports, twelve bytes tell flow and direction.
const ADDRESSES: usize = RECORD_HEADER + 14 + 12;

/// Connections by the code of their first Close.
type Codes = BTreeMap<String, u64>;

/// One program's answer beside the truth.
#[derive(Debug)]
pub struct Row {
    pub program: &'static str,
    /// Connections given a code that as many connections really have.
    pub right: u64,
    /// Connections given a code that no Close in the capture carries.
    pub invented: u64,
    pub truth: u64,
}

/// Compares the codes that programs find in a reordered copy of `file`.
pub fn compare(file: &Path, truth: &Truth) -> io::Result<Vec<Row>> {
    let copy = file.with_extension("reordered.pcap");
    fs::write(&copy, reorder(&fs::read(file)?))?;
    let truth: Codes = truth.by_label.iter().filter(|(label, _)| is_on_wire(label)).map(own).collect();
    let mut rows = Vec::new();
    if let Some(found) = peers::labels(&copy)? {
        rows.push(Row::new(
            "wsclose",
            &truth,
            &found.into_iter().filter(|(label, _)| is_on_wire(label)).collect(),
        ));
    }
    for (program, in_order) in [("tshark", false), ("tshark -o tcp.reassemble_out_of_order:TRUE", true)] {
        if let Some(codes) = peers::tshark_codes(&copy, in_order)? {
            rows.push(Row::new(program, &truth, &codes));
        }
    }
    fs::remove_file(copy)?;
    Ok(rows)
}

/// Is it a code that a Close carries? (1005 and 1006 stand for the lack of one.)
fn is_on_wire(label: &str) -> bool {
    label.parse::<u16>().is_ok_and(|code| code != 1005 && code != 1006)
}

fn own((label, count): (&String, &u64)) -> (String, u64) {
    (label.clone(), *count)
}

impl Row {
    /// Every code found, and no other? wsclose's row comes first, and must be.
    pub fn is_right(&self) -> bool {
        self.program == "wsclose" && self.right == self.truth && self.invented == 0
    }

    fn new(program: &'static str, truth: &Codes, found: &Codes) -> Self {
        let right =
            found.iter().map(|(code, count)| truth.get(code).map_or(0, |real| *count.min(real))).sum();
        let invented =
            found.iter().filter(|(code, _)| !truth.contains_key(*code)).map(|(_, count)| count).sum();
        Row { program, right, invented, truth: truth.values().sum() }
    }
}

/// The same records, some of them behind the next one of their flow and direction; times stay in order.
fn reorder(capture: &[u8]) -> Vec<u8> {
    let (header, mut rest) = capture.split_at(FILE_HEADER);
    let mut records = Vec::new();
    while let Some(len) = rest.get(8..12) {
        let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize;
        let (record, after) = rest.split_at(RECORD_HEADER + len);
        records.push(record);
        rest = after;
    }
    let mut rng = Rng::new(2);
    let mut last: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut order: Vec<usize> = (0..records.len()).collect();
    for (index, record) in records.iter().enumerate() {
        let flow = &record[ADDRESSES..ADDRESSES + 12];
        match last.remove(flow) {
            Some(before) if rng.chance(OVERTAKEN_PER_MILLE) => order.swap(before, index),
            _ => {
                last.insert(flow, index);
            }
        }
    }
    let mut out = header.to_vec();
    for (place, index) in order.iter().enumerate() {
        out.extend_from_slice(&records[place][..8]);
        out.extend_from_slice(&records[*index][8..]);
    }
    out
}
