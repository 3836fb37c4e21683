//! From a packet to its TCP segment: link layers, tunnels, IP, fragments.

pub mod segment;
