//! The stacks of VLANs and tunnels that packets come in, and their short names.

use super::segment::EncapsulationId;
use crate::work;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::fmt;

/// Most wrappings with an identity in one packet; `Limits::encapsulation_depth` can only be lower in effect.
pub const PATH_MAX: usize = 16;

/// The kind of one wrapping.
///
/// What belongs to the identity of a connection is what both its directions share. A VLAN ID, a backbone service (802.1ah), a PPPoE session,
/// a VXLAN or GENEVE network identifier and a GRE key are normally equal both ways, so they count. A GTP-U tunnel
/// endpoint identifier and a PPTP call ID belong to the receiver (3GPP TS 29.281 §5.1, RFC 2637 §4.1) and differ
/// by direction, so only the kind counts. MPLS does not count at all: labels differ by direction, and the last hop
/// before an edge router pops them (RFC 3031 §3.16), so that one direction of a link may have no label. ERSPAN
/// does not either: it carries copies and is no network. The outer addresses never count: they are swapped, and
/// may be others altogether, on the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    #[default]
    Vlan,
    Pbb,
    Pppoe,
    Vxlan,
    Geneve,
    Gre,
    GreKey,
    Nvgre,
    Pptp,
    Gtp,
    Ipip,
    EtherIp,
}

/// One wrapping: its kind, and the number that tells it from its like (0 where the kind has none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wrapping {
    pub(super) kind: Kind,
    pub(super) id: u32,
}

impl fmt::Display for Wrapping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match self.kind {
            Kind::Vlan => write!(out, "vlan {id}"),
            Kind::Pbb => write!(out, "pbb {id}"),
            Kind::Pppoe => write!(out, "pppoe {id}"),
            Kind::Vxlan => write!(out, "vxlan {id}"),
            Kind::Geneve => write!(out, "geneve {id}"),
            Kind::Gre => write!(out, "gre"),
            Kind::GreKey => write!(out, "gre key {id}"),
            Kind::Nvgre => write!(out, "nvgre {id}"),
            Kind::Pptp => write!(out, "pptp"),
            Kind::Gtp => write!(out, "gtp-u"),
            Kind::Ipip => write!(out, "ip-in-ip"),
            Kind::EtherIp => write!(out, "etherip"),
        }
    }
}

/// The wrappings of one packet, outermost first. Fixed in size, so that it costs no allocation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    wrappings: [Wrapping; PATH_MAX],
    len: usize,
}

impl Path {
    /// Adds the next inner wrapping; false if there is no room.
    pub(super) fn push(&mut self, wrapping: Wrapping) -> bool {
        let Some(slot) = self.wrappings.get_mut(self.len) else { return false };
        *slot = wrapping;
        self.len += 1;
        true
    }

    pub(super) fn as_slice(&self) -> &[Wrapping] {
        self.wrappings.get(..self.len).unwrap_or_default()
    }
}

/// Gives each distinct path a number. Bounded; paths beyond the bound share one number.
#[derive(Debug)]
pub(super) struct Interner {
    ids: HashMap<Box<[Wrapping]>, u32, RandomState>,
    /// `names[id - 1]` is the path of `id`.
    names: Vec<Box<[Wrapping]>>,
    /// The last answer: neighbouring packets mostly share their path.
    last: EncapsulationId,
    cap: usize,
}

impl Interner {
    /// The identity that all paths beyond the bound share.
    pub(super) const OVERFLOW: EncapsulationId = EncapsulationId(u32::MAX >> 1);

    pub(super) fn new(cap: usize) -> Self {
        Interner { ids: HashMap::default(), names: Vec::new(), last: EncapsulationId::default(), cap }
    }

    /// The number of `path`; [`Self::OVERFLOW`] if it is new and there is no room.
    pub(super) fn intern(&mut self, path: &[Wrapping]) -> EncapsulationId {
        if path.is_empty() {
            return EncapsulationId::default();
        }
        if self.path(self.last) == Some(path) {
            return self.last;
        }
        work::step();
        let known = self.ids.get(path).copied();
        let Some(id) = known.or_else(|| self.add(path)) else { return Self::OVERFLOW };
        self.last = EncapsulationId(id);
        self.last
    }

    fn add(&mut self, path: &[Wrapping]) -> Option<u32> {
        if self.names.len() >= self.cap {
            return None;
        }
        let id = u32::try_from(self.names.len()).ok()?.checked_add(1).filter(|id| *id != u32::MAX)?;
        self.names.push(path.into());
        self.ids.insert(path.into(), id);
        Some(id)
    }

    /// The wrappings of `id` in words, outermost first; none for the plain network.
    pub(super) fn names(&self, id: EncapsulationId) -> Vec<String> {
        if id == Self::OVERFLOW {
            return vec!["other".to_owned()];
        }
        self.path(id).unwrap_or_default().iter().map(Wrapping::to_string).collect()
    }

    fn path(&self, id: EncapsulationId) -> Option<&[Wrapping]> {
        let index = usize::try_from(id.0.checked_sub(1)?).ok()?;
        self.names.get(index).map(|path| &**path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vlan(id: u32) -> Wrapping {
        Wrapping { kind: Kind::Vlan, id }
    }

    #[test]
    fn equal_paths_share_an_id_and_no_path_is_zero() {
        let mut interner = Interner::new(8);
        assert_eq!(interner.intern(&[]), EncapsulationId(0));
        let first = interner.intern(&[vlan(7)]);
        let second = interner.intern(&[vlan(7), vlan(8)]);
        assert_ne!(first, second);
        assert_eq!(interner.intern(&[vlan(7)]), first);
        assert_eq!(interner.names(second), ["vlan 7", "vlan 8"]);
        assert!(interner.names(EncapsulationId(0)).is_empty());
    }

    #[test]
    fn paths_beyond_the_limit_share_one_identity() {
        let mut interner = Interner::new(1);
        let known = interner.intern(&[vlan(1)]);
        assert_eq!(interner.intern(&[vlan(2)]), Interner::OVERFLOW);
        assert_eq!(interner.intern(&[vlan(3)]), Interner::OVERFLOW);
        assert_eq!(interner.intern(&[vlan(1)]), known);
        assert_eq!(interner.names(Interner::OVERFLOW), ["other"]);
    }
}
