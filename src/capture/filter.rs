//! `--filter` on files: libpcap's expressions (pcap-filter(7)), compiled for each link type that is met.

use super::link_type::LinkType;
use super::{Block, CaptureError};
use pcap::{BpfProgram, Capture, Linktype};

/// Does `expression` choose packets by their size or their TCP header, so that it may let some of a connection's through and hide
/// others, as its acknowledgments or its short Close frames? One that chooses by hosts and ports does not.
#[must_use]
pub fn hides_parts(expression: &str) -> bool {
    let words = || expression.split(|letter: char| !letter.is_ascii_alphanumeric());
    let looks_into_tcp = expression.split('[').rev().skip(1).any(|before| before.trim_end().ends_with("tcp"));
    looks_into_tcp || words().any(|word| matches!(word, "less" | "greater" | "len"))
}

/// A filter expression, with one BPF program per link type.
pub struct PacketFilter {
    expression: String,
    programs: Vec<(LinkType, BpfProgram)>,
}

impl PacketFilter {
    /// A filter by `expression`. It is compiled when the first packet of a link type comes, since an expression may be
    /// valid for one and not for another (`wlan type mgt`).
    #[must_use]
    pub fn new(expression: &str) -> PacketFilter {
        PacketFilter { expression: expression.to_owned(), programs: Vec::new() }
    }

    /// Compiles the expression for `link_type`, if that has not been done: for finding errors early.
    ///
    /// # Errors
    /// [`CaptureError::Filter`]: it is not valid.
    pub fn compile(&mut self, link_type: LinkType) -> Result<(), CaptureError> {
        if self.programs.iter().any(|(known, _)| *known == link_type) {
            return Ok(());
        }
        let program = Capture::dead(Linktype(data_link_type(link_type)))
            .and_then(|capture| capture.compile(&self.expression, true))
            .map_err(|error| self.error(link_type, &error))?;
        self.programs.push((link_type, program));
        Ok(())
    }

    /// Does the expression hold for a packet's captured bytes? (`less` and `greater` see the captured length.)
    ///
    /// # Errors
    /// [`CaptureError::Filter`]: it is not valid for `link_type`.
    pub fn matches(&mut self, link_type: LinkType, packet: &[u8]) -> Result<bool, CaptureError> {
        self.compile(link_type)?;
        Ok(self.is_match(link_type, packet))
    }

    /// Removes the packets that don't match from `block`. The others keep their numbers.
    ///
    /// # Errors
    /// [`CaptureError::Filter`]: it is not valid for a packet's link type.
    pub fn retain(&mut self, block: &mut Block) -> Result<(), CaptureError> {
        for packet in &block.packets {
            self.compile(packet.link_type)?;
        }
        let mut packets = std::mem::take(&mut block.packets);
        packets.retain(|packet| self.is_match(packet.link_type, block.packet_bytes(packet)));
        block.packets = packets;
        Ok(())
    }

    fn is_match(&self, link_type: LinkType, packet: &[u8]) -> bool {
        self.programs
            .iter()
            .find(|(known, _)| *known == link_type)
            .is_some_and(|(_, program)| program.filter(packet))
    }

    fn error(&self, link_type: LinkType, error: &pcap::Error) -> CaptureError {
        CaptureError::Filter { expression: self.expression.clone(), link_type, reason: error.to_string() }
    }
}

/// The number libpcap uses in memory (`DLT_*`), which for raw IP differs from the one in files and between systems.
fn data_link_type(link_type: LinkType) -> i32 {
    let raw = if cfg!(target_os = "openbsd") { 14 } else { 12 };
    match link_type {
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => raw,
        other => i32::from(other.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TCP from 10.0.0.1:1000 to 10.0.0.2:80, as raw IPv4.
    const TCP_PORT_80: &[u8] = &[
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, // version, length, TTL, protocol
        10, 0, 0, 1, 10, 0, 0, 2, // addresses
        3, 232, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0, // ports and the rest
    ];

    fn ethernet() -> Vec<u8> {
        [&[0; 12][..], &[8, 0], TCP_PORT_80].concat()
    }

    #[test]
    fn filter_is_compiled_per_link_type() {
        let mut filter = PacketFilter::new("tcp port 80");
        assert!(filter.matches(LinkType::ETHERNET, &ethernet()).unwrap());
        assert!(filter.matches(LinkType::RAW, TCP_PORT_80).unwrap());
        assert!(!filter.matches(LinkType::ETHERNET, TCP_PORT_80).unwrap());
        assert!(!PacketFilter::new("udp").matches(LinkType::ETHERNET, &ethernet()).unwrap());
    }

    #[test]
    fn bad_expression_is_an_error_that_names_it() {
        let error = PacketFilter::new("tcp prot 80").compile(LinkType::ETHERNET).unwrap_err().to_string();
        assert!(error.contains("\"tcp prot 80\" is not valid for ETHERNET"), "{error}");
        assert!(error.contains("syntax error"), "{error}");
    }

    #[test]
    fn retain_keeps_the_numbers_of_what_matches() {
        let mut block = Block { bytes: [ethernet(), vec![0; 60]].concat(), ..Block::default() };
        for (packet, range) in [(1, 54..114), (2, 0..54)] {
            let at = crate::moment::Moment::new(crate::time::Timestamp::default(), packet, 0);
            let link_type = LinkType::ETHERNET;
            block.packets.push(super::super::PacketRef {
                at,
                link_type,
                fcs_len: 0,
                range,
                original_len: 60,
            });
        }
        PacketFilter::new("tcp dst port 80").retain(&mut block).unwrap();
        assert_eq!(block.packets.iter().map(|packet| packet.at.packet).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_filter_by_size_or_tcp_header_hides_parts_of_connections() {
        let hiding = [
            "tcp[tcpflags] & tcp-push != 0",
            "port 9001 and (tcp [13] = 2)",
            "tcp and greater 100",
            "less 64",
            "len > 100",
        ];
        assert!(hiding.into_iter().all(hides_parts));
        let whole = [
            "tcp port 9001",
            "host 10.0.0.1 and not port 22",
            "tcp port 9001 or (ip[6:2] & 0x1fff != 0)",
            "net 10.0.0.0/8",
            "",
        ];
        assert!(!whole.into_iter().any(hides_parts));
    }
}
