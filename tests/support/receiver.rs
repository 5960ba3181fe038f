//! A receiver of webhooks on a socket of its own. Invariant: it remembers every request whole, and answers as it was told, else 200.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// How a client begins that speaks TLS; no receiver here does.
const TLS_HANDSHAKE: u8 = 22;

/// What to answer a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status with this text.
    Status(u16, &'static str),
    /// This status with a `Location`.
    Redirect(u16, String),
    /// Nothing, until the client gives up.
    Silence,
    /// 200, and bytes until the client has enough.
    Endless,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    /// A header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether the signature is that of this secret, reckoned as a receiver would.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(self.header("x-artifortress-timestamp").as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.header("x-artifortress-signature") == format!("sha256={digits}")
    }
}

#[derive(Default)]
struct Memory {
    received: Vec<Received>,
    answers: VecDeque<Answer>,
    otherwise: Option<Answer>,
}

/// A receiver that listens on loopback while the test runs.
pub struct Receiver {
    pub address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
}

impl Receiver {
    /// Starts one.
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, memory) = (listener.local_addr().unwrap(), Arc::<Mutex<Memory>>::default());
        let kept = Arc::clone(&memory);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let memory = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream.unwrap(), &memory));
            }
        });
        Receiver { address, memory }
    }

    /// Its address with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next requests like this, one each.
    pub fn answer(&self, answers: &[Answer]) {
        self.memory.lock().unwrap().answers.extend(answers.iter().cloned());
    }

    /// Answers all requests like this that nothing else is said about.
    pub fn always(&self, answer: Answer) {
        self.memory.lock().unwrap().otherwise = Some(answer);
    }

    /// All that came so far, and forgets it.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.memory.lock().unwrap().received)
    }
}

fn serve(mut stream: TcpStream, memory: &Mutex<Memory>) {
    let Some(received) = read(&mut stream) else { return };
    let answer = {
        let mut memory = memory.lock().unwrap();
        memory.received.push(received);
        memory.answers.pop_front().or_else(|| memory.otherwise.clone()).unwrap_or(Answer::Status(200, ""))
    };
    // A client that does not wait for the end is no failure of the receiver.
    let _sent = match answer {
        Answer::Status(status, text) => {
            write!(stream, "HTTP/1.1 {status} Said\r\nset-cookie: a=b\r\ncontent-length: {}\r\n\r\n{text}", text.len())
        }
        Answer::Redirect(status, to) => write!(stream, "HTTP/1.1 {status} Said\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
        Answer::Silence => stream.read(&mut [0]).map(drop),
        Answer::Endless => {
            let begun = write!(stream, "HTTP/1.1 200 Said\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            begun
        }
    };
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut part = [0; 4096];
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        if bytes[0] == TLS_HANDSHAKE {
            let _sent = stream.write_all(b"HTTP/1.1 400 Said\r\n\r\n");
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> =
        lines.map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()).collect();
    let mut received = Received { line, headers, body: bytes[head_end + 4..].to_vec() };
    let length: usize = received.header("content-length").parse().unwrap();
    let missing = length - received.body.len();
    let mut rest = vec![0; missing];
    stream.read_exact(&mut rest).ok()?;
    received.body.extend(rest);
    Some(received)
}
