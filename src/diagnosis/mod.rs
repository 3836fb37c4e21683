//! Why a connection ended, and what to do about it. Pure: facts in, findings out.
//!
//! ```text
//!            one connection                          all connections
//!  Facts --> connection::diagnose --> Diagnosis --+
//!    |                                            +--> Survey::findings --> Finding
//!    +----> Trace --------------------------------+
//! ```
//!
//! What a connection's own packets show is said at once, so that no record is held back; what only many together
//! show (one idle limit, a restart, a storm of reconnects) is said in the findings at the end.

pub mod finding;
mod words;
pub mod facts;
pub mod idle_limits;
mod idle;
mod keepalive;
mod timeout;
mod icmp;
mod reset;
mod stream;
pub mod services;
mod before_close;
mod ending;
mod ends;
mod proxy;
pub mod connection;
pub mod trace;
mod traces;
mod clusters;
mod many;
mod path;
mod shared;
mod reconnect;
pub mod survey;
pub mod stack;
mod stack_table;

#[cfg(test)]
mod growth;
