//! The transport over real sockets: what only a connection can show.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::http::limits::HttpLimits;
use crate::http::listener::Place;
use crate::http::router::tests::{App, router};

struct Running {
    address: SocketAddr,
    router: Arc<Router<App>>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Drained>,
}

async fn start(limits: HttpLimits) -> Running {
    let listener = Listener::bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let Place::Network(address) = listener.place() else { panic!("it is of the network") };
    let router = router(limits);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::new(Arc::clone(&router), vec![listener]);
    let server = tokio::spawn(server.run(async { drop(stopped.await) }));
    Running { address, router, stop, server }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        within(self.server).await.unwrap()
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("this takes far less")
}

/// Reads one answer that has a `Content-Length`: head and body.
async fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.expect("a whole head"));
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    within(stream.read_exact(&mut body)).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Reads to the end; a reset counts as a failure.
async fn to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    within(stream.read_to_end(&mut text)).await.expect("an orderly end");
    String::from_utf8(text).unwrap()
}

const GET: &[u8] = b"GET /v1/repos/open HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn one_connection_carries_many_requests_and_outlives_a_panic() {
    let running = start(HttpLimits::default()).await;
    let mut stream = running.connect().await;
    for (request, status) in [(GET, "200 ok"), (b"GET /panics HTTP/1.1\r\nHost: a\r\n\r\n", "500 internal"), (GET, "200 ok")] {
        stream.write_all(request).await.unwrap();
        let (head, _) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
    }
    stream.write_all(&[GET, GET].concat()).await.unwrap();
    answer(&mut stream).await;
    assert!(answer(&mut stream).await.1.contains("open"));
}

#[tokio::test]
async fn a_head_over_a_socket_keeps_its_length_and_sends_no_body() {
    let running = start(HttpLimits::default()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"HEAD /v1/repos/open HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let text = to_end(&mut stream).await;
    assert!(text.contains("content-length: 18") && text.ends_with("\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn a_refusal_before_100_continue_says_that_the_connection_closes() {
    let running = start(HttpLimits::default()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n").await.unwrap();
    let (head, _) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 404") && head.contains("connection: close"), "{head}");
    assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reason_phrase_of_a_dialect_is_sent() {
    let running = start(HttpLimits::default()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /shout/closed HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.0.starts_with("http/1.1 401 held for review\r\n"));
}

#[tokio::test]
async fn slow_heads_and_silent_connections_are_closed() {
    let running = start(HttpLimits { header_read_timeout_ms: 200, ..HttpLimits::default() }).await;
    for beginning in ["", "GET / HT", "PRI * HTTP/2.0\r\n"] {
        let mut stream = running.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        drop(within(stream.read_to_end(&mut rest)).await);
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{beginning}");
    }
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let running = start(HttpLimits { header_limit_bytes: 1000, ..HttpLimits::default() }).await;
    let mut stream = running.connect().await;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2000)).as_bytes()).await.unwrap();
    assert!(to_end(&mut stream).await.starts_with("HTTP/1.1 431"));
}

/// Sends a body of 20 MB to a route that refuses it, without reading before all is sent, as simple clients do.
async fn refused_upload(running: &Running, credentials: &str) -> String {
    let mut stream = running.connect().await;
    let head = format!("PUT /v1/repos/closed HTTP/1.1\r\nHost: a\r\n{credentials}Content-Length: 20000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..20 {
        within(stream.write_all(&piece)).await.expect("the server takes the rest");
    }
    to_end(&mut stream).await
}

#[tokio::test]
async fn an_upload_refused_early_still_gets_its_answer() {
    let running = start(HttpLimits::default()).await;
    let text = refused_upload(&running, "").await;
    assert!(text.starts_with("HTTP/1.1 401") && text.contains("\"unauthorized\"") && text.contains("connection: close"), "{text}");
    let text = refused_upload(&running, "Authorization: Bearer repo:*:admin\r\n").await;
    assert!(text.starts_with("HTTP/1.1 413") && text.contains("limit of 100000 bytes"), "{text}");
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_cut_at_the_limit() {
    let running = start(HttpLimits { linger_limit_bytes: 100_000, linger_timeout_ms: 60_000, ..HttpLimits::default() }).await;
    let mut stream = running.connect().await;
    stream.write_all(b"PUT /v1/repos/closed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let piece = vec![b'f'; 100_000];
    let cut = within(async {
        loop {
            if let Err(cause) = stream.write_all(&piece).await {
                break cause;
            }
        }
    })
    .await;
    assert!([io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe].contains(&cut.kind()), "{cut}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_answered_without_sending_its_body() {
    let running = start(HttpLimits::default()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"PUT /v1/repos/closed HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\nExpect: 100-continue\r\n\r\n").await.unwrap();
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 401") && body.contains("unauthorized"), "{head}");
    let mut stream = running.connect().await;
    let put = b"PUT /v1/repos/closed HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer repo:*:admin\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(put).await.unwrap();
    assert!(answer(&mut stream).await.0.starts_with("http/1.1 100"));
    stream.write_all(b"abc").await.unwrap();
    assert!(answer(&mut stream).await.0.starts_with("http/1.1 201"));
}

#[tokio::test]
async fn a_body_that_stops_is_answered_with_408() {
    let running = start(HttpLimits { body_idle_timeout_ms: 200, linger_timeout_ms: 100, ..HttpLimits::default() }).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"PUT /v1/repos/closed HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer repo:*:admin\r\nContent-Length: 100\r\n\r\nabc")
        .await
        .unwrap();
    let text = to_end(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("request_timeout"), "{text}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let running = start(HttpLimits { write_idle_timeout_ms: 200, ..HttpLimits::default() }).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    within(stream.read_u8()).await.unwrap();
    assert_eq!(running.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn at_the_limit_further_connections_wait_until_one_ends() {
    let running = start(HttpLimits { max_connections: 1, ..HttpLimits::default() }).await;
    let mut first = running.connect().await;
    first.write_all(GET).await.unwrap();
    answer(&mut first).await;
    let mut second = running.connect().await;
    second.write_all(GET).await.unwrap();
    assert!(timeout(Duration::from_millis(100), second.read_u8()).await.is_err());
    drop(first);
    assert!(answer(&mut second).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_lets_running_requests_end() {
    let running = start(HttpLimits { idle_grace_ms: 50, ..HttpLimits::default() }).await;
    let (address, router) = (running.address, Arc::clone(&running.router));
    let mut idle = running.connect().await;
    idle.write_all(GET).await.unwrap();
    answer(&mut idle).await;
    let mut silent = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    within(router.app().entered.notified()).await;
    let stopping = tokio::spawn(running.stop());
    assert_eq!(to_end(&mut idle).await, "");
    assert_eq!(to_end(&mut silent).await, "");
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
    router.app().gate.notify_one();
    let text = to_end(&mut busy).await;
    assert!(text.contains("connection: close") && text.ends_with("done"), "{text}");
    assert_eq!(within(stopping).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end_in_time() {
    let running = start(HttpLimits { drain_timeout_ms: 100, ..HttpLimits::default() }).await;
    let router = Arc::clone(&running.router);
    let mut busy = running.connect().await;
    busy.write_all(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    within(router.app().entered.notified()).await;
    assert_eq!(running.stop().await, Drained { cut: 1 });
    assert_eq!(to_end(&mut busy).await, "");
}

#[tokio::test]
async fn a_request_that_comes_on_an_idle_connection_after_the_order_to_stop_is_answered() {
    let running = start(HttpLimits { idle_grace_ms: 20_000, ..HttpLimits::default() }).await;
    let address = running.address;
    let mut idle = running.connect().await;
    idle.write_all(GET).await.unwrap();
    answer(&mut idle).await;
    let mut silent = running.connect().await;
    silent.write_all(b"GET /v1/repos/open HT").await.unwrap();
    let stopping = tokio::spawn(running.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    idle.write_all(GET).await.unwrap();
    silent.write_all(b"TP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    for mut stream in [idle, silent] {
        let text = to_end(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
    }
    assert_eq!(within(stopping).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_socket_in_the_file_system_serves_whoever_comes_as_a_loopback_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    let listener = Listener::bind_unix(&path, 0o600).unwrap();
    assert_eq!(listener.place(), Place::File(Some(path.clone())));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::new(router(HttpLimits::default()), vec![listener]);
    let server = tokio::spawn(server.run(async { drop(stopped.await) }));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.ends_with("127.0.0.1 http://a"), "{text}");
    stop.send(()).unwrap();
    within(server).await.unwrap();
    assert!(!path.exists());
}
