//! Packets from interfaces, through libpcap.
//!
//! ```text
//!  device.rs   eth0: 1 2 5 |    each lane holds what its interface gave; the earliest packet goes first, once every
//!              eth1: 3 4        lane has one, or none can come that is earlier: the kernel holds packets back no longer
//!                               than HOLD
//!  waiting     poll(2) on all descriptors, 250 ms at most: then time, signals and drop counters are looked at
//! ```
//!
//! The handles are non-blocking: libpcap's blocking read never returns from an idle interface on Linux, whatever its
//! timeout. Where there is no descriptor to poll, the source sleeps, from 1 ms up to 16 ms. The kernel's buffer holds
//! what arrives meanwhile: 64 MB are 30 ms of 17 Gbit/s.

mod device;
pub mod filter;

pub use device::Dropped;

use super::info::{InputError, InputInfo};
use super::link_type::LinkType;
use super::{CaptureError, More, PacketRef};
use crate::time::Timestamp;
use device::{Device, probe_link_type};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// [`LiveSource::wait`] returns at the latest after this, with or without packets.
const WAIT: Duration = Duration::from_millis(250);
/// Once all that came was taken, it is not looked for more before this: the kernel wakes a reader for every block that fills,
/// thousands of times a second on a busy interface.
const PAUSE: Duration = Duration::from_millis(2);
/// Shortest and longest sleep between two looks for packets, where there is nothing to poll.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
const LONGEST_SLEEP: Duration = Duration::from_millis(16);
/// How long the kernel may gather packets before it hands them over, in milliseconds.
const GATHER_MS: i32 = 100;
/// The same where several interfaces wait for each other: at 6 Gbit/s, 30 ms fill a third of the kernel's buffer.
const GATHER_SEVERAL_MS: i32 = 10;
/// A packet of one interface waits so long for earlier ones of another.
const HOLD: Duration = Duration::from_millis(30);
/// Packets of several interfaces handed on at a time.
const MERGED_PACKETS: usize = 4_096;

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
    /// The interfaces' names; `any` for all of a Linux host's.
    pub interfaces: Vec<String>,
    /// Bytes captured of a packet at most. A Close may stand at the end of the longest segment, and a cut handshake is
    /// not read.
    pub snaplen: i32,
    /// The kernel's buffer for each interface, in bytes.
    pub buffer_bytes: i32,
    /// Also packets that are addressed to others.
    pub promiscuous: bool,
    /// Hand packets over one by one as they come: quicker, dearer.
    pub immediate: bool,
    /// A pcap-filter(7) expression; `None`: [`filter::DEFAULT_FILTER`].
    pub filter: Option<String>,
    /// Which way the packets go.
    pub direction: Direction,
}

impl Default for LiveOptions {
    fn default() -> Self {
        LiveOptions {
            interfaces: vec!["any".to_owned()],
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
    /// Its name, for [`LiveOptions::interfaces`].
    pub name: String,
    /// What libpcap says of it.
    pub description: Option<String>,
    /// Its addresses, as text.
    pub addresses: Vec<String>,
    /// How its packets are to be read; `None`: it can't be opened, for want of rights as a rule.
    pub link_type: Option<LinkType>,
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
    let devices =
        pcap::Device::list().map_err(|error| device::failed("can't list the interfaces", &error))?;
    Ok(devices.into_iter().map(interface).collect())
}

fn interface(device: pcap::Device) -> Interface {
    Interface {
        addresses: device.addresses.iter().map(|address| address.addr.to_string()).collect(),
        link_type: probe_link_type(&device.name),
        up: device.flags.is_up(),
        loopback: device.flags.is_loopback(),
        name: device.name,
        description: device.desc,
    }
}

/// A span of time in which packets were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossSpan {
    /// When the counters had last been looked at.
    pub from: Timestamp,
    /// When they were found to have grown.
    pub to: Timestamp,
    /// By how many packets.
    pub packets: u64,
}

/// Packets from interfaces.
pub struct LiveSource {
    lanes: Vec<Lane>,
    stop: Arc<AtomicBool>,
    ended: bool,
    /// There was nothing to hand on when it was looked for last.
    is_dry: bool,
    /// Something was handed on since it was waited last.
    has_taken: bool,
    /// How long to sleep next, where there is nothing to poll.
    sleep: Duration,
    /// When the stop was noticed: what the kernel still holds is taken then.
    stopped_at: Option<Instant>,
    /// The kernel holds packets back no longer than this.
    gather: Duration,
    looked_at: Option<(Instant, Timestamp)>,
    losses: Vec<LossSpan>,
    /// What people should be told.
    notices: Vec<String>,
}

/// One interface with the packets it gave that were not handed on yet. Where there is only one, it never holds any.
struct Lane {
    device: Device,
    held: Held,
    /// The kernel had nothing when it was asked last.
    is_dry: bool,
    gone: bool,
}

/// Copies of packets: the kernel's buffer is its own again once it has handed them out.
#[derive(Default)]
struct Held {
    packets: VecDeque<PacketRef>,
    bytes: Vec<u8>,
}

impl Held {
    fn push(&mut self, packet: &PacketRef, bytes: &[u8]) {
        let from = self.bytes.len();
        let ends = (u32::try_from(from), u32::try_from(from.saturating_add(bytes.len())));
        if let (Ok(from), Ok(to)) = ends {
            self.bytes.extend_from_slice(bytes);
            self.packets.push_back(PacketRef { range: from..to, ..packet.clone() });
        }
    }

    fn bytes_of(&self, packet: &PacketRef) -> &[u8] {
        self.bytes.get(packet.range.start as usize..packet.range.end as usize).unwrap_or_default()
    }
}

impl Lane {
    fn first(&self) -> Option<&PacketRef> {
        self.held.packets.front()
    }

    /// Asks the kernel for packets if all that it gave were handed on.
    fn fill(&mut self) -> Result<(), CaptureError> {
        if self.gone || self.is_dry || self.first().is_some() {
            return Ok(());
        }
        let Lane { device, held, .. } = self;
        held.bytes.clear();
        let taken = device.each(|packet, bytes| held.push(packet, bytes))?;
        self.is_dry = taken == 0;
        Ok(())
    }
}

impl LiveSource {
    /// Begins to capture. Setting `stop` (from a signal, say) ends the source.
    ///
    /// # Errors
    /// An interface can't be opened (a missing right is named), or the filter is not valid.
    pub fn open(options: &LiveOptions, stop: Arc<AtomicBool>) -> Result<LiveSource, CaptureError> {
        let gather_ms = if options.interfaces.len() > 1 { GATHER_SEVERAL_MS } else { GATHER_MS };
        // The kernel's timer has steps of its own.
        let gather = Duration::from_millis(u64::from(gather_ms.unsigned_abs())) + HOLD;
        let mut lanes = Vec::new();
        for (name, file) in options.interfaces.iter().zip(0_u16..) {
            let device = Device::open(name, file, gather_ms, options)?;
            lanes.push(Lane { device, held: Held::default(), is_dry: false, gone: false });
        }
        let looked_at = Some((Instant::now(), now()));
        Ok(LiveSource {
            lanes,
            stop,
            ended: false,
            is_dry: false,
            has_taken: false,
            sleep: SHORTEST_SLEEP,
            stopped_at: None,
            gather,
            looked_at,
            losses: Vec::new(),
            notices: Vec::new(),
        })
    }

    /// What is known of each interface so far, in the order given.
    #[must_use]
    pub fn infos(&self) -> Vec<InputInfo> {
        self.lanes.iter().map(|lane| lane.device.info.clone()).collect()
    }

    /// Each interface's name and link type.
    pub fn links(&self) -> impl Iterator<Item = (&str, LinkType)> {
        self.lanes.iter().map(|lane| (lane.device.info.path.as_str(), lane.device.link_type))
    }

    /// What was dropped so far, over all interfaces.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.lanes.iter().map(|lane| lane.device.dropped()).fold(Dropped::default(), |sum, one| Dropped {
            by_kernel: sum.by_kernel.saturating_add(one.by_kernel),
            by_interface: sum.by_interface.saturating_add(one.by_interface),
        })
    }

    /// The spans of time in which packets were lost, as far as they were not taken before.
    pub fn take_losses(&mut self) -> Vec<LossSpan> {
        std::mem::take(&mut self.losses)
    }

    /// What people should be told: an interface that is gone while others go on.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Waits, where nothing was left the last time, until there may be a packet, for 250 ms at most; a
    /// signal ends it early.
    pub fn wait(&mut self) {
        if !self.is_dry || self.ended {
            return;
        }
        let is_stopping = self.stop.load(Ordering::Relaxed);
        if std::mem::take(&mut self.has_taken) {
            std::thread::sleep(PAUSE);
        }
        let left = if self.holds() || is_stopping { HOLD / 4 } else { WAIT };
        #[cfg(unix)]
        if self.poll(left) {
            return;
        }
        std::thread::sleep(left.min(self.sleep));
        self.sleep = self.sleep.saturating_mul(2).min(LONGEST_SLEEP);
    }

    /// Hands on what there is, without waiting: those of one interface as they lie in the kernel's buffer. [`More::No`]: the
    /// capture has ended.
    ///
    /// # Errors
    /// No interface can be captured on any longer. What came before was handed on.
    pub fn take(&mut self, mut handle: impl FnMut(&PacketRef, &[u8])) -> Result<More, CaptureError> {
        if self.ended {
            return Ok(More::No);
        }
        let taken = match self.lanes.as_mut_slice() {
            [only] => only.device.each(handle),
            _ => self.merge(&mut handle),
        };
        self.is_dry = taken.as_ref().is_ok_and(|taken| *taken == 0);
        if !self.is_dry {
            self.has_taken = true;
            self.sleep = SHORTEST_SLEEP;
        }
        self.ended = taken.is_err() || self.is_drained();
        self.look_at_drops(self.ended);
        if self.ended {
            self.note_end(taken.as_ref().err());
        }
        taken.map(|_| if self.ended { More::No } else { More::Yes })
    }

    /// Was everything handed on that interfaces gave?
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.is_dry && !self.holds()
    }

    fn holds(&self) -> bool {
        self.lanes.iter().any(|lane| lane.first().is_some())
    }

    fn note_end(&mut self, error: Option<&CaptureError>) {
        for lane in &mut self.lanes {
            let info = &mut lane.device.info;
            info.complete = error.is_none() && info.error.is_none();
            info.error = info.error.take().or_else(|| error.map(InputError::from));
        }
    }

    /// Hands on packets of all lanes in the order of time, as far as that is certain; gives their number.
    fn merge(&mut self, handle: &mut impl FnMut(&PacketRef, &[u8])) -> Result<usize, CaptureError> {
        for lane in &mut self.lanes {
            lane.is_dry = false;
        }
        let mut taken = 0;
        while taken < MERGED_PACKETS {
            self.fill()?;
            let Some(at) = self.certain() else { break };
            let earliest = self.lanes.iter_mut().find(|lane| lane.first().is_some_and(|p| p.at.at == at));
            let Some(lane) = earliest else { break };
            let Some(packet) = lane.held.packets.pop_front() else { break };
            handle(&packet, lane.held.bytes_of(&packet));
            taken += 1;
        }
        Ok(taken)
    }

    /// Asks the kernel for each lane's next packets. An interface that fails ends its lane; the last one, the capture.
    fn fill(&mut self) -> Result<(), CaptureError> {
        for lane in &mut self.lanes {
            let Err(error) = lane.fill() else { continue };
            lane.gone = true;
            lane.device.info.error = Some(InputError::from(&error));
            self.notices.push(error.to_string());
        }
        if self.lanes.iter().all(|lane| lane.gone && lane.first().is_none()) {
            let gone = self.notices.pop().unwrap_or_default();
            let source = std::io::Error::other(gone);
            return Err(CaptureError::Io { context: "no interface is left".to_owned(), source });
        }
        Ok(())
    }

    /// The time of the earliest packet, if none that is earlier can still come.
    fn certain(&self) -> Option<Timestamp> {
        let earliest = self.lanes.iter().filter_map(Lane::first).map(|packet| packet.at.at).min()?;
        let is_whole = || self.lanes.iter().all(|lane| lane.gone || lane.first().is_some());
        // A time that lies ahead is that of a clock which has stepped back since.
        let waited = now().nanos_since(earliest).unsigned_abs() >= nanos(HOLD);
        (self.stopped_at.is_some() || waited || is_whole()).then_some(earliest)
    }

    /// False: there is nothing to poll.
    #[cfg(unix)]
    fn poll(&self, left: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let waiting = self.lanes.iter().filter(|lane| !lane.gone && lane.first().is_none());
        let mut descriptors = Vec::with_capacity(self.lanes.len());
        for lane in waiting {
            if !lane.device.is_pollable {
                return false;
            }
            descriptors.push(PollFd::from_borrowed_fd(lane.device.descriptor(), PollFlags::IN));
        }
        let timeout = Timespec::try_from(left).ok();
        // An interrupted wait is a wait that is over.
        let _ = poll(&mut descriptors, timeout.as_ref());
        // An interface that is down has an error to tell at once, each time.
        let is_idle = descriptors.iter().any(|one| one.revents().contains(PollFlags::ERR));
        !is_idle
    }

    /// After the stop: has the kernel nothing more? It hands over what it gathers after a while; on a busy interface it always
    /// has more, so there is a bound.
    fn is_drained(&mut self) -> bool {
        if !self.stop.load(Ordering::Relaxed) {
            return false;
        }
        let stopped_at = *self.stopped_at.get_or_insert_with(Instant::now);
        let waited = stopped_at.elapsed();
        waited >= WAIT || (waited >= self.gather && self.is_silent())
    }

    fn look_at_drops(&mut self, is_last: bool) {
        let (looked, from) = self.looked_at.unwrap_or_else(|| (Instant::now(), now()));
        if !is_last && looked.elapsed() < WAIT {
            return;
        }
        let to = now();
        self.looked_at = Some((Instant::now(), to));
        let packets = self.lanes.iter_mut().map(|lane| lane.device.read_drops()).fold(0, u64::saturating_add);
        if packets > 0 {
            self.losses.push(LossSpan { from: from.min(to), to: to.max(from), packets });
        }
    }
}

/// The time of day, as packets are stamped with.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_interface_is_an_error_that_names_it() {
        let options = LiveOptions { interfaces: vec!["no-such-if0".to_owned()], ..LiveOptions::default() };
        let error = LiveSource::open(&options, Arc::default()).err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.starts_with("can't capture on no-such-if0")));
    }
}
