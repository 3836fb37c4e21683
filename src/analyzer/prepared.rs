//! Decoding ahead: what needs no state of the analysis is done by the thread that reads.
//!
//! ```text
//!  reader's thread:   Block --Preparer--> Block, Prepared --+
//!  follower's thread:                                       +--> Follower::handle_prepared
//! ```

use crate::capture::Block;
use crate::decode::outline::Outline;
use crate::flow::table::FlowHasher;

/// Decodes blocks for a [`Follower`](super::Follower).
#[derive(Clone, Debug)]
pub struct Preparer(pub(super) FlowHasher);

/// What a [`Preparer`] found in a block. Recycled with it.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Packet by packet: its outline, and its key's hash; `None`: it is of another shape.
    pub(super) packets: Vec<Option<(Outline, u64)>>,
}

impl Preparer {
    /// Decodes the packets of `block`.
    pub fn prepare(&self, block: &Block, prepared: &mut Prepared) {
        prepared.packets.clear();
        prepared.packets.extend(block.packets.iter().map(|packet| {
            let outline = Outline::of(packet, block)?;
            Some((outline, self.0.hash(&outline.key)))
        }));
    }
}
