//! One interface under capture: the libpcap handle, its numbering and its losses.

use super::super::info::InputInfo;
use super::super::link_type::LinkType;
use super::super::{CaptureError, PacketRef};
use super::filter::DEFAULT_FILTER;
use super::{Direction, LiveOptions};
use crate::moment::Moment;
use crate::time::Timestamp;
use pcap::{Active, Capture, Packet};
use std::path::Path;

/// Packets taken at a time: few enough that what several interfaces gave stays in the processor's cache until it is their
/// turn.
const MOST_PACKETS: usize = 128;

/// Packets that were lost, as the kernel counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// For want of room in the capture's buffer.
    pub by_kernel: u64,
    /// By the interface itself.
    pub by_interface: u64,
}

impl Dropped {
    /// Both.
    #[must_use]
    pub fn total(self) -> u64 {
        self.by_kernel.saturating_add(self.by_interface)
    }
}

/// The drop counters, which are 32-bit and wrap, as totals.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    total: Dropped,
    last: [u32; 2],
}

impl Counters {
    /// Takes over what the kernel says now; gives how many are new.
    fn update(&mut self, now: [u32; 2]) -> u64 {
        let before = self.total.total();
        let [kernel, interface] = [0, 1].map(|index: usize| {
            let of = |counts: &[u32; 2]| counts.get(index).copied().unwrap_or(0);
            u64::from(of(&now).wrapping_sub(of(&self.last)))
        });
        self.total.by_kernel = self.total.by_kernel.saturating_add(kernel);
        self.total.by_interface = self.total.by_interface.saturating_add(interface);
        self.last = now;
        self.total.total().saturating_sub(before)
    }
}

/// An interface that is captured on.
pub(super) struct Device {
    capture: Capture<Active>,
    pub(super) link_type: LinkType,
    /// May poll(2) wait for it?
    pub(super) is_pollable: bool,
    file: u16,
    packet: u32,
    drops: Counters,
    pub(super) info: InputInfo,
}

impl Device {
    /// Begins to capture on `name`, the input number `file`.
    pub(super) fn open(
        name: &str,
        file: u16,
        gather_ms: i32,
        options: &LiveOptions,
    ) -> Result<Device, CaptureError> {
        let cannot_open = |error: pcap::Error| failed(&open_context(name, &error), &error);
        // Microseconds, libpcap's default: it would take a wish for nanoseconds without saying whether it was heard.
        let capture = Capture::from_device(name)
            .map_err(cannot_open)?
            .snaplen(options.snaplen)
            .buffer_size(options.buffer_bytes)
            .promisc(options.promiscuous)
            .immediate_mode(options.immediate)
            .timeout(gather_ms)
            .open()
            .and_then(Capture::setnonblock)
            .map_err(cannot_open)?;
        let link_type = link_type(&capture);
        let mut device = Device {
            capture,
            link_type,
            is_pollable: is_network_interface(name),
            file,
            packet: 0,
            drops: Counters::default(),
            info: InputInfo { path: name.to_owned(), format: Some("live"), ..InputInfo::default() },
        };
        device.restrict(options)?;
        device.read_drops();
        device.drops.total = Dropped::default();
        Ok(device)
    }

    fn restrict(&mut self, options: &LiveOptions) -> Result<(), CaptureError> {
        let direction = match options.direction {
            Direction::Both => None,
            Direction::In => Some(pcap::Direction::In),
            Direction::Out => Some(pcap::Direction::Out),
        };
        if let Some(direction) = direction {
            let context = format!("can't choose a direction on {}", self.info.path);
            self.capture.direction(direction).map_err(|error| failed(&context, &error))?;
        }
        let Some(expression) = &options.filter else {
            // On a link type that it can't be compiled for, everything is taken: it only spares work.
            let _ = self.capture.filter(DEFAULT_FILTER, true);
            return Ok(());
        };
        self.capture.filter(expression, true).map_err(|error| CaptureError::Filter {
            expression: expression.clone(),
            link_type: self.link_type,
            reason: error.to_string(),
        })
    }

    /// Hands the packets that the kernel has to `handle`, without waiting and as they lie in its buffer. Returns their
    /// number.
    pub(super) fn each(&mut self, mut handle: impl FnMut(&PacketRef, &[u8])) -> Result<usize, CaptureError> {
        let Device { capture, link_type, file, packet: number, info, .. } = self;
        let take = |packet: Packet<'_>| {
            *number = number.saturating_add(1);
            let at = Moment::new(time(&packet), *number, *file);
            let original_len = packet.header.len;
            let packet_ref = PacketRef { at, link_type: *link_type, fcs_len: 0, range: 0..0, original_len };
            info.bytes = info.bytes.saturating_add(packet.data.len() as u64);
            info.note(std::slice::from_ref(&packet_ref));
            handle(&packet_ref, packet.data);
        };
        match capture.dispatch(Some(MOST_PACKETS), take) {
            Err(error) if has_nothing_yet(&error) => Ok(0),
            taken => {
                taken.map_err(|error| failed(&format!("can't capture on {} any longer", info.path), &error))
            }
        }
    }

    /// Asks the kernel what it dropped; gives how many packets are new since the last time.
    pub(super) fn read_drops(&mut self) -> u64 {
        let Ok(statistics) = self.capture.stats() else { return 0 };
        let new = self.drops.update([statistics.dropped, statistics.if_dropped]);
        self.info.dropped_packets = self.drops.total.total();
        new
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.drops.total
    }

    /// What poll(2) takes.
    #[cfg(unix)]
    pub(super) fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.capture)
    }
}

/// The link type of an interface; `None`: it can't be captured on.
pub(super) fn probe_link_type(name: &str) -> Option<LinkType> {
    Capture::from_device(name).ok()?.open().ok().map(|capture| link_type(&capture))
}

fn link_type(capture: &Capture<Active>) -> LinkType {
    LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX))
}

/// Only that nothing is there to be taken without waiting? libpcap's reader of netfilter's log calls that an error.
fn has_nothing_yet(error: &pcap::Error) -> bool {
    matches!(error, pcap::Error::PcapError(text) if text.ends_with(": Resource temporarily unavailable"))
}

/// libpcap's other devices (D-Bus, USB, netfilter's) need not have a descriptor, and the `pcap` crate panics then.
fn is_network_interface(name: &str) -> bool {
    cfg!(target_os = "linux") && (name == "any" || Path::new("/sys/class/net").join(name).exists())
}

#[expect(clippy::useless_conversion, reason = "the C types of timeval are 32-bit on some systems")]
fn time(packet: &Packet<'_>) -> Timestamp {
    let at = packet.header.ts;
    Timestamp::from_parts(i64::from(at.tv_sec), i64::from(at.tv_usec).saturating_mul(1_000))
}

fn open_context(name: &str, error: &pcap::Error) -> String {
    let text = error.to_string().to_lowercase();
    let remedy = if text.contains("permission") || text.contains("not permitted") {
        " (this needs root: sudo wsclose live ...; or, once for all: sudo setcap cap_net_raw+ep \
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

pub(super) fn failed(context: &str, error: &pcap::Error) -> CaptureError {
    CaptureError::Io { context: context.to_owned(), source: std::io::Error::other(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_counters_survive_a_wrap() {
        let mut drops = Counters::default();
        assert_eq!(drops.update([u32::MAX - 1, 5]), u64::from(u32::MAX - 1) + 5);
        assert_eq!(drops.update([3, 6]), 5 + 1);
        assert_eq!(drops.update([3, 6]), 0);
        assert_eq!(drops.total, Dropped { by_kernel: u64::from(u32::MAX - 1) + 5, by_interface: 6 });
    }
}
