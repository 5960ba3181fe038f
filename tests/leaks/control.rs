//! compiles: what the others do wrong, done right; so that they fail for their own reason and not for a missing crate.
use artifortress::domain::access::{Acting, Permit, Promote, Read, Write};
use artifortress::domain::event::Event;
use artifortress::domain::name::RepoKey;
use artifortress::domain::version::{File, Version};
use artifortress::domain::visibility::{Held, Refusal, Sealed, Visible};
use artifortress::policy::Verdict;
use artifortress::store::{Admission, Done, Store};

pub fn shown(sealed: Sealed<Version>, permit: &Permit<Read>) -> Result<Visible<Version>, Refusal> {
    sealed.show(permit)
}

pub fn admitted(tx: &mut artifortress::store::Write<'_>, permit: &Permit<Write>, verdict: &Verdict) -> artifortress::error::Result<Done<Admission>> {
    tx.admit(permit, verdict)
}

pub async fn written(store: &Store, actor: &impl Acting, repo: RepoKey) {
    let _ = store.write(actor, |_| Ok(Done::new((), Event::RepoCreated { repo }))).await;
}

pub fn reviewed(store: &Store, permit: &Permit<Promote>) {
    let _ = store.review(permit);
}

pub async fn served(blobs: &artifortress::blobs::Blobs, open: &Visible<File>, held: &Held<File>) {
    let _ = (blobs.open(open), blobs.inspect(held).await);
}

pub fn rendered(title: &str) {
    let _ = artifortress::http::Reply::ok(&title);
}

fn main() {}
