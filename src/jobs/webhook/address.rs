//! Which addresses may be called. Invariant: what is checked is what is connected to: the client connects to the addresses that
//! this resolver gives it and to no others, so a name that changes its mind between a look and a call gains nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Every address that a name has is private.
#[derive(Debug)]
pub(super) struct AddressRefused;

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver has private addresses only")
    }
}

impl std::error::Error for AddressRefused {}

/// A name has no address.
#[derive(Debug)]
pub(super) struct NameUnknown;

impl fmt::Display for NameUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver's name has no address")
    }
}

impl std::error::Error for NameUnknown {}

/// Which addresses a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public ones.
    Public,
    /// All.
    Everywhere,
}

impl Reach {
    /// Whether `ip` is within it.
    pub(super) fn covers(self, ip: IpAddr) -> bool {
        match self {
            Reach::Public => is_public(ip),
            Reach::Everywhere => true,
        }
    }

    /// Whether an address that names its IP, which no resolver is asked about, is within it. Names are left to the resolver.
    pub(super) fn covers_literal(self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        bare.parse().map_or(true, |ip| self.covers(ip))
    }
}

/// Resolves by the system's rules and gives only addresses within its reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolver(pub(super) Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NameUnknown)?.collect();
            Ok(Box::new(within(reach, found)?.into_iter()) as Addrs)
        })
    }
}

/// Those of `found` that are within `reach`.
fn within(reach: Reach, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    if found.is_empty() {
        return Err(Box::new(NameUnknown));
    }
    let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| reach.covers(address.ip())).collect();
    if allowed.is_empty() { Err(Box::new(AddressRefused)) } else { Ok(allowed) }
}

/// Whether an address is one of the open Internet: by the registries of special-purpose addresses (RFC 6890 and its updates).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, d] = ip.octets();
    let is_special = match a {
        // "This network", private, loopback.
        0 | 10 | 127 => true,
        // Carrier-grade NAT.
        100 => b & 0xc0 == 64,
        // A cloud's own services inside each of its machines, at an address that looks public.
        168 => [b, c, d] == [63, 129, 16],
        // Link-local, where clouds keep their metadata.
        169 => b == 254,
        172 => b & 0xf0 == 16,
        // Private; protocol assignments, documentation, 6to4 relays.
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        // Benchmarks and documentation.
        198 => b & 0xfe == 18 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        // Multicast, reserved, broadcast.
        224..=255 => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let parts = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // IPv4 in other clothes: mapped, compatible (with :: and ::1 among them), translated (NAT64), 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // The rest of the translation prefixes, Teredo and other protocol assignments, documentation.
        [0 | 0x64 | 0x100, ..] | [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast; everything else is unique-local, link-local, site-local, multicast or unassigned.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &[&str] = &[
        "8.8.8.8",
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.0.1",
        "192.169.0.1",
        "168.63.129.15",
        "169.253.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ];
    const PRIVATE: &[&str] = &[
        "168.63.129.16",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "4000::1",
        "::ffff:0:127.0.0.1",
    ];

    #[test]
    fn public_addresses_are_told_from_private_ones_in_every_form() {
        for text in PUBLIC {
            assert!(Reach::Public.covers(text.parse().unwrap()), "{text} is public");
        }
        for text in PRIVATE {
            assert!(!Reach::Public.covers(text.parse().unwrap()), "{text} is private");
            assert!(Reach::Everywhere.covers(text.parse().unwrap()));
        }
    }

    #[test]
    fn an_address_that_names_its_ip_is_checked_however_it_is_spelled() {
        for text in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::1]",
            "[::ffff:7f00:1]",
            "0",
            "169.254.169.254",
        ] {
            let url = Url::parse(&format!("http://{text}/")).unwrap();
            assert!(!Reach::Public.covers_literal(&url), "{text}: {url}");
            assert!(Reach::Everywhere.covers_literal(&url));
        }
        for text in ["8.8.8.8", "[2606:4700::1111]", "hooks.test"] {
            assert!(Reach::Public.covers_literal(&Url::parse(&format!("http://{text}/")).unwrap()), "{text}");
        }
    }

    #[test]
    fn of_a_name_with_public_and_private_addresses_the_public_ones_are_left() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let mixed = vec![address("10.0.0.1"), address("8.8.8.8"), address("::1")];
        assert_eq!(within(Reach::Public, mixed.clone()).unwrap(), [address("8.8.8.8")]);
        assert_eq!(within(Reach::Everywhere, mixed.clone()).unwrap(), mixed);
        assert!(within(Reach::Public, vec![address("10.0.0.1"), address("::1")]).unwrap_err().is::<AddressRefused>());
        assert!(within(Reach::Everywhere, Vec::new()).unwrap_err().is::<NameUnknown>());
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused_by_the_resolver_itself() {
        let ask = |reach| Resolver(reach).resolve("localhost".parse().unwrap());
        assert!(ask(Reach::Public).await.err().unwrap().is::<AddressRefused>());
        assert!(ask(Reach::Everywhere).await.unwrap().all(|address| address.ip().is_loopback()));
    }
}
