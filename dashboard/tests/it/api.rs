//! The API of the old job dashboard, with a token and with a session.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::fixtures;
use crate::site::{BASE, Site, Visitor};

/// A token that ada makes for herself at the Hub.
async fn token(ada: &Visitor) -> String {
    let page = ada
        .0
        .submit(
            "/hub/token",
            "/hub/token",
            &[("note", "t"), ("expires_in", "3600"), ("scopes", "")],
        )
        .await;
    let page = page.unwrap().text().await.unwrap();
    let (_, rest) = page
        .split_once("id=\"new-token\"")
        .unwrap_or_else(|| panic!("{page}"));
    let (_, rest) = rest.split_once("value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

struct Program {
    site: Site,
    token: String,
}

impl Program {
    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = self.site.hub.url(&format!("{BASE}tfjobs/api/{path}"));
        let request = reqwest::Client::new().request(method, url);
        let request = request.header("authorization", format!("token {}", self.token));
        let reply = request.json(&body).send().await.unwrap();
        let status = reply.status().as_u16();
        let text = reply.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }
}

#[tokio::test]
async fn programs_use_the_api_with_a_token_of_the_hub() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    let token = token(&ada).await;
    let program = Program { site, token };
    let get = async |path: &str| {
        let (status, body) = program.ask(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    };
    let list = get("tfjob").await;
    assert_eq!(list["kind"], "TFJobList");
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    assert_eq!(get("tfjob/lab").await["items"].as_array().unwrap().len(), 3);
    assert_eq!(
        get("trainjob").await["items"][0]["metadata"]["name"],
        "fine-tune"
    );
    let detail = get("pytorchjob/lab/distributed-mnist").await;
    assert_eq!(
        detail["pytorchJob"]["metadata"]["name"],
        "distributed-mnist"
    );
    assert_eq!(detail["pods"].as_array().unwrap().len(), 4);
    assert_eq!(get("tfjob/lab/example-job").await["tfJob"]["kind"], "TFJob");
    let log = get("logs/lab/distributed-mnist-master-0").await;
    assert!(
        log.as_str()
            .unwrap()
            .contains("Rank  0 , epoch  0 :  1.2745\n")
    );

    let mut job = fixtures::tfjob("by-program", "lab", "Created", "", 0);
    job.as_object_mut().unwrap().remove("status");
    let (status, made) = program.ask(Method::POST, "tfjob", job.clone()).await;
    assert_eq!(
        (status, &made["metadata"]["name"]),
        (201, &json!("by-program"))
    );
    job["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] = json!(-1);
    let (status, told) = program.ask(Method::POST, "tfjob", job.clone()).await;
    assert_eq!(
        (status, &told["causes"][0]["field"]),
        (422, &json!("spec.tfReplicaSpecs.Worker.replicas"))
    );
    assert_eq!(program.ask(Method::POST, "pytorchjob", job).await.0, 422);
    assert_eq!(
        program
            .ask(Method::DELETE, "tfjob/lab/by-program", Value::Null)
            .await
            .0,
        204
    );
    assert_eq!(
        program
            .ask(Method::DELETE, "tfjob/lab/by-program", Value::Null)
            .await
            .0,
        404
    );
    assert_eq!(
        program.ask(Method::GET, "nosuchkind", Value::Null).await.0,
        404
    );
    let wrong = Program {
        token: "wrong".to_owned(),
        ..program
    };
    let (status, told) = wrong.ask(Method::GET, "tfjob", Value::Null).await;
    assert_eq!((status, told["status"].as_u64()), (401, Some(401)));
}
