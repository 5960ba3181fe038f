//! error[E0624]: states change by the store's verbs, not by naming a step.
use artifortress::domain::lifecycle::Step;
use artifortress::domain::version::Version;

pub fn publish(tx: &mut artifortress::store::Write<'_>, version: &Version) {
    let _ = tx.step(version, Step::Publish, None, None);
}

fn main() {}
