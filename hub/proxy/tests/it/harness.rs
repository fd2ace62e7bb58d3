//! A proxy between real backends and raw clients, and verbs to use them with.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use carrel_proxy::{Proxy, Routes, ServeOptions, Unavailable, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Bound of every wait; no test comes near it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestProxy {
    pub address: SocketAddr,
    pub routes: Routes,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl TestProxy {
    /// A proxy whose fallback says `fallback`, and whose error page says what was not reached.
    pub async fn start() -> Self {
        Self::with(ServeOptions::default()).await
    }

    pub async fn with(options: ServeOptions) -> Self {
        Self::serving(Routes::new(), |proxy| proxy, options).await
    }

    /// A proxy whose routes begin with a host.
    pub async fn by_host() -> Self {
        let options = ServeOptions::default();
        Self::serving(Routes::new(), |proxy| proxy.by_host(true), options).await
    }

    /// A proxy that asks `find` about paths without a route.
    pub async fn missing<Fut: Future<Output = bool> + Send + 'static>(
        routes: Routes,
        find: impl Fn(&str) -> Option<Fut> + Send + Sync + 'static,
    ) -> Self {
        Self::serving(routes, |proxy| proxy.on_miss(find), ServeOptions::default()).await
    }

    async fn serving(
        routes: Routes,
        change: impl FnOnce(Proxy<Router, axum::body::Body>) -> Proxy<Router, axum::body::Body>,
        options: ServeOptions,
    ) -> Self {
        let fallback = Router::new().fallback(|request: Request<axum::body::Body>| async move {
            (
                StatusCode::NOT_FOUND,
                format!("fallback for {}", request.uri()),
            )
        });
        let proxy = Proxy::new(routes.clone(), fallback)
            .on_unavailable(error_page)
            .reserve_cookies(&["fallback-login"]);
        let proxy = change(proxy);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            if stopped.await.is_err() {
                std::future::pending().await // The test has let go of the proxy, not of its clients.
            }
        };
        let serving = tokio::spawn(serve(listener, proxy, shutdown, options));
        Self {
            address,
            routes,
            stop,
            serving,
        }
    }

    /// A proxy with the one route `/user/a/` to a backend.
    pub async fn to(backend: SocketAddr) -> Self {
        let proxy = Self::start().await;
        proxy.route("/user/a/", backend);
        proxy
    }

    pub fn route(&self, prefix: &str, backend: SocketAddr) {
        self.routes
            .add(prefix, format!("http://{backend}").parse().unwrap())
            .unwrap();
    }

    pub async fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.connect().await.get(path).await
    }

    /// Begins the shutdown; the handle ends with it.
    pub fn shut_down(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.serving
    }
}

async fn error_page(unavailable: Unavailable) -> axum::response::Response {
    format!("error page for {} {}", unavailable.method, unavailable.uri).into_response()
}

/// A client that says exactly what a test wants it to.
pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        headers
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .next()
    }
}

impl Client {
    pub fn new(stream: TcpStream) -> Self {
        let read = Vec::new();
        Self { stream, read }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: hub.test:8000\r\n\r\n"
        ))
        .await;
        self.answer().await
    }

    /// The next answer, whose length has to be known from its head.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more().await > 0, "the body ended early");
        }
        answer.body = self.read.drain(..length).collect();
        answer
    }

    pub async fn head(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head,
            body: Vec::new(),
        }
    }

    /// Reads a request without a body, as the backend that it is.
    pub async fn head_of_request(&mut self) {
        self.until("\r\n\r\n").await;
    }

    /// All up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self
                .read
                .windows(end.len())
                .position(|window| window == end.as_bytes())
            {
                return String::from_utf8(self.read.drain(..at + end.len()).collect()).unwrap();
            }
            assert!(
                self.more().await > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// All up to the end of the connection, whether it was closed or broken.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.read)
    }

    async fn more(&mut self) -> usize {
        let mut piece = [0; 64 * 1024];
        let read = bounded(self.stream.read(&mut piece)).await.unwrap_or(0);
        self.read.extend_from_slice(&piece[..read]);
        read
    }
}

/// A backend that serves HTTP.
pub async fn backend(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A backend whose answers tell its name and the path that it was asked for.
pub async fn named(name: &'static str) -> SocketAddr {
    backend(
        Router::new().fallback(move |request: Request<axum::body::Body>| async move {
            format!("{name} {}", request.uri())
        }),
    )
    .await
}

/// A backend that does with its connections, counted from 0, what the test says.
pub async fn scripted<F>(script: impl Fn(usize, Client) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for count in 0.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            tokio::spawn(script(count, Client::new(stream)));
        }
    });
    address
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

pub async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain"))
}
