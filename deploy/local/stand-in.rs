//! A fake single-user server for tests on a cluster: one static program, all of an image of a megabyte. It answers
//! every request as jupyterhub-singleuser answers the Hub's first one, and fails in the ways that servers fail; or it is
//! a task of a job that does as the job's file says.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

/// The file that outlives stops, where a volume is mounted.
const NOTE: &str = "/data/note";

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["exit", status] => {
            println!("about to exit with status {status}");
            std::process::exit(status.parse().unwrap_or(1));
        }
        ["eat"] => eat(),
        ["open-folder", folder] => {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))
        }
        // A task that does as its job's file says: `fail-once STATUS FOLDER` fails unless it has been here before.
        ["fail-once", status, folder] => {
            let been = std::path::Path::new(folder).join("been");
            if been.exists() {
                return Ok(());
            }
            std::fs::write(been, "")?;
            std::process::exit(status.parse().unwrap_or(1));
        }
        ["sleep", seconds] => {
            std::thread::sleep(std::time::Duration::from_secs(seconds.parse().unwrap_or(1)));
            Ok(())
        }
        _ => serve(),
    }
}

/// Uses ever more memory.
fn eat() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
    }
}

fn serve() -> std::io::Result<()> {
    // `http://:8888/user/alice/`
    let url = std::env::var("JUPYTERHUB_SERVICE_URL").unwrap_or_default();
    let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
    let listener = TcpListener::bind(("0.0.0.0", port.unwrap_or(8888)))?;
    println!("listening for {url}");
    for stream in listener.incoming() {
        std::thread::spawn(move || stream.and_then(answer));
    }
    Ok(())
}

/// `GET .../note` reads the note, `GET .../note?text` writes it; everything else is told who it reached.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let body = match path.split_once("/note") {
        Some((_, "")) => std::fs::read_to_string(NOTE),
        Some((_, text)) => std::fs::write(NOTE, text.trim_start_matches('?')).map(|()| String::from("written")),
        None => {
            let token = std::env::var("JUPYTERHUB_API_TOKEN").is_ok_and(|token| !token.is_empty());
            Ok(format!("stand-in, token: {token}"))
        }
    };
    let body = body.unwrap_or_else(|error| error.to_string());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nX-JupyterHub-Version: 6.1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
