//! What is captured where no `--filter` is given: all that may carry a WebSocket or speak of one.

/// TCP, IP fragments, ICMP errors, and the wrappings that `decode` looks into.
///
/// The kernel drops the rest before it is copied: UDP media streams and the like. Ports of tunnels
/// are those that `decode/tunnel.rs` knows. VLAN tags are asked for as EtherTypes, since the keyword `vlan` would
/// change the meaning of all that follows it; where the kernel has taken the tag off, `tcp` matches by itself.
pub const DEFAULT_FILTER: &str = "tcp \
    or (ip and ip[6:2] & 0x1fff != 0) \
    or icmp or icmp6 \
    or (ip6 and (ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 44 or ip6[6] = 51 or ip6[6] = 60 \
        or ip6[6] = 135 or ip6[6] = 139 or ip6[6] = 140)) \
    or (ip and (ip[9] = 4 or ip[9] = 41 or ip[9] = 47 or ip[9] = 51 or ip[9] = 97 or ip[9] = 137)) \
    or (ip6 and (ip6[6] = 4 or ip6[6] = 41 or ip6[6] = 47 or ip6[6] = 97 or ip6[6] = 137)) \
    or udp port 4789 or udp port 8472 or udp port 4790 or udp port 6081 or udp port 2152 or udp port 4754 \
    or ether proto 0x8100 or ether proto 0x88a8 or ether proto 0x9100 \
    or ether proto 0x8847 or ether proto 0x8848 or ether proto 0x8864 \
    or ether proto 0x88e7 or ether proto 0x893f or ether proto 0x8926";
