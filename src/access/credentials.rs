//! The `Authorization` header. Invariant: Bearer and Basic carry the same token; in Basic the user name says nothing.

use base64::Engine as _;
use http::HeaderValue;

use super::secret::Secret;
use crate::error::{Code, Error, Result};

/// Bytes of an `Authorization` header that are looked at.
const HEADER_LIMIT_BYTES: usize = 4096;

/// Finds the token in an `Authorization` header: RFC 6750 Bearer, RFC 7617 Basic with the token as password, or the bare
/// token, as Cargo sends it.
///
/// # Errors
/// `unauthorized` for anything that is not a token.
pub(super) fn token(header: &HeaderValue) -> Result<Secret> {
    let text = header.to_str().map_err(|_| refused("the Authorization header is not text"))?.trim();
    if text.len() > HEADER_LIMIT_BYTES {
        return Err(refused("the Authorization header is too long"));
    }
    let (scheme, rest) = text.split_once(' ').unwrap_or(("", text));
    let token = match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "" => rest.trim().to_owned(),
        "basic" => basic_password(rest.trim())?,
        _ => return Err(refused("send the token as Bearer, or as the password of Basic")),
    };
    Secret::parse(&token).ok_or_else(|| {
        refused(match token.as_str() {
            "" => "the token is empty; send it as Bearer, or as the password of Basic",
            text if text.starts_with("aft_") => "this token is incomplete or mistyped; copy it again",
            _ => "this is not a token of artifortress; tokens start with aft_",
        })
    })
}

fn basic_password(encoded: &str) -> Result<String> {
    let unreadable = || refused("the Basic credentials cannot be read");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| unreadable())?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
    let (user, password) = text.split_once(':').ok_or_else(unreadable)?;
    if password.is_empty() && user.starts_with("aft_") {
        return Err(refused("the token was sent as the user name of Basic; send it as the password, with any user name"));
    }
    Ok(password.to_owned())
}

/// The 401 for credentials that are no good.
pub(super) fn refused(why: &str) -> Error {
    Error::new(Code::Unauthorized, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_basic_and_bare_carry_the_same_token() {
        let secret = Secret::from_random([9; 32]);
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("__token__:{}", secret.reveal()));
        for header in [
            format!("Bearer {}", secret.reveal()),
            format!("bEaReR {}", secret.reveal()),
            format!("Basic {basic}"),
            secret.reveal().to_owned(),
        ] {
            assert_eq!(token(&HeaderValue::from_str(&header).unwrap()).unwrap().digest(), secret.digest());
        }
        for header in ["Bearer x", "Basic !!!", "Basic dXNlcg==", "Digest abc", ""] {
            assert_eq!(token(&HeaderValue::from_static(header)).unwrap_err().code(), Code::Unauthorized, "{header}");
        }
    }
}
