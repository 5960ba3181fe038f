//! Which form of the index a client wants (PEP 691). Invariant: a client that names none of ours gets HTML, which all can read.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::http::{Request, header};

/// The forms of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// HTML under its plain media type.
    Html,
    /// JSON.
    Json,
    /// The same HTML under its versioned media type.
    VersionedHtml,
}

const ALL: [Format; 3] = [Format::Html, Format::Json, Format::VersionedHtml];

/// The query; what else stands in it is left alone, as caches and people add to addresses.
#[derive(Debug, Deserialize)]
struct Wish {
    format: Option<String>,
}

impl Format {
    /// The media type that is sent.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Format::Html => "text/html; charset=utf-8",
            Format::Json => "application/vnd.pypi.simple.v1+json",
            Format::VersionedHtml => "application/vnd.pypi.simple.v1+html",
        }
    }

    /// Whether it is JSON.
    pub(super) fn is_json(self) -> bool {
        self == Format::Json
    }

    /// The media types that ask for it.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Format::Html => &["text/html"],
            Format::Json => &["application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json"],
            Format::VersionedHtml => &["application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html"],
        }
    }

    /// The form for a request: `?format=` comes before `Accept`.
    ///
    /// # Errors
    /// `bad_request` for a `format` that there is not.
    pub(super) fn wanted(request: &Request) -> Result<Format> {
        // A plus in a query reads as a space.
        let wish = request.query::<Wish>()?.format.map(|name| name.replace(' ', "+"));
        match wish {
            Some(name) => ALL.into_iter().find(|format| format.names().contains(&name.as_str())).ok_or_else(|| {
                let known: Vec<&str> = ALL.iter().flat_map(|format| format.names()).copied().collect();
                Error::bad_request(format!("there is no format {name}; known: {}", known.join(", ")))
            }),
            None => {
                let accepted: Vec<&str> =
                    request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
                Ok(preferred(&accepted.join(",")))
            }
        }
    }
}

/// The form that `Accept` (RFC 9110, section 12.5.1) weighs highest; of equals the first of `ALL`.
fn preferred(accept: &str) -> Format {
    let ranges: Vec<(String, u16)> = accept.split(',').filter_map(range).collect();
    let weight = |format: Format| {
        let of = |name: &str| ranges.iter().filter(|(range, _)| range == name).map(|(_, weight)| *weight).max();
        let exact = format.names().iter().filter_map(|name| of(name)).max();
        let group = if format == Format::Html { "text/*" } else { "application/*" };
        exact.or_else(|| of(group)).or_else(|| of("*/*")).unwrap_or(0)
    };
    ALL.into_iter().rev().max_by_key(|format| weight(*format)).filter(|format| weight(*format) > 0).unwrap_or(Format::Html)
}

/// A media range and its weight in thousandths.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((name, weight.map_or(Some(1000), thousandths)?))
}

/// `1`, `0.2`, `0.333`: the digits after the point, as a number of three.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_real_client_gets_the_form_it_prefers() {
        let pip = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01";
        let uv = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, format) in [
            (pip, Format::Json),
            (uv, Format::Json),
            ("application/vnd.pypi.simple.v1+json, */*;q=0.1", Format::Json),
            ("application/vnd.pypi.simple.latest+json", Format::Json),
            ("text/html", Format::Html),
            (browser, Format::Html),
            ("", Format::Html),
            ("*/*", Format::Html),
            ("application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1", Format::VersionedHtml),
            ("application/vnd.pypi.simple.v1+json;q=0, text/html;q=0.001", Format::Html),
            ("application/vnd.pypi.simple.v2+json", Format::Html),
            ("application/*, text/html;q=0.5", Format::Json),
            ("text/html;q=x, application/vnd.pypi.simple.v1+json;q=0.3", Format::Json),
        ] {
            assert_eq!(preferred(accept), format, "{accept}");
        }
    }
}
