//! The classes that the Hub can work with, by the names that JupyterHub has for them.

use super::report::Report;
use super::value::Value;
use super::yaml::{Kind, Node};

/// What runs the users' servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnerClass {
    LocalProcess,
    Kube,
}

/// What checks the users' passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatorClass {
    /// Passwords kept by the Hub, as the NativeAuthenticator of the JupyterHub family does; without its sign-up.
    Native,
}

/// What leads requests to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyClass {
    InProcess,
    /// By the REST API of configurable-http-proxy.
    Chp,
}

/// A class by the first of its names in JupyterHub: entry point, then class.
macro_rules! class_value {
    ($type:ty, { $( $variant:ident: $($name:literal),+; )+ }) => {
        impl Value for $type {
            fn expected() -> String {
                [$( [$( concat!("`", $name, "`") ),+].join(" or ") ),+].join(", ")
            }

            fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
                if let Kind::Text(name) = &node.kind {
                    match name.as_str() {
                        $( $( $name )|+ => return Some(Self::$variant), )+
                        _ => {}
                    }
                }
                report.wrong(node.at, path, format!("expected {}, which this build has; found {node}", Self::expected()));
                None
            }

            fn show(&self) -> String {
                match self {
                    $( Self::$variant => [$( $name ),+][0].to_owned(), )+
                }
            }
        }
    };
}

class_value!(SpawnerClass, {
    LocalProcess: "localprocess", "jupyterhub.spawner.LocalProcessSpawner";
    Kube: "kube", "kubespawner.KubeSpawner";
});
class_value!(ProxyClass, {
    InProcess: "in-process";
    Chp: "configurable-http-proxy", "jupyterhub.proxy.ConfigurableHTTPProxy";
});
class_value!(AuthenticatorClass, { Native: "native", "nativeauthenticator.NativeAuthenticator"; });
