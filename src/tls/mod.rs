//! TLS as a passive reader follows it: records in, decrypted stream events out (RFC 5246, RFC 8446).
//!
//! ```text
//!                    keylog: client random -> secrets
//!                               |
//!  StreamEvent --> record --> session --> decrypt --> StreamEvent
//!                  framing    |  hello     suite
//!                             |  key_schedule
//!                             +--> facts: SNI, ALPN, version, suite, close_notify, alerts
//! ```
//!
//! Nothing is verified but the records themselves: certificates and handshake signatures are the endpoints' affair.

pub mod keylog;
pub mod suite;
mod suite_table;
pub mod record;
pub mod hello;
pub mod key_schedule;
pub mod decrypt;
pub mod shape;
pub mod facts;
mod held;
mod direction;
pub mod session;
pub mod sessions_present;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod sealing;
#[cfg(test)]
mod testing;
