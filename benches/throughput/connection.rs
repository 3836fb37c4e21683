//! One connection of a workload, played step by step so that thousands can be interleaved.

use crate::generate::{ACK, CLIENT, FIN, Flow, MASK, PSH, PacketWriter, RST, SERVER, SYN};
use crate::rng::Rng;
use std::io::{self, Write};

/// How a WebSocket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Close with this code by this side, answered, FINs.
    Coded(u16, usize),
    /// Close without a code by the client, answered, FINs.
    Empty,
    /// Close with this code by the server, never answered, then RST by the server.
    Unanswered(u16),
    /// RST by this side without a Close.
    Rst(usize),
    /// FIN by this side without a Close.
    Fin(usize),
    /// The client sends into a void.
    Timeout,
    /// Nothing: the capture ends first.
    Open,
    /// 403 instead of 101.
    Refused,
}

impl Ending {
    /// A mix of all endings.
    pub fn random(rng: &mut Rng) -> Self {
        match rng.below(1000) {
            0..300 => Ending::Coded(1000, CLIENT),
            300..500 => Ending::Coded(1001, SERVER),
            500..560 => Ending::Coded(4001, SERVER),
            560..640 => Ending::Empty,
            640..680 => Ending::Unanswered(1011),
            680..760 => Ending::Rst(SERVER),
            760..800 => Ending::Rst(CLIENT),
            800..860 => Ending::Fin(SERVER),
            860..900 => Ending::Fin(CLIENT),
            900..940 => Ending::Timeout,
            940..970 => Ending::Open,
            _ => Ending::Refused,
        }
    }

    /// `verdict.kind`, `verdict.label` and `verdict.cause` of the report.
    pub fn verdict(self) -> (&'static str, String, Option<&'static str>) {
        match self {
            Ending::Coded(code, _) | Ending::Unanswered(code) => ("coded", code.to_string(), None),
            Ending::Empty => ("coded", "1005".into(), None),
            Ending::Rst(_) => ("abnormal", "1006".into(), Some("rst")),
            Ending::Fin(_) => ("abnormal", "1006".into(), Some("fin")),
            Ending::Timeout => ("abnormal", "1006".into(), Some("timeout")),
            Ending::Open => ("open", "open".into(), None),
            Ending::Refused => ("refused", "refused".into(), None),
        }
    }

    /// Who began it by the packets that `end` and `upgrade` send: the first Close, the RST, the FIN or the refusal. `None`
    /// where nobody does.
    pub fn closed_by(self) -> Option<&'static str> {
        let side = match self {
            Ending::Coded(_, side) | Ending::Rst(side) | Ending::Fin(side) => side,
            Ending::Empty => CLIENT,
            Ending::Unanswered(_) | Ending::Refused => SERVER,
            Ending::Timeout | Ending::Open => return None,
        };
        Some(if side == CLIENT { "client" } else { "server" })
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WebSocket with messages of a size in this range, the client sending so many in 1000 of them.
    WebSocket { ending: Ending, sizes: (u32, u32), from_client: u16 },
    /// HTTP requests with bodies of 10 to 50 KB.
    Http,
    /// Records that look like TLS.
    Tls,
}

/// Copies of a segment that nobody acknowledges.
const TIMEOUT_SENDS: u16 = 5;

/// What `step` has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connect,
    Open,
    /// So many messages are left.
    Talk(u32),
    End,
    /// Sends into the void that are left.
    Void(u16),
    Done,
}

#[derive(Clone, Copy, Debug)]
pub struct Connection {
    flow: Flow,
    pub kind: Kind,
    stage: Stage,
    messages: u32,
}

impl Connection {
    pub fn new(flow: Flow, kind: Kind, messages: u32) -> Self {
        Connection { flow, kind, stage: Stage::Connect, messages }
    }

    /// Says no more messages; the handshake and the ending still come.
    pub fn hurry(&mut self) {
        self.messages = 0;
        if matches!(self.stage, Stage::Talk(_)) {
            self.stage = Stage::Talk(0);
        }
    }

    /// Sends the next few packets; true when nothing is left to send.
    pub fn step<W: Write>(&mut self, out: &mut PacketWriter<W>, rng: &mut Rng) -> io::Result<bool> {
        self.stage = match (self.stage, self.kind) {
            (Stage::Connect, _) => self.connect(out)?,
            (Stage::Open, Kind::WebSocket { ending, .. }) => self.upgrade(ending, out)?,
            (Stage::Open, _) => Stage::Talk(self.messages),
            (Stage::Talk(0), _) => Stage::End,
            (Stage::Talk(left), _) => {
                self.talk(out, rng)?;
                Stage::Talk(left - 1)
            }
            (Stage::End, Kind::WebSocket { ending, .. }) => self.end(ending, out)?,
            (Stage::End, _) => self.fins(CLIENT, out)?,
            (Stage::Void(left), _) => self.send_into_the_void(left, out)?,
            (Stage::Done, _) => Stage::Done,
        };
        Ok(self.stage == Stage::Done)
    }

    fn send<W: Write>(
        &mut self,
        out: &mut PacketWriter<W>,
        side: usize,
        flags: u8,
        bytes: &[u8],
    ) -> io::Result<()> {
        out.packet(&mut self.flow, side, flags, bytes, (0, 0))
    }

    fn connect<W: Write>(&mut self, out: &mut PacketWriter<W>) -> io::Result<Stage> {
        self.send(out, CLIENT, SYN, &[])?;
        self.send(out, SERVER, SYN | ACK, &[])?;
        self.send(out, CLIENT, ACK, &[])?;
        Ok(Stage::Open)
    }

    fn upgrade<W: Write>(&mut self, ending: Ending, out: &mut PacketWriter<W>) -> io::Result<Stage> {
        self.send(out, CLIENT, ACK | PSH, REQUEST)?;
        self.send(out, SERVER, ACK, &[])?;
        if ending == Ending::Refused {
            self.send(out, SERVER, ACK | PSH, REFUSAL)?;
            return self.fins(SERVER, out);
        }
        self.send(out, SERVER, ACK | PSH, RESPONSE)?;
        self.send(out, CLIENT, ACK, &[])?;
        Ok(Stage::Talk(self.messages))
    }

    fn talk<W: Write>(&mut self, out: &mut PacketWriter<W>, rng: &mut Rng) -> io::Result<()> {
        let after = rng.below(1 << 20) as usize;
        match self.kind {
            Kind::WebSocket { sizes, from_client, .. } => {
                let side = if rng.chance(u64::from(from_client)) { CLIENT } else { SERVER };
                let len = sizes.0 + rng.below(u64::from(sizes.1 - sizes.0) + 1) as u32;
                out.frame(&mut self.flow, side, 2, len as usize, after)?;
                if rng.chance(250) { self.send(out, 1 - side, ACK, &[]) } else { Ok(()) }
            }
            Kind::Http => {
                let len = 10_000 + rng.below(40_000) as usize;
                self.send(
                    out,
                    CLIENT,
                    ACK | PSH,
                    b"GET /asset HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n",
                )?;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
                self.body(out, head.as_bytes(), len, after)
            }
            Kind::Tls => {
                let len = 1_000 + rng.below(15_000) as usize;
                let [high, low] = (len as u16).to_be_bytes();
                out.packet(&mut self.flow, CLIENT, ACK | PSH, &[0x17, 3, 3, 0, 200], (after, 200))?;
                self.body(out, &[0x17, 3, 3, high, low], len, after)
            }
        }
    }

    fn body<W: Write>(
        &mut self,
        out: &mut PacketWriter<W>,
        head: &[u8],
        len: usize,
        after: usize,
    ) -> io::Result<()> {
        out.packet(&mut self.flow, SERVER, ACK | PSH, head, (0, 0))?;
        let mut left = len;
        while left > 0 {
            for _ in 0..2 {
                let part = left.min(crate::generate::MSS);
                left -= part;
                if part > 0 {
                    out.packet(&mut self.flow, SERVER, ACK, &[], (after.wrapping_add(left), part))?;
                }
            }
            self.send(out, CLIENT, ACK, &[])?;
        }
        Ok(())
    }

    fn end<W: Write>(&mut self, ending: Ending, out: &mut PacketWriter<W>) -> io::Result<Stage> {
        match ending {
            Ending::Coded(code, by) => {
                self.close(by, &code.to_be_bytes(), out)?;
                self.close(1 - by, &code.to_be_bytes(), out)?;
                self.fins(SERVER, out)
            }
            Ending::Empty => {
                self.close(CLIENT, &[], out)?;
                self.close(SERVER, &[], out)?;
                self.fins(SERVER, out)
            }
            Ending::Unanswered(code) => {
                self.close(SERVER, &code.to_be_bytes(), out)?;
                self.send(out, CLIENT, ACK, &[])?;
                self.send(out, SERVER, RST | ACK, &[])?;
                Ok(Stage::Done)
            }
            Ending::Rst(by) => {
                self.send(out, 1 - by, ACK, &[])?;
                self.send(out, by, RST | ACK, &[])?;
                Ok(Stage::Done)
            }
            Ending::Fin(by) => self.fins(by, out),
            Ending::Timeout => Ok(Stage::Void(TIMEOUT_SENDS)),
            Ending::Open | Ending::Refused => Ok(Stage::Done),
        }
    }

    fn close<W: Write>(&mut self, side: usize, body: &[u8], out: &mut PacketWriter<W>) -> io::Result<()> {
        let mask_bit = if side == CLIENT { 0x80 } else { 0 };
        let mut frame = vec![0x88, mask_bit | body.len() as u8];
        if side == CLIENT {
            frame.extend(MASK);
            frame.extend(body.iter().zip(MASK).map(|(byte, key)| byte ^ key));
        } else {
            frame.extend(body);
        }
        self.send(out, side, ACK | PSH, &frame)
    }

    fn fins<W: Write>(&mut self, by: usize, out: &mut PacketWriter<W>) -> io::Result<Stage> {
        self.send(out, by, FIN | ACK, &[])?;
        self.send(out, 1 - by, FIN | ACK, &[])?;
        self.send(out, by, ACK, &[])?;
        Ok(Stage::Done)
    }

    /// The same ping again and again, with a new IP ID each time.
    fn send_into_the_void<W: Write>(&mut self, left: u16, out: &mut PacketWriter<W>) -> io::Result<Stage> {
        let seq = self.flow.seq[CLIENT];
        self.send(out, CLIENT, ACK | PSH, &[0x89, 0x81, MASK[0], MASK[1], MASK[2], MASK[3], b'?' ^ MASK[0]])?;
        if left > 1 {
            self.flow.seq[CLIENT] = seq;
        }
        Ok(if left > 1 { Stage::Void(left - 1) } else { Stage::Done })
    }
}

const REQUEST: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const REFUSAL: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
