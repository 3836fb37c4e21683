//! Packets from an interface, through libpcap.
//!
//! The handle is non-blocking: libpcap's blocking read never returns from an idle interface on Linux, whatever its
//! timeout. Between empty reads the source sleeps, from 1 ms up to 16 ms. It does not poll(2) on libpcap's descriptor:
//! not every device has one (the `pcap` crate then panics), and Windows has none. The kernel's buffer holds what
//! arrives meanwhile: 64 MB are 30 ms of 17 Gbit/s.

use super::info::InputInfo;
use super::link_type::LinkType;
use super::{Block, CaptureError, Losses, More, PacketRef, Source};
use crate::moment::Moment;
use crate::time::Timestamp;
use pcap::{Active, Capture, Device, Packet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// `read_block` returns at the latest after this, with or without packets.
const WAIT: Duration = Duration::from_millis(250);
/// Longest sleep between two looks for packets.
const LONGEST_SLEEP: Duration = Duration::from_millis(16);
/// Packets taken into one block.
const BLOCK_PACKETS: usize = 4_096;
/// How long the kernel may gather packets before it hands them over, in milliseconds.
const GATHER_MS: i32 = 100;

/// Which packets of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// All.
    #[default]
    Both,
    /// Received.
    In,
    /// Sent.
    Out,
}

/// How to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// The interface's name; `any` for all of a Linux host's.
    pub interface: String,
    /// Bytes captured of a packet at most. Frame headers and Close frames need few, but a cut handshake is not read.
    pub snaplen: i32,
    /// The kernel's buffer, in bytes.
    pub buffer_bytes: i32,
    /// Also packets that are addressed to others.
    pub promiscuous: bool,
    /// Hand packets over one by one as they come: quicker, dearer.
    pub immediate: bool,
    /// A pcap-filter(7) expression.
    pub filter: Option<String>,
    /// Which way the packets go.
    pub direction: Direction,
}

impl Default for LiveOptions {
    fn default() -> Self {
        LiveOptions {
            interface: "any".to_owned(),
            snaplen: 262_144,
            buffer_bytes: 64 << 20,
            promiscuous: false,
            immediate: false,
            filter: None,
            direction: Direction::Both,
        }
    }
}

/// An interface that can be captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, for [`LiveOptions::interface`].
    pub name: String,
    /// What libpcap says of it.
    pub description: Option<String>,
    /// Its addresses, as text.
    pub addresses: Vec<String>,
    /// Is it up?
    pub up: bool,
    /// Is it the loopback interface?
    pub loopback: bool,
}

/// The interfaces libpcap knows.
///
/// # Errors
/// libpcap can't list them.
pub fn interfaces() -> Result<Vec<Interface>, CaptureError> {
    let devices = Device::list().map_err(|error| failed("can't list the interfaces", &error))?;
    Ok(devices.into_iter().map(interface).collect())
}

fn interface(device: Device) -> Interface {
    Interface {
        addresses: device.addresses.iter().map(|address| address.addr.to_string()).collect(),
        up: device.flags.is_up(),
        loopback: device.flags.is_loopback(),
        name: device.name,
        description: device.desc,
    }
}

/// Packets from an interface.
pub struct LiveSource {
    capture: Capture<Active>,
    link_type: LinkType,
    stop: Arc<AtomicBool>,
    ended: bool,
    /// Set once the stop was noticed: what the kernel still holds is taken until then.
    drain_until: Option<Instant>,
    packet: u32,
    drops: Drops,
    info: InputInfo,
}

/// The kernel's drop counters, which are 32-bit and wrap.
#[derive(Clone, Copy, Debug, Default)]
struct Drops {
    total: u64,
    last: [u32; 2],
    looked_at: Option<Instant>,
}

impl Drops {
    fn update(&mut self, now: [u32; 2]) {
        for (last, now) in self.last.iter().zip(now) {
            self.total = self.total.saturating_add(u64::from(now.wrapping_sub(*last)));
        }
        self.last = now;
    }
}

impl LiveSource {
    /// Begins to capture. Setting `stop` (from a signal, say) ends the source.
    ///
    /// # Errors
    /// The interface can't be opened (a missing right is named), or the filter is not valid.
    pub fn open(options: &LiveOptions, stop: Arc<AtomicBool>) -> Result<LiveSource, CaptureError> {
        let name = options.interface.as_str();
        let cannot_open = |error: pcap::Error| failed(&open_context(name, &error), &error);
        // Microseconds, libpcap's default: it would take a wish for nanoseconds without saying whether it was heard.
        let capture = Capture::from_device(name)
            .map_err(cannot_open)?
            .snaplen(options.snaplen)
            .buffer_size(options.buffer_bytes)
            .promisc(options.promiscuous)
            .immediate_mode(options.immediate)
            .timeout(GATHER_MS)
            .open()
            .and_then(Capture::setnonblock)
            .map_err(cannot_open)?;
        let link_type = LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX));
        let info = InputInfo { path: name.to_owned(), format: Some("live"), ..InputInfo::default() };
        let drops = Drops::default();
        let mut source =
            LiveSource { capture, link_type, stop, ended: false, drain_until: None, packet: 0, drops, info };
        source.restrict(options)?;
        Ok(source)
    }

    fn restrict(&mut self, options: &LiveOptions) -> Result<(), CaptureError> {
        let direction = match options.direction {
            Direction::Both => None,
            Direction::In => Some(pcap::Direction::In),
            Direction::Out => Some(pcap::Direction::Out),
        };
        if let Some(direction) = direction {
            let context = format!("can't choose a direction on {}", options.interface);
            self.capture.direction(direction).map_err(|error| failed(&context, &error))?;
        }
        let Some(expression) = &options.filter else { return Ok(()) };
        self.capture.filter(expression, true).map_err(|error| CaptureError::Filter {
            expression: expression.clone(),
            link_type: self.link_type,
            reason: error.to_string(),
        })
    }

    /// The interface's link type.
    #[must_use]
    pub fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// What is known of the capture so far.
    #[must_use]
    pub fn info(&self) -> InputInfo {
        InputInfo { dropped_packets: self.drops.total, ..self.info.clone() }
    }

    /// Takes what the kernel has, without waiting. Returns the number of packets.
    fn take(&mut self, block: &mut Block) -> Result<usize, CaptureError> {
        let (link_type, number) = (self.link_type, &mut self.packet);
        let mut used = 0;
        let take = |packet: Packet<'_>| {
            *number = number.saturating_add(1);
            append(
                &packet,
                Moment { at: time(&packet), packet: *number, file: 0 },
                link_type,
                block,
                &mut used,
            );
        };
        let taken = self.capture.dispatch(Some(BLOCK_PACKETS), take);
        self.info.bytes = self.info.bytes.saturating_add(used as u64);
        taken.map_err(|error| failed(&format!("can't capture on {}", self.info.path), &error))
    }

    /// Takes packets, waiting for them up to [`WAIT`].
    fn wait(&mut self, block: &mut Block) -> Result<(), CaptureError> {
        let began = Instant::now();
        let mut sleep = Duration::from_millis(1);
        while self.take(block)? == 0 && began.elapsed() < WAIT && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(sleep);
            sleep = sleep.saturating_mul(2).min(LONGEST_SLEEP);
        }
        Ok(())
    }

    /// After the stop: has the kernel nothing more? On a busy interface it always has, so there is a bound.
    fn is_drained(&mut self, is_empty: bool) -> bool {
        if !self.stop.load(Ordering::Relaxed) {
            return false;
        }
        let until = *self.drain_until.get_or_insert_with(|| Instant::now() + WAIT);
        is_empty || Instant::now() >= until
    }

    fn look_at_drops(&mut self) {
        if self.drops.looked_at.is_some_and(|at| at.elapsed() < WAIT) {
            return;
        }
        self.drops.looked_at = Some(Instant::now());
        if let Ok(statistics) = self.capture.stats() {
            self.drops.update([statistics.dropped, statistics.if_dropped]);
        }
    }
}

impl Source for LiveSource {
    fn read_block(&mut self, block: &mut Block) -> Result<More, CaptureError> {
        block.clear();
        if self.ended {
            return Ok(More::No);
        }
        let outcome = self.wait(block);
        self.info.note(&block.packets);
        self.ended = outcome.is_err() || self.is_drained(block.packets.is_empty());
        if self.ended {
            self.drops.looked_at = None;
            self.info.end(outcome.as_ref().err());
        }
        self.look_at_drops();
        outcome.map(|()| if self.ended { More::No } else { More::Yes })
    }

    fn losses(&self) -> Losses {
        Losses { dropped: self.drops.total }
    }
}

/// Copies a packet behind the `used` bytes of `block`: libpcap's buffer is the kernel's again after the call.
fn append(packet: &Packet<'_>, at: Moment, link_type: LinkType, block: &mut Block, used: &mut usize) {
    let end = used.saturating_add(packet.data.len());
    if block.bytes.len() < end {
        block.bytes.resize(end.saturating_mul(2), 0);
    }
    let (Some(room), Ok(from), Ok(to)) =
        (block.bytes.get_mut(*used..end), u32::try_from(*used), u32::try_from(end))
    else {
        return;
    };
    room.copy_from_slice(packet.data);
    *used = end;
    block.packets.push(PacketRef {
        at,
        link_type,
        fcs_len: 0,
        range: from..to,
        original_len: packet.header.len,
    });
}

#[expect(clippy::useless_conversion, reason = "the C types of timeval are 32-bit on some systems")]
fn time(packet: &Packet<'_>) -> Timestamp {
    let at = packet.header.ts;
    Timestamp::from_parts(i64::from(at.tv_sec), i64::from(at.tv_usec).saturating_mul(1_000))
}

fn open_context(name: &str, error: &pcap::Error) -> String {
    let text = error.to_string().to_lowercase();
    let remedy = if text.contains("permission") || text.contains("not permitted") {
        " (this needs root: sudo wsclose live ...; or, once for all: sudo setcap cap_net_raw,cap_net_admin=eip \
         \"$(command -v wsclose)\")"
    } else if text.contains("no such device")
        || text.contains("nosuchdevice")
        || text.contains("doesn't exist")
    {
        " (`wsclose interfaces` lists what there is)"
    } else {
        ""
    };
    format!("can't capture on {name}{remedy}")
}

fn failed(context: &str, error: &pcap::Error) -> CaptureError {
    CaptureError::Io { context: context.to_owned(), source: std::io::Error::other(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_counters_survive_a_wrap() {
        let mut drops = Drops::default();
        drops.update([u32::MAX - 1, 5]);
        drops.update([3, 6]);
        assert_eq!(drops.total, u64::from(u32::MAX - 1) + 5 + 5 + 1);
    }

    #[test]
    fn unknown_interface_is_an_error_that_names_it() {
        let options = LiveOptions { interface: "no-such-if0".to_owned(), ..LiveOptions::default() };
        let error = LiveSource::open(&options, Arc::default()).err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.starts_with("can't capture on no-such-if0")));
    }
}
