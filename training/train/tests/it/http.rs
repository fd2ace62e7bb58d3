//! A small HTTP server for one test: what it is asked, it hands to the test, which answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

pub struct Request {
    pub method: String,
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// Status and body; with status 0 the connection is closed without an answer.
pub type Answer = (u16, Vec<u8>);

/// Serves until the test ends; the address is `http://` with host and port.
pub fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || respond(stream, answer.as_ref()));
        }
    });
    address
}

/// One request, if the client does not leave before.
pub fn respond(stream: impl Read + Write, answer: &dyn Fn(&Request) -> Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let request = Request {
        method,
        path,
        headers,
        body,
    };
    let (status, body) = answer(&request);
    if status == 0 {
        return None;
    }
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let stream = reader.get_mut();
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    stream.flush().ok()
}
