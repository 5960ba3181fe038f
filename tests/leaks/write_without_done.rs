//! error[E0308]: a write says what happened, or there is no audit row.
use artifortress::domain::access::Acting;
use artifortress::store::Store;

pub async fn write(store: &Store, actor: &impl Acting) {
    let _ = store.write(actor, |_| Ok(())).await;
}

fn main() {}
