//! An HTTP server of its own threads, which answers what a test says and remembers what it was
//! asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct AuthServer {
    pub address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET /auth?...`
    pub line: String,
    pub accept: String,
    pub body: String,
}

/// An answer with this status and JSON.
pub fn answer(status: u16, json: &str) -> String {
    let size = json.len();
    format!("HTTP/1.1 {status} Word\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{json}")
}

/// bob may do these on everything for `ttl` seconds.
pub fn everything(ttl: i64, permissions: &str) -> String {
    answer(
        200,
        &format!(
            r#"{{"ttl":{ttl},"identity":"bob","identity_url":"http://id",
            "authorizations":[{{"topic":".*","channels":[".*"],"permissions":[{permissions}]}}]}}"#
        ),
    )
}

impl AuthServer {
    /// `reply`: the bytes for a request, an empty text for silence.
    pub fn start(reply: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, reply) = (Arc::clone(&seen), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, reply) = (Arc::clone(&noted), Arc::clone(&reply));
                std::thread::spawn(move || serve(stream.unwrap(), &noted, &*reply));
            }
        });
        Self { address, seen }
    }

    pub fn flag(&self) -> String {
        format!("--auth-http-address={}", self.address)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, noted: &Mutex<Vec<Request>>, reply: &dyn Fn(&Request) -> String) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let of = |line: &String| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        };
        head.iter().find_map(of).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let request = Request {
        line: head[0].replace(" HTTP/1.1", ""),
        accept: header("accept"),
        body: String::from_utf8(body).unwrap(),
    };
    noted.lock().unwrap().push(request.clone());
    match reply(&request) {
        silence if silence.is_empty() => {
            let _ = reader.read_to_end(&mut Vec::new());
        }
        text => {
            let _ = reader.get_mut().write_all(text.as_bytes());
        }
    }
}
