//! The captures read once more, for the packets of the worst connections: `--format html` draws them.

use crate::show::each_block_of;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use wsclose::analyzer::ladders::Ladders;
use wsclose::analyzer::record::ConnectionRecord;
use wsclose::limits::Limits;
use wsclose::report::html::{HtmlReport, Rung};
use wsclose::side::Side;
use wsclose::tls::keylog::KeyLog;

/// Connections whose packets are read again, and how many of each, the last ones.
const CONNECTIONS: usize = 50;
const PACKETS: usize = 30;

/// The records of the worst connections so far.
#[derive(Debug, Default)]
pub(crate) struct Worst {
    records: BTreeMap<u64, ConnectionRecord>,
}

impl Worst {
    /// Remembers `record`, which `report` lists as number `id`, if it is among the worst.
    pub(crate) fn note(&mut self, report: &HtmlReport, id: u64, record: &ConnectionRecord) {
        let worst = || report.worst(CONNECTIONS);
        if !worst().any(|of| of == id) {
            return;
        }
        self.records.insert(id, record.clone());
        if self.records.len() > 2 * CONNECTIONS {
            let worst: BTreeSet<u64> = worst().collect();
            self.records.retain(|id, _| worst.contains(id));
        }
    }

    /// Reads `files` again and hands `report` the packets; files that can't be read twice leave it as it is.
    pub(crate) fn draw(
        &mut self,
        report: &mut HtmlReport,
        files: &[PathBuf],
        keys: &KeyLog,
        limits: &Limits,
    ) -> Result<()> {
        let worst: BTreeSet<u64> = report.worst(CONNECTIONS).collect();
        let records = std::mem::take(&mut self.records).into_iter().filter(|(id, _)| worst.contains(id));
        if worst.is_empty() || !files.iter().all(|file| file.is_file()) {
            return Ok(());
        }
        let mut ladders = Ladders::new(records, PACKETS, keys, limits);
        each_block_of(files, limits, |block| ladders.handle_block(block))?;
        for (id, ladder) in ladders.into_ladders() {
            let (rungs, left_out) = ladder.rungs();
            let own_file = ladder.record().opened.file;
            let name =
                |file: u16| files.get(usize::from(file)).map(|path| path.to_string_lossy().into_owned());
            let rungs = rungs.map(|rung| Rung {
                at: rung.at.at,
                packet: rung.at.packet,
                file: Some(rung.at.file).filter(|file| *file != own_file).and_then(name),
                from_client: rung.from == Side::Client,
                leg: rung.leg,
                what: rung.what.clone(),
            });
            report.add_rungs(id, rungs.collect(), ladder.own_leg(), left_out);
        }
        Ok(())
    }
}
