//! Requests and connections. Invariant: a request is named by its route's pattern, and one that no route has by one word, whatever its
//! address and verb were.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::slow;

/// What stands in place of the pattern where no route has the address.
const NO_ROUTE: &str = "none";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    route: &'static str,
    method: &'static str,
    status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    route: &'static str,
    method: &'static str,
}

/// The status sent; `None` when the client left first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Status(Option<u16>);

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        match self.0 {
            Some(status) => status.encode(encoder),
            None => "client_left".encode(encoder),
        }
    }
}

/// Requests and connections.
#[derive(Debug)]
pub struct Requests {
    ended: Family<Ended, Counter>,
    duration: Family<Place, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Requests {
        let group = Requests {
            ended: Family::default(),
            duration: Family::new_with_constructor(slow),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        registry.register("http_requests", "Requests answered or left by their clients, by route", group.ended.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            group.duration.clone(),
        );
        registry.register("http_requests_in_flight", "Requests whose answer has not begun yet", group.in_flight.clone());
        registry.register("http_connections", "Open connections", group.connections.clone());
        group
    }

    /// A request has come.
    pub fn begun(&self) {
        self.in_flight.inc();
    }

    /// A request that had begun was answered with a status, or its client left. `pattern` is that of its route, if one has the address.
    pub fn ended(&self, method: &Method, pattern: Option<&'static str>, status: Option<StatusCode>, elapsed: Duration) {
        let (route, method) = (pattern.unwrap_or(NO_ROUTE), method_text(method));
        self.in_flight.dec();
        let status = Status(status.map(|status| status.as_u16()));
        self.ended.get_or_create(&Ended { route, method, status }).inc();
        self.duration.get_or_create(&Place { route, method }).observe(elapsed.as_secs_f64());
    }

    /// A connection was accepted.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// A connection has ended.
    pub fn disconnected(&self) {
        self.connections.dec();
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        usize::try_from(self.connections.get()).unwrap_or(0)
    }
}

/// A client may invent verbs; those that no route has are one.
fn method_text(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
