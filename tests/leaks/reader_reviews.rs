//! error[E0308]: a permit for reading opens no review.
use artifortress::domain::access::{Permit, Read};
use artifortress::store::Store;

pub fn peek(store: &Store, permit: &Permit<Read>) {
    let _ = store.review(permit);
}

fn main() {}
