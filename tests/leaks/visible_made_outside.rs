//! error[E0423]: only the readers' door makes a `Visible`.
use artifortress::domain::version::Version;
use artifortress::domain::visibility::Visible;

pub fn forge(version: Version) -> Visible<Version> {
    Visible(version)
}

fn main() {}
