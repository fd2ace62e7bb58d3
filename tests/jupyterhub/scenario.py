"""The requests of the comparison, in order: each has a name of its own, and what a token may do is in the token's name."""

import sharing
from request import PAGES, Request, Wait

#: Every resource of the API, with a path on which nothing depends, and the methods that JupyterHub 6.1.1 has there.
RESOURCES = {
    "/": "GET",
    "/user": "GET",
    "/users": "GET POST",
    "/users/bob": "GET POST DELETE PATCH",
    "/users/bob/activity": "POST",
    "/users/bob/server": "GET POST PUT PATCH DELETE",
    "/users/bob/server/progress": "GET",
    "/users/bob/servers/gpu": "GET POST PUT PATCH DELETE",
    "/users/bob/servers/gpu/progress": "GET",
    "/users/bob/tokens": "GET POST",
    "/users/bob/tokens/a1": "GET DELETE",
    "/users/bob/shared": "GET",
    "/users/bob/shared/alice/": "GET DELETE",
    "/groups": "GET POST",
    "/groups/staff": "GET POST DELETE",
    "/groups/staff/users": "POST DELETE",
    "/groups/staff/properties": "PUT",
    "/groups/staff/shared": "GET",
    "/groups/staff/shared/alice/": "GET DELETE",
    "/services": "GET",
    "/services/grader": "GET POST DELETE",
    "/shares/bob": "GET",
    "/shares/bob/": "GET POST PATCH DELETE",
    "/share-codes/bob": "GET",
    "/share-codes/bob/": "GET POST DELETE",
    "/info": "GET",
    "/proxy": "GET POST PATCH",
    "/shutdown": "POST",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def scenario():
    yield from accounts()
    yield from tokens()
    yield from strangers()
    yield from scopes()
    yield from reading()
    yield from users()
    yield from groups()
    yield from servers()
    yield from named_servers()
    yield from activity()
    yield from services()
    yield from sharing.scenario()
    yield from the_hub()
    yield from bad_input()
    yield from ends()


def accounts():
    for name in ("alice", "bob", "carol"):
        yield Request(f"add {name}", "POST", f"/users/{name}")
    yield Request("add a user again", "POST", "/users/alice")
    yield Request("add a user in capitals", "POST", "/users/ZOE")
    yield Request("delete a user in capitals", "DELETE", "/users/ZOE")
    yield Request("add an administrator", "POST", "/users/root2", body={"admin": True})
    yield Request("add several", "POST", "/users", body={"usernames": ["dan", "eve"]})
    yield Request("add several, one of them again", "POST", "/users", body={"usernames": ["dan", "fay"]})
    yield Request("add several, all of them again", "POST", "/users", body={"usernames": ["dan", "fay"]})
    yield Request("add several administrators", "POST", "/users", body={"usernames": ["root3"], "admin": True})
    yield Request("add none", "POST", "/users", body={"usernames": []})
    yield Request("add several without a body", "POST", "/users")
    yield Request("add several with a list as body", "POST", "/users", body=["dan"])
    yield Request("add several with an unknown key", "POST", "/users", body={"usernames": ["gus"], "color": 1})
    yield Request("add several with a text as admin", "POST", "/users", body={"usernames": ["gus"], "admin": "yes"})
    yield Request("add one with an unknown key", "POST", "/users/gus", body={"color": 1})
    yield Request("add one with a text as admin", "POST", "/users/gus", body={"admin": "yes"})
    yield Request("add a group", "POST", "/groups/staff", body={"users": ["bob"]})


def tokens():
    path = "/users/alice/tokens"
    yield Request("token of alice", "POST", path, keep={"alice": "token"})
    yield Request("token of bob", "POST", "/users/bob/tokens", keep={"bob": "token"})
    for who, scopes in {
        "nothing": [],
        "reader": ["read:users"],
        "reader of bob": ["read:users!user=bob"],
        "reader of staff": ["read:users!group=staff", "list:users!group=staff"],
        "lister of alice": ["list:users!user=alice"],
        "starter of bob": ["servers!user=bob"],
        "starter of a server of bob": ["start:servers!server=bob/gpu", "read:servers!server=bob/gpu"],
        "adder": ["admin:users"],
        "grouper": ["groups"],
        "grouper of staff": ["groups!group=staff"],
        "self": ["self"],
        "tokens of bob": ["tokens!user=bob"],
    }.items():
        body = {"scopes": scopes, "note": who}
        yield Request(f"token: {who}", "POST", "/users/admin/tokens", body=body, keep={who: "token"})
    yield Request("token with an end", "POST", path, body={"expires_in": 3600, "note": "short"}, keep={"short": "id"})
    yield Request("token that has no end", "POST", path, body={"expires_in": None})
    yield Request("token that ends at once", "POST", path, body={"expires_in": 0})
    yield Request("token that has ended", "POST", path, body={"expires_in": -5})
    yield Request("token that ends in words", "POST", path, body={"expires_in": "tomorrow"})
    yield Request("token with a fraction", "POST", path, body={"expires_in": 1.5})
    yield Request("token with a role", "POST", path, body={"roles": ["user"]})
    yield Request("token with the role token", "POST", path, body={"roles": ["token"]})
    yield Request("token with an unknown role", "POST", path, body={"roles": ["king"]})
    yield Request("token with roles and scopes", "POST", path, body={"roles": ["user"], "scopes": ["self"]})
    yield Request("token with an unknown scope", "POST", path, body={"scopes": ["fly"]})
    yield Request("token with an unknown filter", "POST", path, body={"scopes": ["servers!planet=mars"]})
    yield Request("token with a scope beyond its owner", "POST", path, body={"scopes": ["admin:users"]})
    yield Request("token with another's server", "POST", path, body={"scopes": ["servers!user=bob"]})
    yield Request("token with a text as scopes", "POST", path, body={"scopes": "self"})
    yield Request("token with numbers as scopes", "POST", path, body={"scopes": [1]})
    yield Request("token with a text as roles", "POST", path, body={"roles": "user"})
    yield Request("token with short filters", "POST", path, body={"scopes": ["servers!user"]})
    yield Request("token with a list as body", "POST", path, body=[1])
    yield Request("token with an unknown key", "POST", path, body={"color": "red"})
    yield Request("token for nobody", "POST", "/users/nobody/tokens")
    yield Request("token of another", "POST", "/users/bob/tokens", who="alice")
    yield Request("token of bob by filter", "POST", "/users/bob/tokens", who="tokens of bob")
    yield Request("token of alice by bob's filter", "POST", path, who="tokens of bob")
    yield Request("token without credentials", "POST", path, who=None, body={})
    alice = {"auth": {"username": "alice", "password": "any"}}
    yield Request("token by a name and a password", "POST", path, who=None, body=alice)
    yield Request("token with a note by a name and a password", "POST", path, who=None, body=alice | {"note": "by hand"})
    yield Request("token of another by a name and a password", "POST", "/users/bob/tokens", who=None, body=alice)
    yield Request("token for nobody by a name and a password", "POST", "/users/nobody/tokens", who=None, body=alice)
    yield Request("token by no name", "POST", path, who=None, body={"auth": None})
    yield Request("token by an unknown token and a name", "POST", path, who="unknown", body=alice)
    yield Request("tokens", "GET", path)
    yield Request("one's own tokens", "GET", path, who="alice")
    yield Request("tokens of another", "GET", path, who="bob")
    yield Request("tokens of nobody", "GET", "/users/nobody/tokens")
    yield Request("a token", "GET", path + "/{short}")
    yield Request("a token of another", "GET", "/users/bob/tokens/{short}")
    yield Request("a token that is none", "GET", path + "/a999999999999")
    yield Request("a token by a number", "GET", path + "/7")
    yield Request("a token by a word", "GET", path + "/axyz")
    yield Request("a token by a letter", "GET", path + "/b7")
    yield Request("end a token of another", "DELETE", "/users/bob/tokens/{short}", who="bob")
    yield Request("end a token", "DELETE", path + "/{short}", who="alice")
    yield Request("end a token again", "DELETE", path + "/{short}", who="alice")


def strangers():
    for path, methods in RESOURCES.items():
        if path == "/":
            continue
        for method in methods.split():
            yield Request(f"{method} {path} without credentials", method, path, who=None)
    for path, methods in RESOURCES.items():
        for method in METHODS:
            if method not in methods.split():
                yield Request(f"{method} {path} is no method", method, path)
    yield Request("an unknown token", "GET", "/user", who="unknown")
    yield Request("a scheme that is none", "GET", "/user", who=None, headers={"Authorization": "Basic abc"})
    yield Request("a token that is empty", "GET", "/user", who=None, headers={"Authorization": "token "})
    yield Request("a token that is long", "GET", "/user", who=None, headers={"Authorization": "token " + "a" * 65})
    yield Request("no such address", "GET", "/planets")
    yield Request("no such address without credentials", "GET", "/planets", who=None)
    yield Request("POST to no such address", "POST", "/planets", body={})
    yield Request("a slash too many", "GET", "/users/")
    yield Request("options", "OPTIONS", "/users", who=None)
    yield Request("head", "HEAD", "/users")


def scopes():
    for path, methods in RESOURCES.items():
        for method in methods.split():
            yield Request(f"{method} {path} with no scopes", method, path, who="nothing")
    for path in ("/users/bob", "/users/alice", "/users/nobody"):
        for who in ("reader", "reader of bob", "reader of staff", "starter of a server of bob", "self", "bob"):
            yield Request(f"GET {path} as {who}", "GET", path, who=who)
    for who in ("reader", "reader of staff", "lister of alice", "bob", "self", "adder"):
        yield Request(f"list users as {who}", "GET", "/users", who=who)
        yield Request(f"who am I as {who}", "GET", "/user", who=who)
    yield Request("grant more than one has", "POST", "/users/zed", who="adder", body={"admin": True})
    yield Request("add by a token of an administrator", "POST", "/users/zed", who="adder")
    yield Request("change an administrator by a token", "PATCH", "/users/root2", who="adder", body={"admin": False})
    yield Request("groups as grouper of staff", "GET", "/groups", who="grouper of staff")
    yield Request("a group as grouper of staff", "GET", "/groups/staff", who="grouper of staff")
    yield Request("no group as grouper of staff", "GET", "/groups/nothing", who="grouper of staff")
    yield Request("no group as grouper", "GET", "/groups/nothing", who="grouper")
    yield Request("properties as grouper", "PUT", "/groups/staff/properties", who="grouper", body={"a": 1})
    yield Request("delete a group as grouper", "DELETE", "/groups/staff", who="grouper")


def reading():
    yield Request("the version", "GET", "", who=None)
    yield Request("the version with a slash", "GET", "/", who=None)
    yield Request("who am I", "GET", "/user")
    yield Request("who am I as alice", "GET", "/user", who="alice")
    yield Request("users", "GET", "/users")
    yield Request("users, paged", "GET", "/users", headers=PAGES)
    for query in (
        "limit=2", "limit=2&offset=2", "limit=0", "limit=-1", "limit=1000", "limit=x", "offset=x", "offset=100",
        "state=active", "state=ready", "state=inactive", "state=asleep", "name_filter=a", "name_filter=LI",
        "sort=name", "sort=-name", "sort=id", "sort=-id", "sort=last_activity", "sort=color",
        "include_stopped_servers=1", "include_stopped_servers=0", "include_stopped_servers",
    ):
        yield Request(f"users?{query}", "GET", f"/users?{query}")
        yield Request(f"users?{query}, paged", "GET", f"/users?{query}", headers=PAGES)
    yield Request("nobody", "GET", "/users/nobody")
    yield Request("a user", "GET", "/users/alice")
    yield Request("a user with stopped servers", "GET", "/users/alice?include_stopped_servers")


def users():
    yield Request("rename", "PATCH", "/users/dan", body={"name": "dana"})
    yield Request("the old name", "GET", "/users/dan")
    yield Request("the new name", "GET", "/users/dana")
    yield Request("rename to one that is taken", "PATCH", "/users/dana", body={"name": "eve"})
    yield Request("rename to capitals", "PATCH", "/users/dana", body={"name": "DORA"})
    yield Request("rename to a number", "PATCH", "/users/eve", body={"name": 7})
    yield Request("make an administrator", "PATCH", "/users/eve", body={"admin": True})
    yield Request("make one no administrator", "PATCH", "/users/eve", body={"admin": False})
    yield Request("make one a text", "PATCH", "/users/eve", body={"admin": "yes"})
    yield Request("change nobody", "PATCH", "/users/nobody", body={"admin": True})
    yield Request("change nothing", "PATCH", "/users/eve", body={})
    yield Request("change without a body", "PATCH", "/users/eve")
    yield Request("change an unknown key", "PATCH", "/users/eve", body={"color": "red"})
    yield Request("delete oneself", "DELETE", "/users/admin")
    yield Request("delete nobody", "DELETE", "/users/nobody")
    yield Request("delete a user", "DELETE", "/users/eve")
    yield Request("delete a user again", "DELETE", "/users/eve")


def groups():
    yield Request("groups", "GET", "/groups")
    yield Request("groups, paged", "GET", "/groups", headers=PAGES)
    yield Request("groups?limit=1, paged", "GET", "/groups?limit=1", headers=PAGES)
    yield Request("a group", "GET", "/groups/staff")
    yield Request("no group", "GET", "/groups/nothing")
    yield Request("add a group again", "POST", "/groups/staff")
    yield Request("add a group without users", "POST", "/groups/empty")
    yield Request("add a group of nobody", "POST", "/groups/odd", body={"users": ["nobody"]})
    yield Request("add a group with a text as users", "POST", "/groups/odd", body={"users": "bob"})
    yield Request("add a group with an unknown key", "POST", "/groups/odd", body={"color": 1})
    yield Request("add groups", "POST", "/groups", body={"groups": ["red", "blue"], "users": ["carol"]})
    yield Request("add groups again", "POST", "/groups", body={"groups": ["blue", "green"]})
    yield Request("add no groups", "POST", "/groups", body={"groups": []})
    yield Request("groups?limit=2, paged", "GET", "/groups?limit=2", headers=PAGES)
    yield Request("add a member", "POST", "/groups/staff/users", body={"users": ["carol", "alice"]})
    yield Request("add a member again", "POST", "/groups/staff/users", body={"users": ["carol"]})
    yield Request("add nobody to a group", "POST", "/groups/staff/users", body={"users": ["nobody"]})
    yield Request("add a member to no group", "POST", "/groups/nothing/users", body={"users": ["carol"]})
    yield Request("add members without a body", "POST", "/groups/staff/users")
    yield Request("add members without users", "POST", "/groups/staff/users", body={})
    yield Request("take a member out", "DELETE", "/groups/staff/users", body={"users": ["carol"]})
    yield Request("take a member out again", "DELETE", "/groups/staff/users", body={"users": ["carol"]})
    yield Request("set properties", "PUT", "/groups/staff/properties", body={"limit": 3})
    yield Request("set a list as properties", "PUT", "/groups/staff/properties", body=[1])
    yield Request("groups of a member", "GET", "/users/alice")
    yield Request("delete a group", "DELETE", "/groups/red")
    yield Request("delete a group again", "DELETE", "/groups/red")


def servers():
    path = "/users/alice/server"
    yield Request("a server that never ran", "GET", path)
    yield Request("progress of one that never ran", "GET", path + "/progress")
    yield Request("stop one that never ran", "DELETE", path)
    yield Request("start", "POST", path, who="alice")
    yield Wait("alice", "", "ready")
    yield Request("start one that runs", "POST", path, who="alice")
    yield Request("a server that runs", "GET", path, who="alice")
    yield Request("one's own server", "GET", "/user", who="alice")
    yield Request("progress of one that runs", "GET", path + "/progress", who="alice")
    for query in ("state=active", "state=ready", "state=inactive"):
        yield Request(f"users?{query} while one runs", "GET", f"/users?{query}")
    yield Request("change one that runs", "PATCH", path, body={"user_options": {}})
    yield Request("create the default server", "PUT", path)
    yield Request("another's server", "GET", path, who="bob")
    yield Request("stop another's server", "DELETE", path, who="bob")
    yield Request("delete the default server", "DELETE", path, body={"remove": True})
    yield Request("stop", "DELETE", path, who="alice")
    yield Wait("alice", "", "stopped")
    yield Request("a server that is stopped", "GET", path)
    yield Request("stop one that is stopped", "DELETE", path)
    yield Request("progress of one that is stopped", "GET", path + "/progress")
    yield Request("start with options", "POST", path, body={"memory": "2G"})
    yield Wait("alice", "", "ready")
    yield Request("options of a server", "GET", path)
    yield Request("stop by an administrator", "DELETE", path)
    yield Wait("alice", "", "stopped")
    yield Request("start with a list as options", "POST", path, body={"user_options": [1]})
    yield Request("start with a list", "POST", path, body=[1])
    yield Request("start for nobody", "POST", "/users/nobody/server")


def named_servers():
    path = "/users/bob/servers/gpu"
    yield Request("a named server that is none", "GET", path)
    yield Request("stop a named server that is none", "DELETE", path)
    yield Request("progress of a named server that is none", "GET", path + "/progress")
    yield Request("create", "PUT", path, body={"display_name": "With a GPU", "user_options": {"gpu": 1}})
    yield Request("create again", "PUT", path)
    yield Request("a server that was created", "GET", path)
    yield Request("with the one that was created", "GET", "/users/bob?include_stopped_servers")
    yield Request("without the one that was created", "GET", "/users/bob")
    yield Request("change its display name", "PATCH", path, body={"display_name": "Two GPUs"})
    yield Request("change its options", "PATCH", path, body={"user_options": {"gpu": 2}})
    yield Request("change nothing of it", "PATCH", path, body={})
    yield Request("change an unknown key of it", "PATCH", path, body={"color": 1})
    yield Request("change its options to a list", "PATCH", path, body={"user_options": [1]})
    yield Request("change one that is none", "PATCH", "/users/bob/servers/none", body={"display_name": "x"})
    yield Request("rename it", "PATCH", path, body={"name": "gpu2"})
    yield Request("rename it to what it is", "PATCH", "/users/bob/servers/gpu2", body={"name": "gpu2"})
    yield Request("rename it to capitals", "PATCH", "/users/bob/servers/gpu2", body={"name": "GPU"})
    yield Request("rename it back", "PATCH", "/users/bob/servers/gpu2", body={"name": "gpu"})
    yield Request("start it by its filter", "POST", path, who="starter of a server of bob")
    yield Wait("bob", "gpu", "ready")
    yield Request("a named server that runs", "GET", path)
    yield Request("the user of a server by its filter", "GET", "/users/bob", who="starter of a server of bob")
    yield Request("start another by its filter", "POST", "/users/bob/servers/cpu", who="starter of a server of bob")
    yield Request("stop by a filter without the scope", "DELETE", path, who="starter of a server of bob")
    yield Request("rename one that runs", "PATCH", path, body={"name": "gpu3"})
    yield Request("users with a named server", "GET", "/users?state=ready")
    yield Request("delete one that runs", "DELETE", path, body={"remove": True})
    yield Wait("bob", "gpu", "gone")
    yield Request("a named server that is deleted", "GET", path)
    for name in ("GPU", "1gpu", "a--b", "a_b", "a" * 31, "a%2Fb", "-a"):
        yield Request(f"create {name[:8]}", "PUT", f"/users/bob/servers/{name}")
        yield Request(f"start {name[:8]}", "POST", f"/users/bob/servers/{name}")
    yield Request("create with a number as display name", "PUT", path, body={"display_name": 1})
    yield Request("create with a long display name", "PUT", path, body={"display_name": "x" * 300})
    yield Request("default server by an empty name", "GET", "/users/alice/servers/")


def activity():
    path = "/users/alice/activity"
    time = "2026-01-02T03:04:05Z"
    yield Request("report activity", "POST", path, who="alice", body={"last_activity": time})
    yield Request("report none", "POST", path, body={})
    yield Request("report without a body", "POST", path)
    yield Request("report a word", "POST", path, body={"last_activity": "yesterday-ish"})
    yield Request("report the far future", "POST", path, body={"last_activity": "2999-01-01T00:00:00Z"})
    yield Request("report of a server", "POST", path, body={"servers": {"": {"last_activity": time}}})
    yield Request("report of no server", "POST", path, body={"servers": {"none": {"last_activity": time}}})
    yield Request("report of a server without a time", "POST", path, body={"servers": {"": {}}})
    yield Request("report of a server by a word", "POST", path, body={"servers": {"": "now"}})
    yield Request("report of servers in a list", "POST", path, body={"servers": ["x"]})
    yield Request("report of nobody", "POST", "/users/nobody/activity", body={"last_activity": time})
    yield Request("report of another", "POST", path, who="bob", body={"last_activity": time})


def services():
    yield Request("services", "GET", "/services")
    yield Request("no service", "GET", "/services/nothing")
    yield Request("add a service", "POST", "/services/grader", body={"api_token": "a-token-of-a-service-0123"})
    yield Request("add a service again", "POST", "/services/grader", body={})
    yield Request("add a service without a body", "POST", "/services/empty")
    yield Request("add a managed service", "POST", "/services/managed", body={"command": ["true"]})
    yield Request("add a service with an unknown key", "POST", "/services/odd", body={"color": 1})
    yield Request("a service", "GET", "/services/grader")
    yield Request("who am I as a service", "GET", "/user", who=None, headers={"Authorization": "token a-token-of-a-service-0123"})
    yield Request("users as a service", "GET", "/users", who=None, headers={"Authorization": "token a-token-of-a-service-0123"})
    yield Request("services with one", "GET", "/services")
    yield Request("delete a service", "DELETE", "/services/grader")
    yield Request("delete a service again", "DELETE", "/services/grader")


def the_hub():
    yield Request("info", "GET", "/info")
    yield Request("routes", "GET", "/proxy")
    yield Request("check routes", "POST", "/proxy")
    yield Request("another proxy without a body", "PATCH", "/proxy")
    yield Request("shut down with a word", "POST", "/shutdown", body={"proxy": "maybe"})
    yield Request("admin access", "POST", "/users/alice/admin-access")
    yield Request("a token's owner, the old way", "GET", "/authorizations/token/{alice}")


def bad_input():
    for name, body in {
        "half a JSON": b'{"a":', "no JSON": b"hello", "a number": b"7", "null": b"null",
    }.items():
        for method, path in (
            ("POST", "/users"), ("POST", "/users/new1"), ("PATCH", "/users/bob"), ("POST", "/users/bob/tokens"),
            ("POST", "/groups"), ("POST", "/groups/new1"), ("POST", "/groups/staff/users"), ("POST", "/users/bob/activity"),
            ("PUT", "/users/bob/servers/new1"), ("DELETE", "/users/bob/servers/none"),
        ):
            yield Request(f"{name} to {method} {path}", method, path, body=body)
    for name in ("a%2Fb", "a%00b", "%FF", "a" * 300, "a%20b", "%2e%2e"):
        yield Request(f"add {name[:8]}", "POST", f"/users/{name}")
        yield Request(f"find {name[:8]}", "GET", f"/users/{name}")


def ends():
    yield Request("rename to the same name", "PATCH", "/users/fay", body={"name": "fay"})
    yield Request("rename to no name", "PATCH", "/users/dora", body={"name": ""})
    yield Request("rename to a path", "PATCH", "/users/root3", body={"name": "a/b"})
    yield Request("rename to no UTF-8", "PATCH", "/users/carol", body=b'{"name": "\xff\xfe"}')
    yield Request("delete bob", "DELETE", "/users/bob")
    yield Request("bob's token is over", "GET", "/user", who="bob")
    yield Request("the group without bob", "GET", "/groups/staff")
