//! Members of organizations and teams at GitHub (`GitHubOAuthenticator.allowed_organizations`).

use http::StatusCode;
use openidconnect::AccessToken;
use url::Url;

use super::super::Refusal;
use super::OAuth;

/// Whether somebody is a member of one of the organizations or teams.
pub async fn is_member(oauth: &OAuth, login: &str, token: &AccessToken) -> Result<bool, Refusal> {
    let keys = &oauth.config.github_oauthenticator;
    for allowed in &keys.allowed_organizations {
        let url = address(&keys.github_api, allowed, login);
        let url =
            url.ok_or_else(|| Refusal::failed("ask GitHub", "the API has no such address"))?;
        let (status, _) = oauth.get(&url, token).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the API says whether `login` is a member; `organization` may be `org:team`.
fn address(api: &Url, organization: &str, login: &str) -> Option<Url> {
    let mut url = api.clone();
    let mut path = url.path_segments_mut().ok()?;
    path.pop_if_empty();
    match organization.split_once(':') {
        Some((organization, team)) => {
            path.extend(["orgs", organization, "teams", team, "members", login])
        }
        None => path.extend(["orgs", organization, "members", login]),
    };
    drop(path);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_place_of_the_address() {
        let api: Url = "https://github.example/api/v3/".parse().unwrap();
        let table = [
            ("org", "ada", "/api/v3/orgs/org/members/ada"),
            ("org:team", "ada", "/api/v3/orgs/org/teams/team/members/ada"),
            ("org", "a/../b", "/api/v3/orgs/org/members/a%2F..%2Fb"),
        ];
        for (organization, login, path) in table {
            let url = address(&api, organization, login).unwrap();
            assert_eq!(url.path(), path);
        }
    }
}
