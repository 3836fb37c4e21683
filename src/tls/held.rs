//! Records that wait, until keys come or until a server has said whether it takes early data.

use super::record::Record;
use crate::work;

/// Records that wait, oldest first, within a cap on their memory.
///
/// The sum is carried along: a sender may make tens of thousands of records of nearly nothing, and it is asked for at
/// each packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    records: Vec<Record>,
    memory: usize,
}

impl Held {
    /// Adds a record; false: beyond `most` bytes, it is dropped.
    pub(super) fn push(&mut self, mut record: Record, most: usize) -> bool {
        // What it was put together in may be twice as long, depending on how it was cut.
        record.fragment.shrink_to_fit();
        let memory = self.memory.saturating_add(record.memory());
        let fits = memory <= most;
        if fits {
            work::step();
            self.memory = memory;
            self.records.push(record);
        }
        fits
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&Record> {
        self.records.first()
    }

    /// Takes all out.
    pub(super) fn take(&mut self) -> Vec<Record> {
        self.memory = 0;
        std::mem::take(&mut self.records)
    }

    /// Memory they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        work::step();
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::tcp::stream_event::Wire;
    use crate::tls::record::{ContentType, ProtocolVersion, RecordHeader};

    fn record(length: u16) -> Record {
        let header = RecordHeader {
            content_type: ContentType::APPLICATION_DATA,
            version: ProtocolVersion::TLS_1_2,
            length,
        };
        let mut fragment = Vec::with_capacity(40_000);
        fragment.resize(usize::from(length), 7);
        let wire = Wire { end: 0, peer_acked: None };
        Record { header, at: Moment::default(), offset: 0, wire, fragment }
    }

    #[test]
    fn the_last_record_within_the_cap_is_held_and_the_next_one_is_not() {
        let each = size_of::<Record>() + 100;
        let mut held = Held::default();
        for count in 1..=3 {
            assert!(held.push(record(100), 3 * each));
            assert_eq!(held.memory(), count * each);
        }
        assert!(!held.push(record(0), 3 * each));
        assert_eq!((held.memory(), held.take().len(), held.memory()), (3 * each, 3, 0));
    }

    #[test]
    fn records_of_nothing_take_memory_too() {
        let mut held = Held::default();
        let fitting = (0..10_000).filter(|_| held.push(record(0), 64 << 10)).count();
        assert_eq!(fitting, (64 << 10) / size_of::<Record>());
    }
}
