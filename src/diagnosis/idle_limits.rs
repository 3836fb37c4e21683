//! The idle and lifetime limits of proxies, load balancers and servers, as data.
//!
//! Defaults from their documentation and sources. A number alone names no product: several share it.

use crate::side::Side;

/// What sets a limit's timer back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Bytes of either side.
    Either,
    /// Bytes of this side only.
    From(Side),
    /// Nothing: it runs from the handshake.
    Lifetime,
}

/// How the connection ends when the timer runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// TCP is closed in order, without a Close frame.
    Fin,
    /// TCP is closed or reset, without a Close frame.
    FinOrRst,
    /// A Close frame with this code.
    Close(u16),
    /// Nothing is sent; the next packet is dropped or reset.
    Silent,
}

/// One product's limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The product, with its setting.
    pub product: &'static str,
    /// What its `Server` header holds: a second feature. Empty: it sends none of its own.
    pub header: &'static str,
    /// The default, in seconds.
    pub seconds: f64,
    /// What sets the timer back.
    pub timer: Timer,
    /// How it ends.
    pub style: Style,
}

const fn limit(
    product: &'static str,
    header: &'static str,
    seconds: f64,
    timer: Timer,
    style: Style,
) -> Limit {
    Limit { product, header, seconds, timer, style }
}

/// The limits, by their length.
pub const LIMITS: &[Limit] = &[
    limit("Jetty (idleTimeout)", "Jetty", 30.0, Timer::Either, Style::Close(1001)),
    limit("Google Cloud HTTP(S) load balancer (backend timeout)", "", 30.0, Timer::Lifetime, Style::Fin),
    limit("HAProxy (timeout client/server of the sample configuration)", "", 50.0, Timer::Either, Style::Fin),
    limit("Heroku's router", "", 55.0, Timer::Either, Style::FinOrRst),
    limit("nginx (proxy_read_timeout)", "nginx", 60.0, Timer::Either, Style::Fin),
    limit("AWS Application Load Balancer (idle timeout)", "awselb", 60.0, Timer::Either, Style::Fin),
    limit("Apache httpd (ProxyTimeout)", "Apache", 60.0, Timer::Either, Style::Fin),
    limit("HAProxy (timeout client/server of 1m)", "", 60.0, Timer::Either, Style::Fin),
    limit(
        "a read deadline of 60 s, as in gorilla's example",
        "",
        60.0,
        Timer::From(Side::Client),
        Style::FinOrRst,
    ),
    limit("Cowboy (idle_timeout)", "Cowboy", 60.0, Timer::From(Side::Client), Style::Close(1000)),
    limit("Phoenix on Bandit (timeout)", "", 60.0, Timer::From(Side::Client), Style::Close(1002)),
    limit("Cloudflare", "cloudflare", 100.0, Timer::Either, Style::Fin),
    limit("uWebSockets (idleTimeout)", "uWebSockets", 120.0, Timer::From(Side::Client), Style::FinOrRst),
    limit("Azure App Service", "", 230.0, Timer::Either, Style::FinOrRst),
    limit("Azure Load Balancer (TCP reset enabled)", "", 240.0, Timer::Either, Style::FinOrRst),
    limit("Azure Load Balancer (idle timeout)", "", 240.0, Timer::Either, Style::Silent),
    limit("Envoy (stream_idle_timeout)", "envoy", 300.0, Timer::Either, Style::FinOrRst),
    limit("AWS Network Load Balancer (idle timeout)", "", 350.0, Timer::Either, Style::Silent),
    limit("AWS API Gateway (idle)", "", 600.0, Timer::Either, Style::Close(1001)),
    limit("Amazon CloudFront", "CloudFront", 600.0, Timer::From(Side::Server), Style::Fin),
    limit("IPVS (tcp timeout)", "", 900.0, Timer::Either, Style::Silent),
    limit("Envoy (TCP proxy idle_timeout)", "", 3_600.0, Timer::Either, Style::FinOrRst),
    limit("AWS API Gateway (lifetime)", "", 7_200.0, Timer::Lifetime, Style::Close(1001)),
    limit(
        "Linux conntrack (nf_conntrack_tcp_timeout_established)",
        "",
        432_000.0,
        Timer::Either,
        Style::Silent,
    ),
];

/// How far a measured time may lie from a limit, in seconds: timers are coarse, and the network adds its delay.
#[must_use]
pub fn tolerance(seconds: f64) -> f64 {
    (seconds * 0.01).max(0.3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_in_order() {
        assert!(LIMITS.is_sorted_by(|a, b| a.seconds <= b.seconds));
    }
}
