//! From a packet to its TCP segment: link layers, tunnels, IP, fragments.
//!
//! ```text
//!            common shapes
//! packet --> fast ----------------------------------------------> Segment
//!            link --> layer --> ip --> defrag --> tunnel --> tcp --> Segment
//!                       ^                           |        icmp --> IcmpError
//!                       +---------------------------+
//! ```
//!
//! [`Decoder`] tries the fast path first: Ethernet with up to two VLAN tags, Linux "cooked" or raw, IPv4 without
//! options or IPv6 without extension headers, TCP. It answers only where it is certain; everything else goes
//! layer by layer through the general path, which also does all the counting of what can't be read.

pub mod flow_key;
pub mod segment;
pub mod encapsulation;
mod span;
mod layer;
mod ip;
mod defrag;
mod tcp;
mod icmp;
mod link;
mod tunnel;
mod fast;
mod decoder;

#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use link::is_supported;
