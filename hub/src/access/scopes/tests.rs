//! Which scopes hold for what.

use super::*;

const ALICE: Owner<'_> = Owner {
    name: "alice",
    admin: false,
};
const ADMIN: Owner<'_> = Owner {
    name: "root",
    admin: true,
};

fn parse(scopes: &[&str]) -> Scopes {
    Scopes::parse(scopes.iter().copied(), ALICE).unwrap()
}

#[test]
fn every_contained_scope_is_in_the_table() {
    for (name, _, contained) in SCOPES {
        for inner in *contained {
            assert!(
                SCOPES.iter().any(|(known, ..)| known == inner),
                "{inner} in {name}"
            );
        }
    }
}

#[test]
fn a_token_is_cut_to_what_its_owner_may() {
    let owner = Scopes::of_user("alice", false);
    let cut =
        parse(&["access:servers!server=alice/", "access:servers!server=bob/"]).intersect(&owner);
    assert_eq!(cut.to_list(), ["access:servers!server=alice/"]);
    let raised = parse(&["admin:users"]).intersect(&owner);
    assert!(!raised.holds("delete:users", Target::User("alice")));
    assert!(
        parse(&["users"])
            .intersect(&owner)
            .holds("read:users", Target::User("alice"))
    );
}

#[test]
fn filters_cover_their_own_objects_only() {
    let scopes = parse(&["servers!server=alice/gpu", "read:users!user=bob"]);
    assert!(scopes.holds(
        "start:servers",
        Target::Server {
            user: "alice",
            server: "gpu"
        }
    ));
    assert!(!scopes.holds(
        "start:servers",
        Target::Server {
            user: "alice",
            server: ""
        }
    ));
    assert!(!scopes.holds("start:servers", Target::User("alice")));
    assert!(scopes.holds("read:users:name", Target::User("bob")));
    assert!(!scopes.holds("read:users:name", Target::Hub));
}

#[test]
fn inherit_is_what_the_owner_has() {
    let of = |owner: Owner<'_>| Scopes::parse(["inherit"], owner).unwrap();
    assert_eq!(of(ALICE), Scopes::of_user("alice", false));
    assert_eq!(of(ADMIN), Scopes::of_user("root", true));
    assert!(Scopes::parse(["no:such"], ALICE).is_err());
    assert!(Scopes::parse(["servers!group=x"], ALICE).is_err());
}

#[test]
fn self_is_what_any_user_has_for_oneself() {
    let own = Scopes::parse(["self"], ADMIN).unwrap();
    assert_eq!(own, Scopes::of_user("root", false));
    assert!(own.holds("start:servers", Target::User("root")));
    for (scope, target) in [
        ("admin:users", Target::Hub),
        ("delete:users", Target::User("alice")),
        ("start:servers", Target::User("alice")),
        ("admin:server_state", Target::User("root")),
    ] {
        assert!(!own.holds(scope, target), "{scope}");
    }
}

#[test]
fn filters_name_users_as_addresses_do() {
    let scopes = parse(&["read:users!user=Bob", "servers!server=Bob/gpu"]);
    assert!(scopes.holds("read:users", Target::User("bob")));
    assert!(
        scopes
            .to_list()
            .contains(&"servers!server=bob/gpu".to_owned())
    );
    assert_eq!(parse(&["tokens!user"]), parse(&["tokens!user=alice"]));
    assert!(Scopes::parse(["read:users!user=a/b"], ALICE).is_err());
}

#[test]
fn stored_scopes_of_a_later_version_give_nothing() {
    let stored = [
        "read:groups",
        "read:users!team=x",
        "tokens!user=alice",
        "shares!server",
    ];
    let (known, unknown) = Scopes::stored(stored, ALICE);
    assert_eq!(known, parse(&["tokens!user=alice"]));
    assert_eq!(
        unknown,
        ["read:groups", "read:users!team=x", "shares!server"]
    );
}

#[test]
fn subset_follows_filters() {
    let owner = Scopes::of_user("alice", false);
    assert!(parse(&["access:servers!server=alice/gpu"]).is_subset(&owner));
    assert!(!parse(&["access:servers"]).is_subset(&owner));
    assert!(owner.is_subset(&Scopes::of_user("alice", true)));
}
