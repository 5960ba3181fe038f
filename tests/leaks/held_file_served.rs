//! error[E0308]: held bytes are not served to readers.
use artifortress::blobs::Blobs;
use artifortress::domain::version::File;
use artifortress::domain::visibility::Held;

pub async fn serve(blobs: &Blobs, held: &Held<File>) {
    let _ = blobs.open(held);
}

fn main() {}
