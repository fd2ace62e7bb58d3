//! The proxy of the configuration.

use std::net::SocketAddr;

use carrel_proxy::Routes;
use serde_json::{Map, json};
use url::Url;

use super::by_host::ByHost;
use super::chp::Chp;
use super::{InProcess, Proxy, Route, Routing};
use crate::app::Urls;
use crate::config::{Config, ProxyClass};

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the proxy needs a token: give the same to it and to the Hub, by CONFIGPROXY_AUTH_TOKEN or \
         ConfigurableHTTPProxy.auth_token"
    )]
    NoToken,
    #[error("the Hub has no address for its proxy (JupyterHub.hub_connect_url)")]
    Address(#[from] url::ParseError),
}

/// `at` is where the Hub listens; `table` is that by which this process proxies; it stays empty where a proxy apart does.
pub fn open(config: &Config, at: SocketAddr, table: &Routes) -> Result<Routing, OpenError> {
    let urls = Urls::new(config, at);
    let proxy: Box<dyn Proxy> = match config.jupyter_hub.proxy_class {
        ProxyClass::InProcess => Box::new(InProcess(table.clone())),
        ProxyClass::Chp => {
            let section = &config.configurable_http_proxy;
            let token = section.auth_token.clone().ok_or(OpenError::NoToken)?;
            let hub = Route {
                prefix: String::from("/"),
                target: Url::parse(&urls.api)?,
                data: Map::from_iter([(String::from("hub"), json!(true))]),
            };
            Box::new(Chp::new(section.api_url.0.clone(), token.0, hub))
        }
    };
    Ok(Routing::new(match urls.subdomains {
        Some(_) => Box::new(ByHost { proxy, urls }),
        None => proxy,
    }))
}
