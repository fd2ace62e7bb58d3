//! Which scopes hold for what.

use super::*;

const ALICE: Owner<'_> = Owner::User("alice");
const ROOT: Owner<'_> = Owner::User("root");

fn of_user(name: &str, admin: bool) -> Scopes {
    Scopes::of_roles(roles::of_user(admin), Owner::User(name))
}

fn parse(scopes: &[&str]) -> Scopes {
    Scopes::parse(scopes.iter().copied(), ALICE).unwrap()
}

#[test]
fn a_token_is_cut_to_what_its_owner_may() {
    let owner = of_user("alice", false);
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
fn what_does_not_read_is_no_scope() {
    for wrong in [
        "no:such",
        "servers!planet=x",
        "servers!group=",
        "servers!server=alice",
        "all",
    ] {
        assert!(Scopes::parse([wrong], ALICE).is_err(), "{wrong}");
    }
    assert_eq!(
        Scopes::parse(["fly"], ALICE).unwrap_err().to_string(),
        "Scope \"fly\" does not exist."
    );
}

#[test]
fn a_group_stands_for_its_members() {
    let mut scopes = parse(&["servers!group=staff", "read:users"]);
    assert_eq!(scopes.groups(), BTreeSet::from([String::from("staff")]));
    let bob = Target::Server {
        user: "bob",
        server: "gpu",
    };
    assert_eq!(scopes.access("start:servers", bob), Access::Elsewhere);
    let members = BTreeMap::from([(String::from("staff"), BTreeSet::from([String::from("bob")]))]);
    scopes.set_members(Arc::new(members));
    assert_eq!(scopes.access("start:servers", bob), Access::Granted);
    assert_eq!(
        scopes.access("start:servers", Target::User("alice")),
        Access::Elsewhere
    );
    assert_eq!(scopes.access("admin:users", Target::Hub), Access::None);

    let of_bob = parse(&["servers!server=bob/gpu", "servers!user=alice"]);
    let both = [of_bob.intersect(&scopes), scopes.intersect(&of_bob)];
    for both in both {
        let list = both.to_list();
        assert!(
            list.contains(&String::from("start:servers!server=bob/gpu")),
            "{list:?}"
        );
        // `read:users` is held for all.
        assert!(list.contains(&String::from("read:users:name!user=alice")));
        assert!(
            !list.contains(&String::from("servers!user=alice")),
            "{list:?}"
        );
    }
    assert!(parse(&["read:servers!user=alice"]).is_subset(&parse(&["servers"])));
    assert!(!parse(&["servers!group=staff"]).is_subset(&of_bob));
}

#[test]
fn the_whole_leaves_no_filter_beside_it() {
    let scopes = parse(&["read:users!user=bob", "read:users", "read:users!group=x"]);
    assert_eq!(scopes.to_list(), parse(&["read:users"]).to_list());
    assert_eq!(scopes.reach("read:users"), Some(Reach::All));
    assert_eq!(scopes.reach("servers"), None);
}

#[test]
fn the_filter_of_a_server_does_not_show_its_user() {
    let scopes = parse(&["servers!server=bob/gpu"]);
    assert!(!scopes.holds("read:users:name", Target::User("bob")));
    assert_eq!(
        of_server(None, "bob", "gpu"),
        [
            "access:servers!server=bob/gpu",
            "read:users:activity!user=bob",
            "users:activity!user=bob"
        ]
    );
}

#[test]
fn what_a_service_has_not_is_nobodys() {
    let (scopes, unknown) = Scopes::stored(
        ["self", "servers!user", "access:services!service"],
        Owner::Service("grader"),
    );
    assert_eq!(scopes.to_list(), ["access:services!service=grader"]);
    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn self_is_what_any_user_has_for_oneself() {
    let own = Scopes::parse(["self"], ROOT).unwrap();
    assert_eq!(own, of_user("root", false));
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
    let stored = ["read:planets", "read:users!team=x", "tokens!user=alice"];
    let (known, unknown) = Scopes::stored(stored, ALICE);
    assert_eq!(known, parse(&["tokens!user=alice"]));
    assert_eq!(unknown, ["read:planets", "read:users!team=x"]);
}

#[test]
fn subset_follows_filters() {
    let owner = of_user("alice", false);
    assert!(parse(&["access:servers!server=alice/gpu"]).is_subset(&owner));
    assert!(!parse(&["access:servers"]).is_subset(&owner));
    assert!(owner.is_subset(&of_user("alice", true)));
}
