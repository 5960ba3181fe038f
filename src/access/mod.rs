//! From credentials to a `Caller`; tokens. Invariant: authenticating never writes; a revocation or an expiry counts from
//! the very next request, because what is remembered here is thrown away whenever tokens, bindings or repos change.
//!
//! How to add
//! * a kind of credential: `credentials.rs` turns the header into a secret; everything behind it stays.
//! * a rule about who may issue what: `tokens.rs`.
//! * something done at the very first start: `bootstrap.rs`.

mod bootstrap;
mod credentials;
mod identities;
mod secret;
mod tokens;

pub use bootstrap::{Bootstrap, bootstrap, recover};
pub use identities::Identities;
pub use secret::Secret;
pub use tokens::{Issued, TokenRequest, Tokens};

// For rooms that may not name the store.
pub use crate::store::TokenRow;
