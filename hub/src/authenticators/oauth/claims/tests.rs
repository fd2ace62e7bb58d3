//! What becomes of the claims of each kind of provider.

use serde_json::{Value, json};

use super::*;

const OAUTH: &str = "{client_id: hub, client_secret: secret";

/// The identity that a Hub with these keys of `class` makes of claims.
fn read(class: &str, keys: &str, claims: Value) -> Result<Identity, Refusal> {
    let section = match class {
        "google" => "GoogleOAuthenticator",
        "cilogon" => "CILogonOAuthenticator",
        "github" => "GitHubOAuthenticator",
        _ => "GenericOAuthenticator",
    };
    let text =
        format!("JupyterHub: {{authenticator_class: {class}}}\n{section}: {OAUTH}{keys}}}\n");
    let config = Config::parse("test", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let claim = config.provider().username_claim;
    identity(&config, &claim, claims.as_object().unwrap())
}

fn name(class: &str, keys: &str, claims: Value) -> Option<String> {
    read(class, keys, claims).ok().map(|identity| identity.name)
}

const ISSUER: &str = ", issuer: https://id.example";

#[test]
fn an_address_counts_where_it_is_verified_alone() {
    let keys = format!("{ISSUER}, username_claim: email");
    let claims = |verified: Value| json!({ "email": "a@b.example", "email_verified": verified });
    let name = |claims| name("generic-oauth", &keys, claims);
    assert_eq!(name(claims(json!(true))).as_deref(), Some("a@b.example"));
    for unverified in [json!(false), json!("true"), Value::Null] {
        assert_eq!(name(claims(unverified)), None);
    }
    assert_eq!(name(json!({ "email": "a@b.example" })), None);
    assert_eq!(name(json!({})), None);
}

#[test]
fn groups_let_in_and_make_administrators() {
    let keys = format!(
        "{ISSUER}, auth_state_groups_key: oauth_user.realm.groups, allowed_groups: [staff], admin_groups: [root]"
    );
    let read = |groups: Value| {
        let claims = json!({ "preferred_username": "ada", "realm": { "groups": groups } });
        read("generic-oauth", &keys, claims).unwrap()
    };
    let staff = read(json!(["staff", 5, "x"]));
    assert_eq!((staff.allowed, staff.admin), (true, Some(false)));
    assert_eq!(staff.groups.unwrap(), ["staff", "x"]);
    let root = read(json!(["root"]));
    assert_eq!((root.allowed, root.admin), (true, Some(true)));
    let none = read(json!("staff"));
    assert_eq!((none.allowed, none.admin), (false, Some(false)));
}

#[test]
fn an_account_of_google_is_of_a_domain_by_the_word_of_google() {
    let keys = ", hosted_domain: [uni.example]";
    let claims =
        |hd: Value| json!({ "email": "ada@uni.example", "email_verified": true, "hd": hd });
    let name = |hd| name("google", keys, claims(hd));
    assert_eq!(name(json!("uni.example")).as_deref(), Some("ada"));
    // Anybody may open an account with an address of the domain.
    assert_eq!(name(Value::Null), None);
    assert_eq!(name(json!("other.example")), None);
}

#[test]
fn names_of_cilogon_are_made_as_each_institution_says() {
    let keys = ", allowed_idps: {'https://a': {username_derivation: {username_claim: eppn, action: strip_idp_domain, \
                domain: a.example}, allowed_domains: [a.example]}, 'https://b': {username_derivation: \
                {username_claim: sub, action: prefix, prefix: b}, allow_all: true}}";
    let read = |claims| read("cilogon", keys, claims);
    let a = read(json!({ "idp": "https://a", "eppn": "ada@A.example" })).unwrap();
    assert_eq!((a.name.as_str(), a.allowed), ("ada", true));
    let guest = read(json!({ "idp": "https://a", "eppn": "ada@guest.example" })).unwrap();
    assert_eq!(
        (guest.name.as_str(), guest.allowed),
        ("ada@guest.example", false)
    );
    let b = read(json!({ "idp": "https://b", "sub": "7", "eppn": "ada@a.example" })).unwrap();
    assert_eq!((b.name.as_str(), b.allowed), ("b:7", true));
    assert!(read(json!({ "idp": "https://c", "eppn": "ada@a.example" })).is_err());
    assert!(read(json!({ "eppn": "ada@a.example" })).is_err());
}
