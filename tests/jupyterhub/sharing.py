"""The requests of the comparison that are about shares and their codes."""

from request import PAGES, Request


def scenario():
    path = "/shares/alice/"
    yield Request("shares of alice", "GET", "/shares/alice")
    yield Request("shares of alice's server", "GET", path)
    yield Request("share with bob", "POST", path, body={"user": "bob"})
    yield Request("share with bob again", "POST", path, body={"user": "bob"})
    yield Request("share with a group", "POST", path, body={"group": "staff", "scopes": ["access:servers"]})
    yield Request("share with nobody", "POST", path, body={"user": "nobody"})
    yield Request("share with both", "POST", path, body={"user": "bob", "group": "staff"})
    yield Request("share with neither", "POST", path, body={})
    yield Request("share what cannot be shared", "POST", path, body={"user": "carol", "scopes": ["admin:users"]})
    yield Request("take back what cannot be shared", "PATCH", path, body={"user": "carol"})
    yield Request("share by an ordinary user", "POST", path, who="alice", body={"user": "bob"})
    yield Request("shares of alice's server again", "GET", path)
    yield Request("what is shared with bob", "GET", "/users/bob/shared", who="bob")
    yield Request("what alice shares with bob", "GET", "/users/bob/shared/alice/", who="bob")
    yield Request("what is shared with staff", "GET", "/groups/staff/shared")
    yield Request("what bob may do now", "GET", "/user", who="bob")
    yield Request("take a share back in part", "PATCH", path, body={"user": "bob", "scopes": ["read:servers"]})
    yield Request("take a share back", "PATCH", path, body={"user": "bob"})
    yield Request("leave what is not shared", "DELETE", "/users/bob/shared/alice/", who="bob")
    yield Request("take all shares back", "DELETE", path)
    yield from giving()
    yield from leaving()
    yield Request("make a code", "POST", "/share-codes/alice/", body={})
    yield Request("make a code that lasts a second", "POST", "/share-codes/alice/", body={"expires_in": 1})
    yield Request("make a code with a word", "POST", "/share-codes/alice/", body={"expires_in": "x"})
    yield Request("codes of alice", "GET", "/share-codes/alice")
    yield Request("codes of alice's server", "GET", "/share-codes/alice/")
    yield Request("delete the codes", "DELETE", "/share-codes/alice/")
    yield from codes()


def giving():
    path = "/shares/alice/"
    sharer = {"scopes": ["shares!user=alice"]}
    yield Request("token: sharer of alice", "POST", "/users/admin/tokens", body=sharer, keep={"sharer": "token"})
    for name, body in {
        "an unknown scope": {"user": "bob", "scopes": ["fly"]},
        "another's filter": {"user": "bob", "scopes": ["access:servers!server=bob/"]},
        "a filter by user": {"user": "bob", "scopes": ["access:servers!user=alice"]},
        "a filter without a name": {"user": "bob", "scopes": ["access:servers!server"]},
        "its own filter": {"user": "bob", "scopes": ["read:servers!server=alice/"]},
        "no scopes in a list": {"user": "bob", "scopes": []},
        "scopes that are null": {"user": "bob", "scopes": None},
        "a text as scopes": {"user": "bob", "scopes": "access:servers"},
        "numbers as scopes": {"user": "bob", "scopes": [1]},
        "a number as user": {"user": 7},
        "an unknown key": {"user": "bob", "color": 1},
        "no group": {"group": "nothing"},
        "nobody at all": {"user": None, "group": None},
        "half a JSON": b'{"user":',
        "no body": None,
    }.items():
        yield Request(f"share with {name}", "POST", path, body=body)
        yield Request(f"take back with {name}", "PATCH", path, body=body)
    for method in ("GET", "POST", "PATCH", "DELETE"):
        body = {"user": "bob"} if method in ("POST", "PATCH") else None
        for where in ("nobody/", "alice/none"):
            yield Request(f"{method} shares of {where}", method, f"/shares/{where}", body=body)
    yield Request("shares of nobody", "GET", "/shares/nobody")
    yield Request("share with who is not to be read", "POST", path, who="sharer", body={"user": "bob"})
    yield Request("share with a group not to be read", "POST", path, who="sharer", body={"group": "staff"})
    yield Request("share what one does not hold", "POST", path, who="sharer", body={"user": "bob", "scopes": ["servers"]})
    yield Request("share another's server", "POST", "/shares/bob/", who="sharer", body={"user": "bob"})
    yield Request("shares of another", "GET", "/shares/alice", who="bob")
    yield Request("one's own shares", "GET", "/shares/alice", who="alice")
    yield Request("shares by a part of shares", "GET", path, who="sharer")


def leaving():
    path = "/shares/alice/"
    yield Request("share with bob, to be left", "POST", path, body={"user": "bob", "scopes": ["servers", "access:servers"]})
    yield Request("share with staff, to be left", "POST", path, body={"group": "staff"})
    for query in ("limit=1", "limit=1&offset=1", "limit=x", "offset=9"):
        yield Request(f"shares?{query}", "GET", f"/shares/alice?{query}")
        yield Request(f"shares?{query}, paged", "GET", f"/shares/alice?{query}", headers=PAGES)
    yield Request("take one scope back", "PATCH", path, body={"user": "bob", "scopes": ["servers!server=alice/"]})
    yield Request("what is shared with a member", "GET", "/users/bob/shared", who="bob")
    yield Request("what is shared with another", "GET", "/users/bob/shared", who="alice")
    yield Request("what is shared with nobody", "GET", "/users/nobody/shared")
    yield Request("what is shared with no group", "GET", "/groups/nothing/shared")
    yield Request("a share of a group", "GET", "/groups/staff/shared/alice/")
    yield Request("a share of no group", "GET", "/groups/nothing/shared/alice/")
    yield Request("a share that is none", "GET", "/users/bob/shared/alice/none", who="bob")
    yield Request("a share of nobody's", "GET", "/users/bob/shared/nobody/", who="bob")
    yield Request("a group's share by a member", "DELETE", "/groups/staff/shared/alice/", who="bob")
    yield Request("leave a share", "DELETE", "/users/bob/shared/alice/", who="bob")
    yield Request("leave a share again", "DELETE", "/users/bob/shared/alice/", who="bob")
    yield Request("leave a share as a group", "DELETE", "/groups/staff/shared/alice/")
    yield Request("leave a share as a group again", "DELETE", "/groups/staff/shared/alice/")


def codes():
    path = "/share-codes/alice/"
    for name, body in {
        "that lasts a minute": {"expires_in": 60},
        "that lasts a year": {"expires_in": 31536000},
        "that lasts longer": {"expires_in": 31536001},
        "that does not end": {"expires_in": None},
        "with a fraction": {"expires_in": 90.5},
        "with an unknown scope": {"scopes": ["fly"]},
        "with another's filter": {"scopes": ["access:servers!server=bob/"]},
        "for a user": {"user": "bob"},
        "with a list as body": [],
        "without a body": None,
    }.items():
        yield Request(f"make a code {name}", "POST", path, body=body)
    yield Request("make a code of nobody", "POST", "/share-codes/nobody/", body={})
    yield Request("make a code of no server", "POST", "/share-codes/alice/none", body={})
    yield Request("make a code for what one does not hold", "POST", path, who="sharer", body={"scopes": ["servers"]})
    yield Request("make a code as a sharer", "POST", path, who="sharer", body={}, keep={"code_id": "id", "code": "code"})
    yield Request("codes?limit=1, paged", "GET", "/share-codes/alice?limit=1", headers=PAGES)
    yield Request("codes of nobody", "GET", "/share-codes/nobody")
    yield Request("codes by an ordinary user", "GET", "/share-codes/alice", who="bob")
    yield Request("delete a code of another server", "DELETE", "/share-codes/bob/?code={code}")
    yield Request("delete a code", "DELETE", path + "?code={code}")
    yield Request("delete a code again", "DELETE", path + "?code={code}")
    yield Request("delete a code by an id that is gone", "DELETE", path + "?id={code_id}")
    yield Request("delete a code by a word", "DELETE", path + "?id=word")
    yield Request("delete a code by a number", "DELETE", path + "?id=1")
    yield Request("delete the other codes", "DELETE", path)
    yield Request("no codes any more", "GET", path)
