//! Passwords of a real LDAP server (slapd), which each test starts.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use carrel_skip::{Need, skip};
use tempfile::TempDir;

use crate::harness::{TestHub, wait_for};

const SLAPD: &str = "/usr/sbin/slapd";
const SLAPADD: &str = "/usr/sbin/slapadd";

const ENTRIES: &str = "\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=Ada,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: Ada
cn: Ada Lovelace
sn: Lovelace
userPassword: analytical

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob (x)
sn: Builder
userPassword: can we fix it

dn: cn=staff,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=Ada,ou=people,dc=example,dc=org
";

struct Slapd {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Slapd {
    /// None where this machine has none.
    async fn start() -> Option<Self> {
        if !Path::new(SLAPD).exists() {
            skip(
                Need::Slapd,
                "there is no /usr/sbin/slapd; apt install slapd",
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=root,dc=example,dc=org\"\nrootpw topsecret\n\
             directory {at}/data\naccess to attrs=userPassword by anonymous auth by * none\naccess to * by * read\n"
        );
        let file = folder.path().join("slapd.conf");
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(&file, config).unwrap();
        std::fs::write(folder.path().join("entries"), ENTRIES).unwrap();
        let added = Command::new(SLAPADD)
            .args(["-q", "-f"])
            .arg(&file)
            .arg("-l")
            .arg(folder.path().join("entries"))
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // In the foreground.
        let process = Command::new(SLAPD)
            .args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{port}"), "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let slapd = Self {
            process,
            port,
            _folder: folder,
        };
        wait_for("slapd", async || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Some(slapd)
    }

    async fn hub(&self, keys: &str) -> TestHub {
        let text = format!(
            "JupyterHub: {{authenticator_class: ldapauthenticator.LDAPAuthenticator}}\n\
             LDAPAuthenticator: {{server_address: 127.0.0.1, server_port: {}, tls_strategy: insecure, {keys}}}\n",
            self.port
        );
        TestHub::of_file(&text).await
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const TEMPLATE: &str = "bind_dn_template: 'uid={username},ou=people,dc=example,dc=org'";
const LOOK_UP: &str = "lookup_dn: true, user_search_base: 'ou=people,dc=example,dc=org', \
    lookup_dn_search_user: 'cn=root,dc=example,dc=org', lookup_dn_search_password: topsecret";

#[tokio::test]
async fn the_server_knows_the_passwords() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    for keys in [TEMPLATE, LOOK_UP] {
        let hub = slapd.hub(&format!("{keys}, allowed_users: [ada]")).await;
        let login = async |user: &str, password: &str| hub.browser().login(user, password).await;
        login("ada", "analytical").await.expect(303);
        login("bob", "can we fix it").await.expect(403);
        // A server takes an empty password for nobody in particular, and lets that in.
        for (user, password) in [("ada", ""), ("ada", "wrong"), ("nobody", "x")] {
            let refused = login(user, password).await.expect(403);
            assert!(refused.body.contains("Invalid username or password"));
        }
        assert!(hub.app.db.user("bob").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_name_is_no_part_of_a_filter_or_of_another_name() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    for keys in [TEMPLATE, LOOK_UP] {
        let hub = slapd.hub(&format!("{keys}, allow_all: true")).await;
        for name in [
            "*",
            "ad*",
            "ada)(uid=*",
            "x,uid=ada",
            "ada,ou=people,dc=example,dc=org#",
        ] {
            hub.browser().login(name, "analytical").await.expect(403);
        }
        hub.browser().login("ada", "analytical").await.expect(303);
    }
}

#[tokio::test]
async fn groups_of_the_server_let_in_and_are_groups_here() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let keys = format!(
        "{LOOK_UP}, allowed_groups: ['cn=nowhere,dc=example,dc=org', 'cn=staff,ou=groups,dc=example,dc=org'], \
         manage_groups: true, group_search_base: 'ou=groups,dc=example,dc=org'"
    );
    let hub = slapd.hub(&keys).await;
    hub.browser().login("ada", "analytical").await.expect(303);
    hub.browser()
        .login("bob", "can we fix it")
        .await
        .expect(403);
    let ada = hub.app.db.user("ada").await.unwrap().unwrap();
    assert_eq!(hub.app.db.groups_of(ada.id).await.unwrap(), ["staff"]);
}

#[tokio::test]
async fn a_filter_must_find_the_user() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let keys = format!(
        "{TEMPLATE}, allow_all: true, user_search_base: 'ou=people,dc=example,dc=org', search_filter: '(sn=Lovelace)'"
    );
    let hub = slapd.hub(&keys).await;
    hub.browser().login("ada", "analytical").await.expect(303);
    hub.browser()
        .login("bob", "can we fix it")
        .await
        .expect(403);
}

#[tokio::test]
async fn a_server_that_is_not_there_says_nothing_of_the_password() {
    let text = format!(
        "JupyterHub: {{authenticator_class: ldap}}\n\
         LDAPAuthenticator: {{server_address: 127.0.0.1, server_port: 9, tls_strategy: insecure, {TEMPLATE}}}\n"
    );
    let hub = TestHub::of_file(&text).await;
    for _ in 0..2 {
        let failed = hub.browser().login("ada", "analytical").await.expect(503);
        assert!(
            failed.body.contains("could not be checked"),
            "{}",
            failed.body
        );
    }
}

#[tokio::test]
async fn no_password_goes_over_a_connection_that_is_not_encrypted() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    // This slapd has no certificate, so the default cannot be had.
    let hub = slapd.hub(&format!("{TEMPLATE}, allow_all: true")).await;
    let mut config = hub.config.clone();
    drop(hub);
    config.ldap_authenticator.tls_strategy = carrel_hub::config::TlsStrategy::BeforeBind;
    let spawner = crate::harness::FakeSpawner::new(crate::harness::Behaviour::Answers);
    let hub = TestHub::configured(spawner, |tested| {
        tested.ldap_authenticator = config.ldap_authenticator.clone();
        tested.authenticator = config.authenticator.clone();
        tested.jupyter_hub.authenticator_class = config.jupyter_hub.authenticator_class;
    })
    .await;
    hub.browser().login("ada", "analytical").await.expect(503);
}
