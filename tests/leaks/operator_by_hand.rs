//! error[E0423]: nobody but the access rules makes an `Operator`.
use artifortress::domain::access::{Caller, Operator};

pub fn forge(caller: Caller) -> Operator {
    Operator(caller)
}

fn main() {}
