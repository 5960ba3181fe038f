//! error[E0061]: a result is done with at least one event.
use artifortress::store::Done;

pub fn silent() -> Done<u32> {
    Done::new(7)
}

fn main() {}
