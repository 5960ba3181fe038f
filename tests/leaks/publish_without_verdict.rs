//! error[E0061]: the door in takes a verdict.
use artifortress::domain::access::{Permit, Write};

pub fn publish(tx: &mut artifortress::store::Write<'_>, permit: &Permit<Write>) {
    let _ = tx.admit(permit);
}

fn main() {}
