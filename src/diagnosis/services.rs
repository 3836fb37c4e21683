//! What private close codes mean to protocols and services that are recognised by more than the number.

use crate::websocket::close_code::CloseCode;

/// What a private code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Who says so: a subprotocol or a service.
    pub by: &'static str,
    /// The code's name there.
    pub name: &'static str,
    /// May the client come back without a change of its own?
    pub may_reconnect: bool,
}

/// A service recognised by its host.
struct Service {
    /// The host name, or with a dot in front the domain it lies in.
    host: &'static str,
    by: &'static str,
    first: u16,
    last: u16,
    name: &'static str,
    may_reconnect: bool,
}

const SERVICES: &[Service] = &[
    service("gateway.discord.gg", "Discord", 4004, 4004, "authentication failed", false),
    service("gateway.discord.gg", "Discord", 4008, 4008, "rate limited", true),
    service("gateway.discord.gg", "Discord", 4009, 4009, "session timed out", true),
    service("gateway.discord.gg", "Discord", 4010, 4014, "invalid shard, version or intents", false),
    service(".pusher.com", "the Pusher protocol", 4000, 4099, "do not reconnect", false),
    service(".pusher.com", "the Pusher protocol", 4100, 4199, "reconnect after a pause", true),
    service(".pusher.com", "the Pusher protocol", 4200, 4299, "reconnect at once", true),
];

const fn service(
    host: &'static str,
    by: &'static str,
    first: u16,
    last: u16,
    name: &'static str,
    may_reconnect: bool,
) -> Service {
    Service { host, by, first, last, name, may_reconnect }
}

impl Service {
    /// Is it at this host? Names are compared without case (RFC 9110 §4.2.3).
    fn is_at(&self, host: &[u8]) -> bool {
        let start = host.len().checked_sub(self.host.len());
        let Some((before, end)) = start.and_then(|start| host.split_at_checked(start)) else { return false };
        end.eq_ignore_ascii_case(self.host.as_bytes()) && (before.is_empty() || self.host.starts_with('.'))
    }
}

/// What `code` means where this subprotocol was agreed on, or at this host. `None`: the number alone tells nothing.
#[must_use]
pub fn meaning(code: CloseCode, subprotocol: Option<&[u8]>, host: Option<&[u8]>) -> Option<Meaning> {
    let agreed = |name: &str| subprotocol.is_some_and(|agreed| agreed.trim_ascii() == name.as_bytes());
    let known = code.known_uses().find(|known| agreed(known.subprotocol));
    if let Some(known) = known {
        // graphql-ws calls 44xx fatal, but for those that speak of time.
        let may_reconnect = !(4400..4500).contains(&code.0) || matches!(code.0, 4408);
        return Some(Meaning { by: known.subprotocol, name: known.name, may_reconnect });
    }
    let host = host?.split(|byte| *byte == b':').next()?;
    SERVICES
        .iter()
        .find(|service| service.is_at(host) && (service.first..=service.last).contains(&code.0))
        .map(|service| Meaning { by: service.by, name: service.name, may_reconnect: service.may_reconnect })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_means_nothing() {
        let fatal = |code, subprotocol: &[u8], host: &[u8]| {
            meaning(CloseCode(code), Some(subprotocol), Some(host)).map(|meaning| meaning.may_reconnect)
        };
        assert_eq!(fatal(4401, b"chat", b"example.org"), None);
        assert_eq!(fatal(4401, b"graphql-transport-ws", b"example.org"), Some(false));
        assert_eq!(fatal(4001, b"", b"ws-eu.pusher.com:443"), Some(false));
        assert_eq!(fatal(4201, b"", b"ws-eu.pusher.com"), Some(true));
    }
}
