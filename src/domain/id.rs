//! Identifiers: `UUIDv7` newtypes, one per thing. Invariant: an id of one thing cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;

macro_rules! ids {
    ($($name:ident $what:literal;)+) => {$(
        #[doc = concat!("Identifies one ", $what, ": a `UUIDv7`, lower case with hyphens as text.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID made by the clock.
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    Ok(_) | Err(_) => Err(Error::bad_request(concat!("this is not the id of a ", $what, "; ids look like 0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55"))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    )+};
}

ids! {
    AuditId "audit row";
    DeliveryId "webhook delivery";
    EvaluationId "policy evaluation";
    EventId "outbox event";
    FreezeId "freeze";
    GcRunId "collection";
    JobId "job";
    LeaseToken "lease";
    QuarantineId "quarantine item";
    RequestId "request";
    ReservationId "reservation";
    TokenId "token";
    UploadId "upload";
    VersionId "version";
    WaiverId "waiver";
    WebhookId "webhook";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_no_uuid_is_a_bad_request() {
        assert!("42".parse::<VersionId>().is_err());
        assert!("0190b6f27a307cc1b8f46f2d1f0a9c55".parse::<VersionId>().is_err());
        let text = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";
        assert_eq!(text.parse::<VersionId>().unwrap().to_string(), text);
    }
}
