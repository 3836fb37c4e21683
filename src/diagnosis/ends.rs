//! Who opened a connection and who accepted it, in few bytes.

use crate::decode::segment::Endpoint;
use crate::pack::{Pack, Packer, Unpacker};
use std::net::{IpAddr, Ipv4Addr};

/// Client and server of one connection: of IPv4, as most are, in 16 bytes instead of 40. Which form it has hangs on the ends
/// alone, so that equal ones are equal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ends {
    V4 { client: (Ipv4Addr, u16), server: (Ipv4Addr, u16) },
    Other(Box<(Endpoint, Endpoint)>),
}

impl Ends {
    pub(super) fn new(client: Endpoint, server: Endpoint) -> Self {
        match (client.address, server.address) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                Ends::V4 { client: (from, client.port), server: (to, server.port) }
            }
            _ => Ends::Other(Box::new((client, server))),
        }
    }

    pub(super) fn client(&self) -> Endpoint {
        match self {
            Ends::V4 { client, .. } => of_v4(*client),
            Ends::Other(ends) => ends.0,
        }
    }

    pub(super) fn server(&self) -> Endpoint {
        match self {
            Ends::V4 { server, .. } => of_v4(*server),
            Ends::Other(ends) => ends.1,
        }
    }
}

fn of_v4((address, port): (Ipv4Addr, u16)) -> Endpoint {
    Endpoint { address: address.into(), port }
}

impl Pack for Ends {
    fn pack(&self, into: &mut Packer) {
        (self.client(), self.server()).pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let (client, server) = Pack::unpack(from);
        Ends::new(client, server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn both_ends_come_out_as_they_went_in() {
        let v4 =
            |last| Endpoint { address: Ipv4Addr::new(10, 0, 0, last).into(), port: 1_000 + u16::from(last) };
        let v6 = Endpoint { address: Ipv6Addr::LOCALHOST.into(), port: 443 };
        for (client, server) in [(v4(1), v4(2)), (v6, v4(3)), (v4(4), v6), (v6, v6)] {
            let ends = Ends::new(client, server);
            assert_eq!((ends.client(), ends.server()), (client, server));
            let (mut packer, mut packed) = (Packer::default(), Vec::new());
            ends.pack(&mut packer);
            packer.finish(&mut packed);
            assert_eq!(Ends::unpack(&mut Unpacker::new(&packed)), ends);
        }
        assert_eq!(size_of::<Ends>(), 16);
    }
}
