//! The commands against a server that means harm. Invariant: no answer takes memory or time without end, no redirect is given the token,
//! and each case ends with 1 and words.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::command_line::{Typed, typed};

const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

/// A server that answers its connections, numbered from 0, by `answer`.
fn server(answer: impl Fn(&mut TcpStream, usize) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut head = [0; 4096];
            drop(stream.read(&mut head));
            answer(&mut stream, number);
        }
    });
    format!("http://{address}")
}

/// Types `line` at this server, with a token to lose.
fn ask(server: &str, line: &str) -> Typed {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/admin-token"), "aft_to_be_kept\n").unwrap();
    typed(directory.path(), &format!("{line} --server {server}"))
}

#[test]
fn an_answer_without_end_and_one_of_great_depth_are_refused() {
    let endless = server(|stream, _| {
        drop(stream.write_all(HEAD.as_bytes()));
        while stream.write_all(&[b' '; 65_536]).is_ok() {}
    });
    ask(&endless, "jobs list").complains(1, &["is longer than"]);
    let deep = server(|stream, _| drop(stream.write_all(format!("{HEAD}{}", "[".repeat(1_000_000)).as_bytes())));
    ask(&deep, "status").complains(1, &["not with JSON"]);
}

#[test]
fn a_list_whose_pages_never_end_is_given_up() {
    let pages = Arc::new(AtomicUsize::new(0));
    let served = Arc::clone(&pages);
    let filler = "x".repeat(15 << 20);
    let endless = server(move |stream, number| {
        served.store(number + 1, Ordering::SeqCst);
        drop(write!(stream, "{HEAD}{{\"items\": [{{\"jobId\": \"{filler}\"}}], \"nextCursor\": \"{number}\"}}"));
    });
    ask(&endless, "jobs list --all").complains(1, &["the list is longer than", "--limit"]);
    assert!(pages.load(Ordering::SeqCst) < 12, "{pages:?} pages were read");
}

#[test]
fn a_redirect_is_not_followed_with_the_token() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let thief = server(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let target = thief.clone();
    let first = server(move |stream, _| {
        drop(write!(stream, "HTTP/1.1 307 Moved\r\nconnection: close\r\nlocation: {target}/v1/admin/jobs\r\ncontent-length: 0\r\n\r\n"));
    });
    for line in ["jobs list", "jobs retry --dead", "status", "search lodash"] {
        ask(&first, line).complains(1, &["sends on to", &thief]);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}
