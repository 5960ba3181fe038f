//! What a proxy says of the request that it passes on. Invariant: only a proxy that the settings name is believed, and only as far back as
//! each hop is named too; where its headers contradict each other, none of them is.

use std::net::{IpAddr, SocketAddr};

use ::http::HeaderMap;
use ::http::header::{self, HeaderName};
use ipnet::IpNet;

use super::request::{Origin, Scheme};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The most hops that are followed.
const HOPS_LIMIT: usize = 32;

/// Where a request came from and which address the client used, as far as proxies that are believed say so.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// The client, or the nearest hop that is not believed.
    pub(super) client: Option<IpAddr>,
    /// How the client came.
    pub(super) scheme: Option<Scheme>,
    /// The host that the client named.
    pub(super) host: Option<String>,
}

impl Forwarded {
    /// What `headers` say, when the connection is that of a proxy in `trusted`; nothing otherwise.
    pub(super) fn of(headers: &HeaderMap, origin: Option<&Origin>, trusted: &[IpNet]) -> Forwarded {
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
        let Some(proxy) = origin.and_then(|origin| origin.peer).filter(is_trusted) else { return Forwarded::default() };
        let has_common = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST].iter().any(|name| headers.contains_key(name));
        let common = has_common.then(|| common(headers, proxy, is_trusted));
        let standard = headers.contains_key(header::FORWARDED).then(|| standard(headers, proxy, is_trusted));
        match (common, standard) {
            (Some(common), Some(standard)) if common.client != standard.client => {
                tracing::debug!(%proxy, "Forwarded and X-Forwarded-For contradict each other; neither is believed");
                Forwarded::default()
            }
            (Some(said), _) | (None, Some(said)) => said,
            (None, None) => Forwarded::default(),
        }
    }
}

/// `X-Forwarded-For`, `-Proto` and `-Host`; the last value of each is the nearest proxy's.
fn common(headers: &HeaderMap, proxy: IpAddr, is_trusted: impl Fn(&IpAddr) -> bool) -> Forwarded {
    let hops: Vec<&str> = values(headers, &X_FORWARDED_FOR, ',');
    let last = |name| values(headers, &name, ',').pop().filter(|value| !value.is_empty());
    Forwarded {
        client: Some(follow(proxy, &hops, is_trusted).0),
        scheme: last(X_FORWARDED_PROTO).and_then(scheme),
        host: last(X_FORWARDED_HOST).map(str::to_owned),
    }
}

/// `Forwarded` (RFC 7239). The hop at which the chain of believed proxies ends also says which address was used there.
fn standard(headers: &HeaderMap, proxy: IpAddr, is_trusted: impl Fn(&IpAddr) -> bool) -> Forwarded {
    let elements = values(headers, &header::FORWARDED, ',');
    let hops: Vec<&str> = elements.iter().map(|element| parameter(element, "for").unwrap_or_default()).collect();
    let (client, at) = follow(proxy, &hops, is_trusted);
    let of_hop = |name| at.and_then(|at| elements.get(at)).and_then(|element| parameter(element, name)).filter(|value| !value.is_empty());
    Forwarded { client: Some(client), scheme: of_hop("proto").and_then(scheme), host: of_hop("host").map(str::to_owned) }
}

/// From the nearest hop backwards, as long as who tells is believed: the last address found so, and the element that ended it.
fn follow(proxy: IpAddr, hops: &[&str], is_trusted: impl Fn(&IpAddr) -> bool) -> (IpAddr, Option<usize>) {
    let (mut client, mut at) = (proxy, None);
    for (index, hop) in hops.iter().enumerate().rev().take(HOPS_LIMIT) {
        at = Some(index);
        match address(hop) {
            Some(found) => client = found,
            None => break,
        }
        if !is_trusted(&client) {
            break;
        }
    }
    (client, at)
}

/// The values of all headers of this name, in their order. A separator within quotes separates nothing.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName, separator: char) -> Vec<&'a str> {
    headers.get_all(name).iter().flat_map(|value| split(value.to_str().unwrap_or_default(), separator)).collect()
}

fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |sign| {
        is_quoted ^= sign == '"';
        sign == separator && !is_quoted
    })
    .map(str::trim)
}

/// One parameter of an element of `Forwarded`, without its quotes.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let of_name =
        |pair: &'a str| pair.split_once('=').filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let value = split(element, ';').find_map(of_name)?;
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address as proxies write it: with or without a port, version 6 in brackets or not. `unknown` and made-up names are none.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

fn scheme(text: &str) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::HeaderValue;

    fn said(peer: &str, lines: &[(&'static str, &'static str)]) -> Forwarded {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let trusted = ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"].map(|text| text.parse().unwrap());
        let origin = Origin { peer: Some(peer.parse().unwrap()), scheme: Scheme::Http };
        Forwarded::of(&headers, Some(&origin), &trusted)
    }

    fn client(peer: &str, lines: &[(&'static str, &'static str)]) -> Option<String> {
        said(peer, lines).client.map(|client| client.to_string())
    }

    const ALL: &[(&str, &str)] =
        &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "packages.example")];

    #[test]
    fn a_proxy_that_is_named_is_believed_and_nobody_else() {
        let expected =
            Forwarded { client: "192.0.2.1".parse().ok(), scheme: Some(Scheme::Https), host: Some("packages.example".to_owned()) };
        assert_eq!(said("10.1.2.3", ALL), expected);
        assert_eq!(said("198.51.100.7", ALL), Forwarded::default());
        assert_eq!(said("198.51.100.7", &[("forwarded", "for=192.0.2.1;proto=https;host=packages.example")]), Forwarded::default());
        assert_eq!(said("127.0.0.1", &[("forwarded", "For=192.0.2.1; Proto=HTTPS;host=packages.example")]), expected);
        assert_eq!(Forwarded::of(&HeaderMap::new(), None, &["10.0.0.0/8".parse().unwrap()]), Forwarded::default());
    }

    #[test]
    fn what_the_client_itself_put_in_front_is_not_believed() {
        for (line, expected) in [
            ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("10.9.9.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("1.1.1.1, , 10.0.0.2", "10.0.0.2"),
            ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
            ("_hidden", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.1:5000", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[("x-forwarded-for", line)]).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1")]).as_deref(), Some("192.0.2.1"));
        let hidden = "for=1.1.1.1;host=evil.example, for=\"[2001:db8::1]:80\";host=good.example, for=10.0.0.2;host=inner.example";
        let said = said("fd00::1", &[("forwarded", hidden)]);
        assert_eq!((said.client.unwrap().to_string().as_str(), said.host.as_deref()), ("2001:db8::1", Some("good.example")));
        assert_eq!(client("10.0.0.1", &[("forwarded", "for=\"1.1.1.1, for=2.2.2.2\", for=192.0.2.1")]).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn headers_that_contradict_each_other_are_not_believed() {
        let agreeing = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client("10.0.0.1", &agreeing).as_deref(), Some("192.0.2.1"));
        let contradicting = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-host", "evil.example"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(said("10.0.0.1", &contradicting), Forwarded::default());
        assert_eq!(said("10.0.0.1", &[("x-forwarded-proto", "gopher")]).scheme, None);
        assert_eq!(said("10.0.0.1", &[("x-forwarded-proto", "http, https")]).scheme, Some(Scheme::Https));
    }
}
