//! How the program listens, with the real binary: sockets that were handed over, restarts under load, sockets in the file system.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::support::activation::Listening;

/// What one client of the load saw.
#[derive(Debug, Default)]
struct Tally {
    answered: AtomicUsize,
    connections: AtomicUsize,
}

/// Sends a request and reads its whole answer: the status, and whether the connection goes on. Nothing is forgiven: an end or a reset in
/// place of an answer is a lost request.
fn ask(stream: &mut BufReader<TcpStream>, request: &[u8]) -> (u16, bool) {
    stream.get_mut().write_all(request).expect("the request is taken");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).expect("an answer") > 0, "the connection ended in place of an answer after {head:?}");
    }
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), !head.contains("connection: close"))
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("the socket stays open");
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    BufReader::new(stream)
}

/// One client: many requests on each connection, uploads and reads, until told to end.
fn load(address: &str, admin: &str, number: usize, tally: &Tally, end: &AtomicBool) {
    let head = format!("Host: {address}\r\nAuthorization: Bearer {admin}\r\n");
    let mut stream = connect(address);
    tally.connections.fetch_add(1, Ordering::Relaxed);
    for round in 0.. {
        if end.load(Ordering::Relaxed) {
            return;
        }
        let request = match round % 8 {
            0 => format!("PUT /files/main/load{number}/1.0.{round}/a.txt?publish HTTP/1.1\r\n{head}Content-Length: 6\r\n\r\nhello\n"),
            1 => format!("GET /files/main/load{number}/1.0.{}/a.txt HTTP/1.1\r\n{head}\r\n", round - 1),
            _ => format!("GET /v1/auth/whoami HTTP/1.1\r\n{head}\r\n"),
        };
        let (status, goes_on) = ask(&mut stream, request.as_bytes());
        assert!((200..300).contains(&status), "{status} for {request}");
        tally.answered.fetch_add(1, Ordering::Relaxed);
        if !goes_on || round % 50 == 49 {
            stream = connect(address);
            tally.connections.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn restarts_under_load_lose_no_request_when_the_socket_is_handed_over() {
    const CLIENTS: usize = 24;
    const RESTARTS: usize = 4;
    // A busy machine may take long to judge; what is asked here is whether an answer comes.
    const SETTINGS: &[(&str, &str)] = &[("ARTIFORTRESS_POLICY__EVALUATION_TIMEOUT_MS", "60000")];
    let directory = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let handed = || socket.try_clone().unwrap().into();
    let mut daemon = Listening::handed(directory.path(), handed(), "http", SETTINGS);
    assert_eq!(daemon.said, [format!("listening on http://{address}")]);
    let admin = std::fs::read_to_string(directory.path().join("data/admin-token")).unwrap().trim().to_owned();
    let (tally, end) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (address, admin, tally, end) = (address.clone(), admin.clone(), Arc::clone(&tally), Arc::clone(&end));
            std::thread::spawn(move || load(&address, &admin, number, &tally, &end))
        })
        .collect();
    // Each daemon answers some of the load before it is told to stop in the middle of it.
    let further = |wanted: usize| {
        let from = tally.answered.load(Ordering::Relaxed);
        while tally.answered.load(Ordering::Relaxed) < from + wanted && clients.iter().all(|client| !client.is_finished()) {
            std::thread::yield_now();
        }
    };
    for _ in 0..RESTARTS {
        further(400);
        daemon.stop();
        daemon = Listening::handed(directory.path(), handed(), "http", SETTINGS);
    }
    further(400);
    end.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no client lost a request");
    }
    assert!(tally.answered.load(Ordering::Relaxed) > 400 * RESTARTS, "{tally:?}");
    assert!(tally.connections.load(Ordering::Relaxed) > CLIENTS * RESTARTS, "each restart ended every connection: {tally:?}");
    daemon.stop();
}
