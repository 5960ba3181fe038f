//! HTTP/2 over TLS: what peers may do, and what they may not. A library is the good client; bytes by hand are the others.

use h2::client::SendRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::http::server::Drained;
use crate::http::tls::tests::{Running, Secure, within};

const VERSIONS: &[&[u8]] = &[b"h2", b"http/1.1"];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn client(running: &Running) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(running.connect(VERSIONS).await.unwrap()).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

fn get(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

async fn text(mut body: h2::RecvStream) -> Result<String, h2::Error> {
    let mut text = Vec::new();
    while let Some(piece) = within(body.data()).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8(text).unwrap())
}

async fn ask(client: &SendRequest<Bytes>, path: &str) -> Result<(u16, String), h2::Error> {
    let (answer, _) = within(client.clone().ready()).await?.send_request(get(path), true)?;
    let answer = within(answer).await?;
    Ok((answer.status().as_u16(), text(answer.into_body()).await?))
}

/// A connection on which frames are written by hand.
struct Raw(Secure);

#[derive(Debug)]
struct Seen {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Raw {
    async fn connect(running: &Running) -> Raw {
        let mut raw = Raw(running.connect(VERSIONS).await.unwrap());
        raw.0.write_all(PREFACE).await.unwrap();
        raw.send(SETTINGS, 0, 0, &[]).await.unwrap();
        raw
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        within(self.0.write_all(&frame)).await
    }

    /// The next frame; `None` at the end of the connection, however it comes.
    async fn next(&mut self) -> Option<Seen> {
        let mut head = [0; 9];
        within(self.0.read_exact(&mut head)).await.ok()?;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
        within(self.0.read_exact(&mut payload)).await.ok()?;
        Some(Seen { kind: head[3], stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload })
    }

    async fn until(&mut self, wanted: impl Fn(&Seen) -> bool) -> Option<Seen> {
        loop {
            let seen = self.next().await?;
            if wanted(&seen) {
                return Some(seen);
            }
        }
    }
}

/// The head of a GET in HPACK (RFC 7541): literals that enter no table.
fn head(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x01, 9]);
    block.extend_from_slice(b"localhost");
    block
}

#[tokio::test]
async fn many_requests_share_a_connection_and_bodies_go_both_ways() {
    let running = Running::start(HttpLimits::default(), |_| {}).await;
    let client = client(&running).await;
    assert_eq!(ask(&client, "/peer").await.unwrap(), (200, "127.0.0.1 https://localhost".to_owned()));
    let asked: Vec<_> = (0..50).map(|_| ask(&client, "/v1/repos/open")).collect();
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.unwrap().0, 200);
    }
    assert_eq!(ask(&client, "/panics").await.unwrap().0, 500);
    let put = |length: usize, token: &str| {
        let request = http::Request::put("https://localhost/v1/repos/closed").header("authorization", format!("Bearer {token}"));
        let (mut sender, body) = (client.clone(), Bytes::from(vec![b'x'; length]));
        async move {
            let (answer, mut stream) = sender.send_request(request.body(()).unwrap(), false).unwrap();
            drop(stream.send_data(body, true));
            within(answer).await.map(|answer| answer.status().as_u16())
        }
    };
    assert_eq!(put(90_000, "repo:*:admin").await.unwrap(), 201);
    assert_eq!(put(5_000_000, "repo:*:admin").await.unwrap(), 413);
    assert_eq!(put(5_000_000, "nothing").await.unwrap(), 401);
    assert_eq!(ask(&client, "/peer").await.unwrap().0, 200, "the connection goes on");
}

#[tokio::test]
async fn a_client_that_gives_up_request_after_request_is_cut_off_and_others_are_not() {
    let running = Running::start(HttpLimits::default(), |_| {}).await;
    let other = client(&running).await;
    let mut raw = Raw::connect(&running).await;
    let mut sent = 0_u32;
    let cancel = 8_u32.to_be_bytes();
    // Each is given up once it runs: the reset comes after the requests of a whole round.
    'flood: while sent < 10_000 {
        let round: Vec<u32> = (0..32).map(|number| (sent + number) * 2 + 1).collect();
        for stream in &round {
            if raw.send(HEADERS, END_STREAM | END_HEADERS, *stream, &head("/waits")).await.is_err() {
                break 'flood;
            }
        }
        tokio::task::yield_now().await;
        for stream in &round {
            if raw.send(RST_STREAM, 0, *stream, &cancel).await.is_err() {
                break 'flood;
            }
        }
        sent += 32;
    }
    assert!(sent < 10_000, "the flood went on");
    assert_eq!(ask(&other, "/peer").await.unwrap().0, 200);
    assert_eq!(running.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_client_that_gives_up_each_request_once_it_runs_is_cut_off_too() {
    let running = Running::start(HttpLimits::default(), |_| {}).await;
    let router = Arc::clone(&running.router);
    let mut raw = Raw::connect(&running).await;
    let cancel = 8_u32.to_be_bytes();
    let mut sent = 0;
    'flood: while sent < 1_000 {
        let stream = u32::try_from(sent).unwrap() * 2 + 1;
        if raw.send(HEADERS, END_STREAM | END_HEADERS, stream, &head("/waits")).await.is_err() {
            break;
        }
        let mut discarded = [0; 1024];
        loop {
            tokio::select! {
                () = router.app().entered.notified() => break,
                read = within(raw.0.read(&mut discarded)) => if !matches!(read, Ok(1..)) {
                    break 'flood;
                },
            }
        }
        if raw.send(RST_STREAM, 0, stream, &cancel).await.is_err() {
            break;
        }
        sent += 1;
    }
    assert!((100..200).contains(&sent), "{sent} were given up");
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_the_rest_is_answered() {
    let running = Running::start(HttpLimits { max_streams: 4, ..HttpLimits::default() }, |_| {}).await;
    let mut raw = Raw::connect(&running).await;
    for number in 0..8 {
        raw.send(HEADERS, END_STREAM | END_HEADERS, number * 2 + 1, &head("/waits")).await.unwrap();
    }
    for _ in 0..4 {
        let refused = raw.until(|seen| seen.kind == RST_STREAM).await.unwrap();
        assert!(refused.stream > 8 && refused.payload == 7_u32.to_be_bytes(), "REFUSED_STREAM: {refused:?}");
    }
}

#[tokio::test]
async fn requests_of_all_connections_wait_for_their_turn() {
    let running = Running::start(HttpLimits { max_connections: 2, ..HttpLimits::default() }, |_| {}).await;
    let (first, second) = (client(&running).await, client(&running).await);
    let asked: Vec<_> = (0..40).map(|number| ask(if number % 2 == 0 { &first } else { &second }, "/v1/repos/open")).collect();
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.unwrap().0, 200);
    }
}

#[tokio::test]
async fn heads_that_grow_without_end_are_refused() {
    let running = Running::start(HttpLimits::default(), |_| {}).await;
    // A header that is small on the wire and large when read: one entry of the table, named again and again.
    let mut raw = Raw::connect(&running).await;
    let mut bomb = head("/peer");
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend_from_slice(&vec![b'a'; 4000]);
    bomb.extend_from_slice(&vec![0xbe; 10_000]);
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &bomb).await.unwrap();
    let refused = raw.until(|seen| seen.kind == RST_STREAM || seen.kind == GOAWAY || (seen.kind == HEADERS && seen.stream == 1)).await;
    // 431 where it is answered: an indexed name, then the status as a literal.
    assert!(
        refused.is_none_or(|seen| seen.kind != HEADERS || seen.payload.windows(3).any(|part| part == b"431") || seen.payload[0] == 0x48)
    );
    // Pieces of a head that never ends.
    let mut raw = Raw::connect(&running).await;
    raw.send(HEADERS, END_STREAM, 1, &head("/peer")).await.unwrap();
    let mut pieces = 0;
    while pieces < 10_000 && raw.send(CONTINUATION, 0, 1, &[0x00, 1, b'y', 1, b'z'].repeat(100)).await.is_ok() {
        pieces += 1;
    }
    assert!(pieces < 10_000, "the head never ended");
    assert_eq!(ask(&client(&running).await, "/peer").await.unwrap().0, 200);
}

#[tokio::test]
async fn connections_on_which_nothing_happens_and_half_heads_are_closed() {
    let running = Running::start(HttpLimits { header_read_timeout_ms: 200, ..HttpLimits::default() }, |_| {}).await;
    for has_half_a_head in [false, true] {
        let mut raw = Raw::connect(&running).await;
        if has_half_a_head {
            raw.send(HEADERS, END_STREAM, 1, &head("/peer")).await.unwrap();
        }
        while raw.next().await.is_some() {}
    }
    let mut silent = running.connect(VERSIONS).await.unwrap();
    let mut rest = Vec::new();
    drop(within(silent.read_to_end(&mut rest)).await);
    assert_eq!(running.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_an_answer_is_cut() {
    let limits = HttpLimits { write_idle_timeout_ms: 200, header_read_timeout_ms: 100, ..HttpLimits::default() };
    let running = Running::start(limits, |_| {}).await;
    let mut raw = Raw::connect(&running).await;
    // Its window is never opened again, and it answers no SETTINGS and no PING.
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &head("/endless")).await.unwrap();
    while raw.next().await.is_some() {}
    assert_eq!(running.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn stopping_lets_running_requests_end_and_says_goodbye() {
    let running = Running::start(HttpLimits::default(), |_| {}).await;
    let router = Arc::clone(&running.router);
    let client = client(&running).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, "/waits").await }
    });
    within(router.app().entered.notified()).await;
    let stopping = tokio::spawn(running.stop());
    tokio::task::yield_now().await;
    router.app().gate.notify_one();
    assert_eq!(within(waiting).await.unwrap().unwrap(), (200, "done".to_owned()));
    assert_eq!(within(stopping).await.unwrap(), Drained { cut: 0 });
    assert!(ask(&client, "/peer").await.is_err());
}
