//! Do the close codes survive when packets overtake each other? Counted for wsclose and for tshark.

use crate::peers;
use crate::rng::Rng;
use crate::workload::Labels;
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

/// One program's answer beside the truth.
#[derive(Debug)]
pub struct Row {
    pub program: &'static str,
    /// Connections given the code of their own first Close.
    pub right: u64,
    /// Connections given a code that no Close of theirs carries.
    pub invented: u64,
    /// Connections whose first Close carries a code.
    pub truth: u64,
}

/// Compares the codes that programs find in a reordered copy of `file`, connection by connection.
pub fn compare(file: &Path, mut truth: Labels) -> io::Result<Vec<Row>> {
    let copy = file.with_extension("reordered.pcap");
    fs::write(&copy, reorder(&fs::read(file)?))?;
    truth.retain(|_, label| is_on_wire(label));
    let mut rows = Vec::new();
    if let Some(mut found) = peers::labels(&copy)? {
        found.retain(|_, label| is_on_wire(label));
        rows.push(Row::new("wsclose", &truth, &found));
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

impl Row {
    /// Every code found, and no other? wsclose's row comes first, and must be.
    pub fn is_right(&self) -> bool {
        self.program == "wsclose" && self.right == self.truth && self.invented == 0
    }

    fn new(program: &'static str, truth: &Labels, found: &Labels) -> Self {
        let right = found.iter().filter(|(pair, code)| truth.get(*pair) == Some(code)).count();
        let (invented, truth) = (found.len() - right, truth.len() as u64);
        Row { program, right: right as u64, invented: invented as u64, truth }
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
