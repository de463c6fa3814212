//! Requests against somebody who knows one token and one right.

use super::*;

struct One;

#[async_trait]
impl Access for One {
    async fn user(&self, token: &str) -> Result<Option<User>, Error> {
        match token {
            "broken" => Err(Error("nobody is there".into())),
            "good" => Ok(Some(User { name: "monitor".into(), ..User::default() })),
            _ => Ok(None),
        }
    }

    async fn allows(&self, user: &User, attributes: &Attributes) -> Result<bool, Error> {
        match user.name.as_str() {
            "broken" => Err(Error("nobody is there".into())),
            "root" => Ok(true),
            _ => Ok(attributes.verb == "get" && matches!(attributes.subresource, "metrics" | "proxy")),
        }
    }
}

async fn ask(path: &str, authorization: &str, certificate: &str) -> (u16, String) {
    use http_body_util::BodyExt as _;
    let mut request = Request::builder().uri(path);
    if !authorization.is_empty() {
        request = request.header(AUTHORIZATION, authorization);
    }
    let user = (!certificate.is_empty()).then(|| User { name: certificate.into(), ..User::default() });
    let request = request.body(()).unwrap();
    match admit(&One, "n", &request, path, &Peer { user }).await {
        Ok(()) => (200, String::new()),
        Err(refusal) => {
            let code = refusal.status().as_u16();
            let body = refusal.into_body().collect().await.unwrap().to_bytes();
            (code, String::from_utf8(body.to_vec()).unwrap())
        }
    }
}

#[tokio::test]
async fn who_asks_and_may_is_let_through() {
    let rows = [
        ("a token", "/metrics", "Bearer good", "", 200, ""),
        ("a certificate", "/metrics", "", "monitor", 200, ""),
        ("a general right where a special one is missing", "/pods", "Bearer good", "", 200, ""),
        ("nobody", "/metrics", "", "", 401, "Unauthorized"),
        ("a bad token", "/metrics", "Bearer bad", "", 401, "Unauthorized"),
        ("a token that nobody can be asked about", "/metrics", "Bearer broken", "", 401, "Unauthorized"),
        ("another scheme", "/metrics", "Basic good", "", 401, "Unauthorized"),
        (
            "no right",
            "/stats/summary",
            "Bearer good",
            "",
            403,
            "Forbidden (user=monitor, verb=get, resource=nodes, subresource(s)=[stats])",
        ),
        (
            "nobody can be asked",
            "/pods",
            "",
            "broken",
            500,
            "Authorization error (user=broken, verb=get, resource=nodes, subresource(s)=[pods proxy])",
        ),
    ];
    for (name, path, authorization, certificate, code, text) in rows {
        assert_eq!(ask(path, authorization, certificate).await, (code, text.to_owned()), "{name}");
    }
}
