//! error[E0624]: only the writer opens a transaction.
use artifortress::clock::Clock;
use artifortress::domain::access::Actor;

pub fn open(clock: &dyn Clock, actor: Actor) {
    let _ = artifortress::store::Write::new(todo!(), clock, actor);
}

fn main() {}
