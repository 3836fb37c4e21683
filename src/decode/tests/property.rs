use super::*;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice, VlanId};
use proptest::collection::vec;
use proptest::prelude::*;

const LINK_TYPES: [u16; 18] =
    [0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 204, 228, 229, 276, 147, 239];

/// A TCP packet as etherparse writes it: Ethernet, up to two tags, either IP version.
fn built() -> impl Strategy<Value = Vec<u8>> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>(), any::<u16>());
    let flags = any::<[bool; 5]>();
    let tags = vec(1_u16..4095, 0..3);
    (numbers, flags, tags, any::<bool>(), any::<u8>(), 0_usize..11, vec(any::<u8>(), 0..80)).prop_map(
        |((from, to, seq, ack, window), flags, tags, v6, ttl, options, payload)| {
            let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let id = |id: &u16| VlanId::try_new(*id).unwrap();
            let mut header = etherparse::TcpHeader::new(from, to, seq, window);
            header.acknowledgment_number = ack;
            [header.ack, header.fin, header.syn, header.rst, header.psh] = flags;
            header.set_options_raw(&vec![1; options * 4]).unwrap();
            let mut bytes = Vec::new();
            macro_rules! write {
                ($link:expr) => {
                    if v6 {
                        let ip = $link.ipv6([1; 16], [2; 16], ttl);
                        ip.tcp_header(header).write(&mut bytes, &payload).unwrap();
                    } else {
                        let ip = $link.ipv4([1; 4], [2; 4], ttl);
                        ip.tcp_header(header).write(&mut bytes, &payload).unwrap();
                    }
                };
            }
            match tags.as_slice() {
                [] => write!(ethernet),
                [one] => write!(ethernet.single_vlan(id(one))),
                [one, two, ..] => write!(ethernet.double_vlan(id(one), id(two))),
            }
            bytes
        },
    )
}

/// Field by field what etherparse reads.
fn check_against_etherparse(found: &Segment<'_>, names: &[String], packet: &[u8]) {
    let sliced = SlicedPacket::from_ethernet(packet).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("etherparse sees no TCP") };
    let (source, destination, ttl, ip_id) = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let ip = ip.header();
            let id = Some(ip.identification());
            (ip.source_addr().into(), ip.destination_addr().into(), ip.ttl(), id)
        }
        Some(NetSlice::Ipv6(ip)) => {
            let ip = ip.header();
            (IpAddr::from(ip.source_addr()), ip.destination_addr().into(), ip.hop_limit(), None)
        }
        other => panic!("etherparse sees no IP: {other:?}"),
    };
    assert_eq!((found.source().address, found.source().port), (source, tcp.source_port()));
    assert_eq!(
        (found.destination().address, found.destination().port),
        (destination, tcp.destination_port())
    );
    assert_eq!((found.ttl, found.ip_id), (ttl, ip_id));
    assert_eq!(found.seq.0, tcp.sequence_number());
    assert_eq!(found.ack.map(|ack| ack.0), tcp.ack().then_some(tcp.acknowledgment_number()));
    assert_eq!(found.flags.0, tcp.slice()[13]);
    assert_eq!(found.window, tcp.window_size());
    assert_eq!((found.options, found.payload, found.missing), (tcp.options(), tcp.payload(), 0));
    let ids: Vec<_> = sliced.vlan_ids().iter().map(|id| format!("vlan {}", id.value())).collect();
    assert_eq!(names, ids);
}

proptest! {
    #[test]
    fn the_fast_path_and_etherparse_agree(packet in built()) {
        let mut decoder = decoder();
        let mut tags = super::super::fast::Tags::default();
        prop_assert!(super::super::fast::read(moment(0), LinkType::ETHERNET, &packet, &mut tags).is_some());
        let mut found = segment(decode(&mut decoder, LinkType::ETHERNET, &packet));
        let (options, payload) = (found.options.to_vec(), found.payload.to_vec());
        found = Segment { options: &options, payload: &payload, ..found };
        let names = decoder.encapsulation_names(found.encapsulation());
        check_against_etherparse(&found, &names, &packet);
    }

    /// The general path reads what the fast path reads, also when the packet is cut or damaged.
    #[test]
    fn the_two_paths_agree(
        mut packet in built(),
        held in 0_usize..200,
        damage in vec((0_usize..80, any::<u8>()), 0..3),
    ) {
        for (at, value) in damage {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
        }
        let wire = u32::try_from(packet.len()).unwrap();
        let bytes = &packet[..held.min(packet.len())];
        let mut tags = super::super::fast::Tags::default();
        if let Some(fast) = super::super::fast::read(moment(0), LinkType::ETHERNET, bytes, &mut tags) {
            let mut decoder = decoder();
            let general = decoder.decode_generally(moment(0), LinkType::ETHERNET, 0, bytes, wire);
            let general = segment(general);
            let id = general.encapsulation();
            prop_assert_eq!(Segment { key: fast.key.within(id), ..fast }, general);
            let tags: Vec<_> = tags.as_slice().iter().map(ToString::to_string).collect();
            prop_assert_eq!(decoder.encapsulation_names(id), tags);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), extra in 0_u32..100, fcs_len in any::<u8>()) {
        let mut decoder = decoder();
        for number in LINK_TYPES {
            let wire = u32::try_from(bytes.len()).unwrap() + extra;
            let _ = decoder.decode(moment(0), LinkType(number), fcs_len, &bytes, wire);
            let _ = decoder.decode(moment(0), LinkType(number), fcs_len, &bytes, extra);
        }
    }

    /// Random bytes seldom get past the first header: these begin with a valid one.
    #[test]
    fn random_bytes_in_ip_never_panic(
        protocol in prop_oneof![Just(1_u8), Just(4), Just(6), Just(17), Just(41), Just(44), Just(47), Just(58), any::<u8>()],
        flags_offset in prop_oneof![Just(0_u16), any::<u16>()],
        port in prop_oneof![Just(4789_u16), Just(6081), Just(2152), Just(4754)],
        bytes in vec(any::<u8>(), 0..120),
    ) {
        let mut decoder = decoder();
        let _ = decode(&mut decoder, LinkType::RAW, &ipv4_fragment(protocol, 1, flags_offset, &bytes));
        let _ = decode(&mut decoder, LinkType::RAW, &ipv6(protocol, &bytes));
        let udp = [&[0, 9][..], &port.to_be_bytes(), &[0, 0, 0, 0], &bytes].concat();
        let _ = decode(&mut decoder, LinkType::RAW, &ipv4(17, &udp));
        decoder.finish();
    }

    /// In whatever order and with whatever copies fragments come, the datagram is the same.
    #[test]
    fn fragments_join_in_any_order(
        payload in vec(any::<u8>(), 0..200),
        order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let whole = tcp(&payload);
        let count = whole.len().div_ceil(8);
        let mut decoder = decoder();
        let mut joined = None;
        for index in order.into_iter().filter(|index| *index < count) {
            let more = if index + 1 < count { 0x2000 } else { 0 };
            let bytes = &whole[index * 8..whole.len().min(index * 8 + 8)];
            let packet = ipv4_fragment(TCP, 3, more | u16::try_from(index).unwrap(), bytes);
            if let Decoded::Segment(found) = decode(&mut decoder, LinkType::RAW, &packet) {
                prop_assert!(joined.is_none());
                joined = Some(found.payload.to_vec());
            }
        }
        prop_assert_eq!(joined, Some(payload));
        prop_assert_eq!(decoder.anomalies().iter().count(), 0);
    }
}
