//! A packet script: what two hosts send, and what the capture in between sees of it.
//!
//! ```ignore
//! let mut conn = Conversation::opened();
//! conn.client_sends(&wire::text(Side::Client, "hello"));
//! conn.server_acks();
//! conn.wait(Duration::from_secs(60));
//! conn.server_sends(&wire::close(Side::Server, 1001, "bye"));
//! conn.client_sends(&wire::close(Side::Client, 1001, ""));
//! conn.fin(Side::Server);
//! conn.fin(Side::Client);
//! conn.acks(Side::Server);
//! ```

use super::packet::{ACK, FIN, PSH, RST, SYN, TcpPacket};
use super::wire;
use std::net::SocketAddr;
use std::time::Duration;
use wsclose::side::{PerSide, Side};

/// Time between two packets unless the script says otherwise.
const STEP_NS: u64 = 1_000_000;

/// What becomes of the next packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Normal,
    /// The receiver gets it, the capture misses it.
    NotCaptured,
    /// The capture sees it, the receiver never gets it.
    Lost,
    /// Lost before the capture point: nobody sees it.
    LostUnseen,
}

/// One host's state.
#[derive(Clone, Debug)]
struct Host {
    address: SocketAddr,
    /// Next sequence number to send.
    next_seq: u32,
    /// What it acknowledges: the next sequence number it expects.
    expected: u32,
    ttl: u8,
    next_ip_id: u16,
    window: u16,
    /// Its last segment that took up sequence numbers.
    last_sent: Option<TcpPacket>,
}

impl Host {
    fn new(address: &str, isn: u32, ttl: u8, ip_id: u16) -> Self {
        let address = address.parse().expect("an address and port");
        Host { address, next_seq: isn, expected: 0, ttl, next_ip_id: ip_id, window: 502, last_sent: None }
    }
}

/// A TCP connection that the test drives packet by packet.
#[derive(Clone, Debug)]
pub struct Conversation {
    now_ns: u64,
    hosts: PerSide<Host>,
    fate: Fate,
    packets: Vec<TcpPacket>,
}

impl Conversation {
    /// Before the first packet. The client is 10.77.1.2:33046, the server 10.77.2.2:9001.
    pub fn new() -> Self {
        Self::between("10.77.1.2:33046", "10.77.2.2:9001")
    }

    /// Before the first packet, between other addresses.
    pub fn between(client: &str, server: &str) -> Self {
        let client = Host::new(client, 1_000_000, 64, 4_000);
        let server = Host::new(server, 2_000_000, 63, 9_000);
        let hosts = PerSide { client, server };
        Conversation { now_ns: 1_790_000_000_000_000_000, hosts, fate: Fate::Normal, packets: Vec::new() }
    }

    /// The same with other initial sequence numbers, before the first packet.
    pub fn numbered(mut self, client: u32, server: u32) -> Self {
        self.hosts.client.next_seq = client;
        self.hosts.server.next_seq = server;
        self
    }

    /// Connected by TCP's three packets.
    pub fn connected() -> Self {
        let mut conn = Self::new();
        conn.connect();
        conn
    }

    /// Connected, and the WebSocket at `/ws` open.
    pub fn opened() -> Self {
        let mut conn = Self::connected();
        conn.upgrade("/ws");
        conn
    }

    /// SYN, SYN-ACK, ACK.
    pub fn connect(&mut self) -> &mut Self {
        self.emit(Side::Client, SYN, &[]).emit(Side::Server, SYN | ACK, &[]).acks(Side::Client)
    }

    /// The Upgrade request and its 101, each acknowledged.
    pub fn upgrade(&mut self, path: &str) -> &mut Self {
        self.client_sends(&wire::request(path)).server_acks();
        self.server_sends(&wire::response()).client_acks()
    }

    pub fn client_sends(&mut self, bytes: &[u8]) -> &mut Self {
        self.sends(Side::Client, bytes)
    }

    pub fn server_sends(&mut self, bytes: &[u8]) -> &mut Self {
        self.sends(Side::Server, bytes)
    }

    /// One segment with these bytes.
    pub fn sends(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        self.emit(side, ACK | PSH, bytes)
    }

    /// The bytes in several segments, cut before each of these positions.
    pub fn sends_cut(&mut self, side: Side, bytes: &[u8], cuts: &[usize]) -> &mut Self {
        let mut start = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            self.sends(side, &bytes[start..end]);
            start = end;
        }
        self
    }

    pub fn client_acks(&mut self) -> &mut Self {
        self.acks(Side::Client)
    }

    pub fn server_acks(&mut self) -> &mut Self {
        self.acks(Side::Server)
    }

    /// A bare acknowledgment of all that `side` received.
    pub fn acks(&mut self, side: Side) -> &mut Self {
        self.emit(side, ACK, &[])
    }

    /// A FIN without data.
    pub fn fin(&mut self, side: Side) -> &mut Self {
        self.emit(side, FIN | ACK, &[])
    }

    /// A last segment with data and FIN.
    pub fn sends_and_fin(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        self.emit(side, FIN | ACK | PSH, bytes)
    }

    /// A reset as Linux sends it when a socket is aborted: RST and ACK.
    pub fn rst(&mut self, side: Side) -> &mut Self {
        self.emit(side, RST | ACK, &[])
    }

    /// A reset as a host sends it for a connection it does not know: no ACK, the sequence number that was
    /// acknowledged to it (RFC 9293 §3.5.2), IP ID 0.
    pub fn bare_rst(&mut self, side: Side) -> &mut Self {
        let mut packet = self.packet(side, RST, &[]);
        packet.seq = self.hosts.get(side.other()).expected;
        (packet.ack, packet.window, packet.ip_id) = (0, 0, 0);
        packet.options.clear();
        self.capture(side, packet)
    }

    /// A keepalive probe: an empty segment one below the next sequence number (RFC 9293 §3.8.4).
    pub fn keepalive(&mut self, side: Side) -> &mut Self {
        let mut packet = self.packet(side, ACK, &[]);
        packet.seq = packet.seq.wrapping_sub(1);
        self.capture(side, packet)
    }

    /// The side's last segment again: same bytes, new IP ID, the acknowledgment of now. It arrives unless its fate
    /// says otherwise.
    pub fn retransmits(&mut self, side: Side) -> &mut Self {
        let last = self.hosts.get(side).last_sent.clone().expect("something was sent before");
        let now = self.packet(side, last.flags, &last.payload);
        let ack = if last.has(ACK) { now.ack } else { last.ack };
        self.capture(side, TcpPacket { seq: last.seq, ack, ..now })
    }

    /// Any packet, as `make` changes the next regular one.
    pub fn forges(&mut self, side: Side, flags: u8, make: impl FnOnce(&mut TcpPacket)) -> &mut Self {
        let mut packet = self.packet(side, flags, &[]);
        make(&mut packet);
        self.capture(side, packet)
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) -> &mut Self {
        self.now_ns += time.as_nanos() as u64;
        self
    }

    /// The next packet arrives, but the capture misses it.
    pub fn next_not_captured(&mut self) -> &mut Self {
        self.fate = Fate::NotCaptured;
        self
    }

    /// The next packet is captured, but lost on its way behind the capture point.
    pub fn next_lost(&mut self) -> &mut Self {
        self.fate = Fate::Lost;
        self
    }

    /// The next packet is lost before the capture point.
    pub fn next_lost_unseen(&mut self) -> &mut Self {
        self.fate = Fate::LostUnseen;
        self
    }

    /// The side's receive window from now on, as it stands in the header.
    pub fn window(&mut self, side: Side, window: u16) -> &mut Self {
        self.hosts.get_mut(side).window = window;
        self
    }

    /// What the capture saw so far.
    pub fn packets(&self) -> Vec<TcpPacket> {
        self.packets.clone()
    }

    /// The next sequence number that `side` would send.
    pub fn next_seq(&self, side: Side) -> u32 {
        self.hosts.get(side).next_seq
    }

    fn emit(&mut self, side: Side, flags: u8, payload: &[u8]) -> &mut Self {
        let packet = self.packet(side, flags, payload);
        let host = self.hosts.get_mut(side);
        host.next_seq = packet.seq.wrapping_add(packet.sequence_len());
        if packet.sequence_len() > 0 {
            host.last_sent = Some(packet.clone());
        }
        self.capture(side, packet)
    }

    fn packet(&mut self, side: Side, flags: u8, payload: &[u8]) -> TcpPacket {
        let dst = self.hosts.get(side.other()).address;
        let host = self.hosts.get_mut(side);
        let ip_id = host.next_ip_id;
        host.next_ip_id = host.next_ip_id.wrapping_add(1);
        TcpPacket {
            at_ns: self.now_ns,
            src: host.address,
            dst,
            seq: host.next_seq,
            ack: if flags & ACK == 0 { 0 } else { host.expected },
            flags,
            window: host.window,
            ttl: host.ttl,
            ip_id,
            options: options(flags, self.now_ns),
            payload: payload.to_vec(),
        }
    }

    /// Decides who sees the packet, and moves the clock.
    fn capture(&mut self, side: Side, packet: TcpPacket) -> &mut Self {
        let fate = std::mem::take(&mut self.fate);
        if matches!(fate, Fate::Normal | Fate::NotCaptured) {
            let receiver = self.hosts.get_mut(side.other());
            let end = packet.seq.wrapping_add(packet.sequence_len());
            let in_order = packet.has(SYN) || (packet.seq.wrapping_sub(receiver.expected) as i32) <= 0;
            let new = packet.has(SYN) || (end.wrapping_sub(receiver.expected) as i32) > 0;
            if !packet.has(RST) && in_order && new {
                receiver.expected = end;
            }
        }
        if matches!(fate, Fate::Normal | Fate::Lost) {
            self.packets.push(packet);
        }
        self.now_ns += STEP_NS;
        self
    }
}

/// Options as Linux sends them: on a SYN also MSS, SACK permitted and window scale; timestamps always, but not on RST.
fn options(flags: u8, now_ns: u64) -> Vec<u8> {
    if flags & RST != 0 {
        return Vec::new();
    }
    let clock = ((now_ns / 1_000_000) as u32).to_be_bytes();
    let timestamps = [&[8, 10][..], &clock, &clock].concat();
    if flags & SYN == 0 {
        [&[1, 1][..], &timestamps].concat()
    } else {
        [&[2, 4, 0x05, 0xb4, 4, 2][..], &timestamps, &[1, 3, 3, 7]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(conn: &Conversation) -> TcpPacket {
        conn.packets().pop().expect("a packet")
    }

    #[test]
    fn sequence_and_acknowledgment_numbers_follow_what_was_sent() {
        let mut conn = Conversation::connected();
        conn.client_sends(b"abc").server_acks().fin(Side::Server).client_acks();
        let seen: Vec<_> = conn.packets().iter().map(|p| (p.seq, p.ack, p.flags)).collect();
        assert_eq!(
            seen,
            [
                (1_000_000, 0, SYN),
                (2_000_000, 1_000_001, SYN | ACK),
                (1_000_001, 2_000_001, ACK),
                (1_000_001, 2_000_001, ACK | PSH),
                (2_000_001, 1_000_004, ACK),
                (2_000_001, 1_000_004, FIN | ACK),
                (1_000_004, 2_000_002, ACK),
            ]
        );
    }

    #[test]
    fn a_packet_that_was_not_captured_is_acknowledged_all_the_same() {
        let mut conn = Conversation::connected();
        conn.next_not_captured().client_sends(b"abc").server_acks();
        assert_eq!(conn.packets().len(), 4);
        assert_eq!(last(&conn).ack, 1_000_004);
    }

    #[test]
    fn a_lost_packet_is_captured_and_not_acknowledged_until_it_is_retransmitted() {
        let mut conn = Conversation::connected();
        conn.next_lost().client_sends(b"abc").server_acks();
        assert_eq!(last(&conn).ack, 1_000_001);
        conn.retransmits(Side::Client).server_acks();
        assert_eq!(last(&conn).ack, 1_000_004);
        let packets = conn.packets();
        assert_eq!((packets[3].seq, &packets[3].payload), (packets[5].seq, &packets[5].payload));
        assert_ne!(packets[3].ip_id, packets[5].ip_id);
    }

    #[test]
    fn what_follows_a_lost_segment_is_not_acknowledged() {
        let mut conn = Conversation::connected();
        conn.next_lost_unseen().client_sends(b"abc").client_sends(b"def").server_acks();
        assert_eq!(last(&conn).ack, 1_000_001);
    }

    #[test]
    fn keepalive_is_one_below_the_next_sequence_number() {
        let mut conn = Conversation::connected();
        conn.keepalive(Side::Client);
        assert_eq!((last(&conn).seq, last(&conn).payload.len()), (1_000_000, 0));
    }

    #[test]
    fn bare_rst_takes_the_sequence_number_it_was_told() {
        let mut conn = Conversation::connected();
        conn.client_sends(b"abc").server_acks().bare_rst(Side::Client);
        assert_eq!((last(&conn).seq, last(&conn).flags, last(&conn).ip_id), (1_000_004, RST, 0));
    }

    #[test]
    fn cuts_divide_the_bytes_into_segments() {
        let mut conn = Conversation::connected();
        conn.sends_cut(Side::Server, b"abcdef", &[1, 4]);
        let payloads: Vec<_> = conn.packets().split_off(3).into_iter().map(|p| p.payload).collect();
        assert_eq!(payloads, [&b"a"[..], b"bcd", b"ef"]);
    }

    #[test]
    fn waiting_moves_the_clock() {
        let mut conn = Conversation::connected();
        conn.wait(Duration::from_secs(60)).server_acks();
        let packets = conn.packets();
        assert_eq!(packets[3].at_ns - packets[2].at_ns, 60_000_000_000 + STEP_NS);
    }
}
