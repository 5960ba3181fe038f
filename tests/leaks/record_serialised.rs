//! error[E0277]: a record has no form on the wire; wire types are made from proofs.
use artifortress::domain::version::Version;

pub fn leak(version: &Version) {
    let _ = artifortress::http::Reply::ok(version);
}

fn main() {}
