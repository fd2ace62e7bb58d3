//! Load on a model server by KServe's protocol, for `make bench`.
//!
//! `serving_load http-json|http-binary|grpc HOST:PORT MODEL INPUT SHAPE CLIENTS SECONDS` sends requests of f32 as fast as they
//! are answered, by so many clients at once, and prints requests per second, the median and the 99th percentile of their
//! times in milliseconds, and how many failed. A shape is `1,3,227,227`.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use carrel_model_server::proto::inference::ModelInferRequest;
use carrel_model_server::proto::inference::model_infer_request::InferInputTensor;
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Times in milliseconds, and how many requests failed.
type Measured = (Vec<f64>, usize);

#[derive(Clone)]
struct Target {
    address: String,
    model: String,
    input: String,
    shape: Vec<usize>,
    until: Instant,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, address, model, input, shape, clients, seconds] = &*arguments else {
        return Err("see the first lines of serving_load.rs".into());
    };
    let seconds: u64 = seconds.parse()?;
    let target = Target {
        address: address.clone(),
        model: model.clone(),
        input: input.clone(),
        shape: shape.split(',').map(str::parse).collect::<Result<_, _>>()?,
        until: Instant::now() + Duration::from_secs(seconds),
    };
    // As many threads as are not the servers': one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut times, failed) = runtime.block_on(all(protocol, &target, clients.parse()?))?;
    times.sort_by(f64::total_cmp);
    let part = |part: f64| times.get((times.len() as f64 * part) as usize).copied();
    let rate = times.len() as f64 / seconds as f64;
    let (median, late) = (part(0.5).unwrap_or(0.0), part(0.99).unwrap_or(0.0));
    println!("{rate} {median} {late} {failed}");
    Ok(())
}

async fn all(protocol: &str, target: &Target, clients: usize) -> Result<Measured, Failure> {
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let target = target.clone();
        match protocol {
            "http-json" => running.spawn(async move { http(&target, json_request(&target)).await }),
            "http-binary" => {
                running.spawn(async move { http(&target, binary_request(&target)).await })
            }
            "grpc" => running.spawn(async move { grpc(&target).await }),
            other => return Err(format!("there is no protocol {other:?}").into()),
        };
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(done) = running.join_next().await {
        let (more, wrong) = done??;
        times.extend(more);
        failed += wrong;
    }
    Ok((times, failed))
}

impl Target {
    fn numbers(&self) -> Vec<f32> {
        let count: usize = self.shape.iter().product();
        (0..count).map(|one| (one % 100) as f32 / 100.0).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let numbers = self.numbers();
        numbers.iter().flat_map(|one| one.to_le_bytes()).collect()
    }
}

fn json_request(target: &Target) -> Vec<u8> {
    let input = json!({
        "name": target.input, "shape": target.shape, "datatype": "FP32", "data": target.numbers(),
    });
    let body = json!({"inputs": [input]}).to_string();
    request(
        target,
        "Content-Type: application/json\r\n",
        body.as_bytes(),
    )
}

fn binary_request(target: &Target) -> Vec<u8> {
    let bytes = target.bytes();
    let input = json!({
        "name": target.input, "shape": target.shape, "datatype": "FP32",
        "parameters": {"binary_data_size": bytes.len()},
    });
    let head = json!({"inputs": [input], "parameters": {"binary_data_output": true}}).to_string();
    let headers = format!(
        "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {}\r\n",
        head.len()
    );
    request(target, &headers, &[head.as_bytes(), &bytes].concat())
}

fn request(target: &Target, headers: &str, body: &[u8]) -> Vec<u8> {
    let Target { address, model, .. } = target;
    let length = body.len();
    let head = format!(
        "POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The same request again and again over one connection.
async fn http(target: &Target, request: Vec<u8>) -> Result<Measured, Failure> {
    let mut stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut failed, mut buffer) = (Vec::new(), 0, Vec::new());
    while Instant::now() < target.until {
        let begun = Instant::now();
        stream.write_all(&request).await?;
        let good = answer(&mut stream, &mut buffer).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        failed += usize::from(!good);
    }
    Ok((times, failed))
}

/// Reads one answer; says whether its status is 200.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    buffer.clear();
    let broken = || io::Error::other("the answer is no HTTP with a length");
    let head = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let mut lines = text.lines();
    let good = lines.next().is_some_and(|line| line.contains(" 200 "));
    let length = lines.find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length
        .and_then(|length| length.trim().parse().ok())
        .ok_or_else(broken)?;
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(good)
}

/// The same message again and again over one connection, by HTTP/2 alone: a client of gRPC takes as long as a server.
async fn grpc(target: &Target) -> Result<Measured, Failure> {
    const WINDOW: u32 = 1 << 24;
    let stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    let (mut client, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await?;
    tokio::spawn(connection);
    let message = message(target);
    let (mut times, mut failed) = (Vec::new(), 0);
    while Instant::now() < target.until {
        let begun = Instant::now();
        let request = http::Request::post(format!(
            "http://{}/inference.GRPCInferenceService/ModelInfer",
            target.address
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
        client = client.ready().await?;
        let (answer, mut body) = client.send_request(request, false)?;
        body.send_data(message.clone(), true)?;
        let mut answer = answer.await?.into_body();
        while let Some(part) = answer.data().await {
            answer.flow_control().release_capacity(part?.len())?;
        }
        let trailers = answer.trailers().await?.unwrap_or_default();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        failed += usize::from(trailers.get("grpc-status").is_none_or(|code| code != "0"));
    }
    Ok((times, failed))
}

/// A request as gRPC frames it: not compressed, and its length.
fn message(target: &Target) -> Bytes {
    let request = ModelInferRequest {
        model_name: target.model.clone(),
        inputs: vec![InferInputTensor {
            name: target.input.clone(),
            datatype: "FP32".into(),
            shape: target.shape.iter().map(|dim| *dim as i64).collect(),
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![target.bytes().into()],
        ..ModelInferRequest::default()
    };
    let request = request.encode_to_vec();
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &request].concat().into()
}
