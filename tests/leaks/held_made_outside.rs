//! error[E0451]: only the reviewers' door makes a `Held`.
use artifortress::domain::version::Version;
use artifortress::domain::visibility::{Held, Standing};

pub fn forge(standing: Standing, content: Version) -> Held<Version> {
    Held { standing, content }
}

fn main() {}
