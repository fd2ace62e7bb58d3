//! The path of a request on its way to a target. Pure.

use carrel_proxy::key;
use http::Uri;
use http::uri::PathAndQuery;

use crate::rule::{Path, Rewrite};

/// What a target is asked for. The query stays.
///
/// None where no path comes of it.
pub fn rewrite(asked: &Uri, matched: &Path, rewrite: &Rewrite) -> Option<PathAndQuery> {
    let path = match rewrite {
        Rewrite::Whole(path) => path.clone(),
        Rewrite::Prefix(path) => {
            let rest = rest(asked.path(), matched.text());
            match (path.trim_end_matches('/'), rest) {
                ("", "") => "/".to_owned(),
                // `/a` in the place of `/b/` is `/a` for `/b/` itself.
                (_, "" | "/") if !path.ends_with('/') => path.clone(),
                (path, rest) => format!("{path}{rest}"),
            }
        }
    };
    let whole = match asked.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    whole.parse().ok().filter(|_| whole.starts_with('/'))
}

/// Whether a segment of a path is `.` or `..`, however it is spelt: in the place of a prefix it leads out of what stands there.
pub fn has_dots(path: &str) -> bool {
    // Some servers take a backslash for a slash, as browsers do, and some an encoded slash for one that parts segments.
    let path = key(path).replace("%2F", "/").replace("%2f", "/");
    let mut segments = path.split(['/', '\\']);
    segments.any(|segment| matches!(segment, "." | ".."))
}

/// What follows as many segments of `path` as `prefix` has, with its slash, as it was spelt.
fn rest<'a>(path: &'a str, prefix: &str) -> &'a str {
    let segments = key(prefix).matches('/').count();
    let end = path.match_indices('/').nth(segments);
    end.map_or("", |(end, _)| &path[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_seen_however_they_are_spelt() {
        for path in [
            "/a/../b",
            "/a/.",
            "/a/./",
            "/..",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/..\\b",
            "/a/%5c..%5Cb",
            "/a/..%2fb",
            "/a/b%2F..%2F..",
            "/a/%2e%2e%2Fb",
        ] {
            assert!(has_dots(path), "{path}");
        }
        for path in ["/", "/a/.../b", "/a/.b/c..", "/a/%252e%252e/b", "/a%2Fb"] {
            assert!(!has_dots(path), "{path}");
        }
    }

    #[test]
    fn the_prefix_goes_and_the_rest_stays_as_it_was_spelt() {
        for (prefix, with, asked, expected) in [
            (
                "/models/inception/",
                "/",
                "/models/inception/v1/m:predict?a=%2F",
                "/v1/m:predict?a=%2F",
            ),
            ("/models/inception/", "/", "/models/inception", "/"),
            ("/models/inception/", "/", "/models/inception/", "/"),
            ("/models/inception", "/", "/models/inception/x", "/x"),
            (
                "/models/inception/",
                "/model/x:predict",
                "/models/inception/",
                "/model/x:predict",
            ),
            ("/models/inception/", "/a/", "/models/inception/b", "/a/b"),
            ("/models/inception/", "/a/", "/models/inception/", "/a/"),
            ("/models/inception/", "/a", "/models/inception/b/", "/a/b/"),
            ("/a", "/", "/%61/%62", "/%62"),
            ("/a", "/", "/a//b", "//b"),
            ("/", "/x", "/b?c", "/x/b?c"),
            ("/", "/", "/", "/"),
        ] {
            let path = Path::Prefix(prefix.to_owned());
            let with = Rewrite::Prefix(with.to_owned());
            let asked: Uri = asked.parse().unwrap();
            let rewritten = rewrite(&asked, &path, &with).unwrap();
            assert_eq!(rewritten.as_str(), expected, "{prefix} {with:?} {asked}");
        }
        let whole = Rewrite::Whole("/z".to_owned());
        let path = Path::Exact("/a".to_owned());
        let rewritten = rewrite(&"/a?b".parse().unwrap(), &path, &whole);
        assert_eq!(rewritten.unwrap().as_str(), "/z?b");
        let odd = Rewrite::Prefix("no slash".to_owned());
        assert_eq!(rewrite(&"/a".parse().unwrap(), &path, &odd), None);
    }
}
