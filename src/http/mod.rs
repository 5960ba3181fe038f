//! Transport on bare hyper. Invariant: it knows no handler; what a route may do is read off its handler's signature.
//!
//! How to add
//! * a route: `Routes::new().get(pattern, example, handler)` in the room of the handler; the proof it takes as second argument is its access.
//! * a kind of proof: implement `route::Credential`; the role matrix then shows it.
//! * a header on every response: `router::finish`; on every refusal: `fail::complete`.
//! * an error dialect: a `fail::Dialect` function, given to `Routes::with_dialect`; headers that every refusal needs come by themselves.
//! * a limit: a field of `HttpLimits` with its unit in the name and a default.

pub mod body;
pub mod conditional;
mod connection;
pub mod fail;
mod forwarded;
mod http1;
mod http2;
pub mod json;
pub mod limits;
mod listener;
pub mod range;
pub mod reply;
pub mod request;
pub mod route;
pub mod router;
pub mod server;
mod socket_file;
pub mod tls;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use body::Body;
pub use conditional::EntityTag;
pub use fail::{Dialect, FailContext, reason_phrase};
pub use limits::HttpLimits;
pub use listener::{Listener, Place};
pub use reply::{Cache, Reply, ReplyBody};
pub use request::{Head, Request};
pub use route::{Access, Credential, Route, Routes};
pub use router::{Application, Router, Served};
pub use server::{Drained, Server};
pub use tls::Tls;
