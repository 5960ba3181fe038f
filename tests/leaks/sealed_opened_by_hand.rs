//! error[E0616]: what is sealed opens through a door, not by its field.
use artifortress::domain::version::Version;
use artifortress::domain::visibility::Sealed;

pub fn peek(sealed: Sealed<Version>) -> Version {
    sealed.content
}

fn main() {}
