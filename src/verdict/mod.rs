//! The opinions: from all evidence about one connection to who closed it, with what code, and how.

pub mod teardown;
pub mod reset_origin;
#[allow(clippy::module_inception, reason = "the module's chief type")]
pub mod verdict;
mod why;
pub mod judge;
pub mod vantage;
mod reach;
pub mod endpoint;
pub mod legs;
