//! error[E0277]: a proof has no form on the wire either, or a record would leave whole.
use artifortress::domain::version::Release;
use artifortress::domain::visibility::Visible;

pub fn leak(release: &Visible<Release>) {
    let _ = artifortress::http::Reply::ok(release);
}

fn main() {}
