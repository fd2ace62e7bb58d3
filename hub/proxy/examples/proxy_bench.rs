//! The proxy alone, to be measured: `proxy_bench <listen> <prefix> <target>`, as in
//! `proxy_bench 127.0.0.1:9000 / http://127.0.0.1:9001`. Takes as many threads as `TOKIO_WORKER_THREADS` says.

use std::convert::Infallible;

use carrel_proxy::{Proxy, Routes, ServeOptions, serve};
use http::{Response, StatusCode};
use http_body_util::Empty;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, prefix, target] = &arguments[..] else {
        return Err("usage: proxy_bench <listen> <prefix> <target>".into());
    };
    let routes = Routes::new();
    routes.add(prefix, target.parse()?)?;
    let not_found = tower::service_fn(async |_| {
        let mut answer = Response::new(Empty::new());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        Ok::<_, Infallible>(answer)
    });
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    serve(
        listener,
        Proxy::new(routes, not_found),
        std::future::pending(),
        ServeOptions::default(),
    )
    .await;
    Ok(())
}
