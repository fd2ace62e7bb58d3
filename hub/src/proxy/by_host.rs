//! A proxy that looks at the host first, as configurable-http-proxy does with `--host-routing`.

use url::Url;

use super::{FoundRoute, Proxy, ProxyError, Route};
use crate::app::Urls;

/// Outside, routes have the paths of their servers; inside, their hosts before them.
pub struct ByHost {
    pub proxy: Box<dyn Proxy>,
    pub urls: Urls,
}

#[async_trait::async_trait]
impl Proxy for ByHost {
    async fn add_route(&self, mut route: Route) -> Result<(), ProxyError> {
        route.prefix = self.urls.route(&route.prefix);
        self.proxy.add_route(route).await
    }

    async fn delete_route(&self, prefix: &str) -> Result<(), ProxyError> {
        self.proxy.delete_route(&self.urls.route(prefix)).await
    }

    async fn get_all_routes(&self) -> Result<Vec<FoundRoute>, ProxyError> {
        let mut all = Vec::new();
        for mut found in self.proxy.get_all_routes().await? {
            let prefix = &found.route.prefix;
            if self.urls.host_of(prefix).is_some() {
                // From before servers had hosts; here it would be taken for the one with the host.
                self.proxy.delete_route(prefix).await?;
                continue;
            }
            // One of another host keeps it, and is nobody's.
            if let Some(path) = self.urls.path_of(prefix) {
                found.route.prefix = path.to_owned();
            }
            all.push(found);
        }
        Ok(all)
    }

    fn last_used(&self, prefix: &str) -> Option<i64> {
        self.proxy.last_used(&self.urls.route(prefix))
    }

    fn hub_route(&self) -> Option<Route> {
        self.proxy.hub_route()
    }

    fn replace(&self, api_url: Option<Url>, token: Option<String>) -> Result<(), ProxyError> {
        self.proxy.replace(api_url, token)
    }
}
