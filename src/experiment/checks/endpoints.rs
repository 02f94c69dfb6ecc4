//! Sends valid and invalid requests to each endpoint, and compares the responses with the documented
//! ones.

use http::Method;
use serde_json::{Value, json};

use crate::client::{self, Client, Response};
use crate::experiment::error::Error;
use crate::experiment::figures::Check;
use crate::experiment::session::Session;
use crate::experiment::target_pool::TargetPool;

/// Names of the replicas that are added and removed.
const NAMES: [&str; 2] = ["Experiment A", "Experiment B"];

/// Checks a response; the error says what is wrong.
type Judge<'a> = &'a dyn Fn(&Response) -> Result<(), String>;

struct Checker<'a> {
    session: &'a Session<'a>,
    public: Client,
    done: Vec<Check>,
}

/// Checks all endpoints.
pub(super) async fn run(session: &Session<'_>, notes: &mut Vec<String>) -> Result<Vec<Check>, Error> {
    let public = Client::new(session.pool.public().clone(), None);
    let mut checker = Checker { session, public, done: Vec::new() };
    checker.membership(notes).await?;
    checker.forwarded().await?;
    checker.admin().await?;
    Ok(checker.done)
}

impl Checker<'_> {
    /// `/rep`, `/add` and `/rm`.
    async fn membership(&mut self, notes: &mut Vec<String>) -> Result<(), Error> {
        let ring = self.session.pool.ring().await?;
        let added = TargetPool::free_names(&ring, NAMES);
        let mut names: Vec<String> = ring.replicas.into_iter().map(|replica| replica.name).collect();
        self.ask(Method::GET, "/rep", None, 200, &|response| replicas(response, &names)).await?;
        let two = json!({"n": 2, "hostnames": added});
        let one = json!({"n": 1, "hostnames": added});
        let longer = "<Error> Length of hostname list is more than newly added instances";
        self.ask(Method::POST, "/add", Some(&one), 400, &|response| failure(response, longer)).await?;
        self.session.pool.claim(&added);
        let without = names.clone();
        names.extend_from_slice(&added);
        self.ask(Method::POST, "/add", Some(&two), 200, &|response| replicas(response, &names)).await?;
        if let Some(refused) = self.done.pop_if(|check| check.status == 400 || check.status == 409) {
            self.session.pool.unclaim(&added);
            notes.push(format!(
                "A-3 neither added nor removed a replica, because POST /add answered {}: {}.",
                refused.status,
                refused.problem.unwrap_or_default()
            ));
            return Ok(());
        }
        let longer = "<Error> Length of hostname list is more than removable instances";
        self.ask(Method::DELETE, "/rm", Some(&one), 400, &|response| failure(response, longer)).await?;
        self.ask(Method::DELETE, "/rm", Some(&two), 200, &|response| replicas(response, &without)).await?;
        if self.done.last().is_some_and(|check| check.status == 200) {
            self.session.pool.unclaim(&added);
        }
        Ok(())
    }

    /// Requests that are forwarded to replicas.
    async fn forwarded(&mut self) -> Result<(), Error> {
        let names = self.names().await?;
        let home = self.public.send(Method::GET, "/home", None).await?;
        let unknown = "<Error> '/other' endpoint does not exist in server replicas";
        // The responses of other programs than the built-in replica are not known.
        let built_in = named(&home).is_some();
        let by_one = |response: &Response| match named(response) {
            Some(name) if names.contains(&name) => Ok(()),
            _ => Err(format!("not an answer of one of {names:?}")),
        };
        let empty =
            |response: &Response| if response.body.is_empty() { Ok(()) } else { Err("a body".to_owned()) };
        if built_in {
            self.forward("/home", 200, &by_one).await?;
            self.forward("/heartbeat", 200, &empty).await?;
            self.forward("/other", 400, &|response| failure(response, unknown)).await?;
        } else {
            self.forward("/home", home.status.as_u16(), &anything).await?;
        }
        Ok(())
    }

    /// Routes of the admin listener.
    async fn admin(&mut self) -> Result<(), Error> {
        let has = |response: &Response, fields: &[&str]| {
            let body = json_of(response)?;
            let missing = fields.iter().find(|field| body.get(**field).is_none());
            missing.map_or(Ok(()), |field| Err(format!("no '{field}' in it")))
        };
        let ring = ["family", "probing", "placement", "slots", "virtual_nodes", "key", "replicas"];
        self.ask(Method::GET, "/ring", None, 200, &|response| has(response, &ring)).await?;
        self.ask(Method::GET, "/ring/sectors", None, 200, &|response| has(response, &["slots", "sectors"]))
            .await?;
        self.ask(Method::GET, "/statistics", None, 200, &|response| has(response, &["seconds"])).await?;
        self.ask(Method::GET, "/openapi.json", None, 200, &|response| has(response, &["openapi", "paths"]))
            .await?;
        self.ask(Method::GET, "/metrics", None, 200, &|response| says(response, "ringherd_requests_total"))
            .await?;
        self.ask(Method::GET, "/", None, 200, &|response| says(response, "<html")).await?;
        self.events().await?;
        self.ask(Method::GET, "/version", None, 200, &|response| has(response, &["name", "version"])).await?;
        self.ask(Method::GET, "/healthz", None, 200, &anything).await?;
        self.ask(Method::GET, "/readyz", None, 200, &anything).await?;
        self.ask(Method::GET, "/no-such-path", None, 404, &refusal).await?;
        self.ask(Method::DELETE, "/ring", None, 405, &refusal).await?;
        let weight = json!({"weight": 50});
        self.ask(Method::PUT, "/replicas/nobody", Some(&weight), 404, &refusal).await?;
        self.ask(Method::POST, "/replicas/nobody/kill", Some(&json!({})), 404, &refusal).await
    }

    /// The head of the stream of events; the stream itself has no end.
    async fn events(&mut self) -> Result<(), Error> {
        let (status, problem) = match self.session.pool.client().events(None).await {
            Ok(_) => (200, None),
            Err(client::Error::Refused { status, message, .. }) => (status.as_u16(), Some(message)),
            Err(error) => return Err(error.into()),
        };
        let request = "GET /events".to_owned();
        self.done.push(Check { request, status, good: problem.is_none(), problem });
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>, Error> {
        let ring = self.session.pool.ring().await?;
        Ok(ring.replicas.into_iter().map(|replica| replica.name).collect())
    }

    /// Sends a request to the admin API, and checks the response.
    async fn ask(
        &mut self,
        method: Method,
        path: &'static str,
        body: Option<&Value>,
        status: u16,
        judge: Judge<'_>,
    ) -> Result<(), Error> {
        let request = match body {
            Some(body) => format!("{method} {path} {body}"),
            None => format!("{method} {path}"),
        };
        let body = body.cloned();
        let send =
            |client: std::rc::Rc<Client>| async move { client.send(method, path, body.as_ref()).await };
        let response = self.session.pool.change(send).await?;
        self.done.push(check(request, &response, status, judge));
        Ok(())
    }

    /// Sends a request to the public listener, and checks the response.
    async fn forward(&mut self, path: &str, status: u16, judge: Judge<'_>) -> Result<(), Error> {
        let response = self.public.send(Method::GET, path, None).await?;
        self.done.push(check(format!("GET {path}"), &response, status, judge));
        Ok(())
    }
}

fn check(request: String, response: &Response, status: u16, judge: Judge<'_>) -> Check {
    let seen = response.status.as_u16();
    let judged = if seen == status {
        judge(response)
    } else {
        let text: String = String::from_utf8_lossy(&response.body).chars().take(200).collect();
        Err(format!("{status} was expected; it said: {text}"))
    };
    Check { request, status: seen, good: judged.is_ok(), problem: judged.err() }
}

#[expect(clippy::unnecessary_wraps, reason = "a judge that is always content")]
fn anything(_: &Response) -> Result<(), String> {
    Ok(())
}

/// Checks that the body contains `text`.
fn says(response: &Response, text: &str) -> Result<(), String> {
    let body = String::from_utf8_lossy(&response.body);
    if body.contains(text) { Ok(()) } else { Err(format!("no '{text}' in it")) }
}

fn json_of(response: &Response) -> Result<Value, String> {
    serde_json::from_slice(&response.body).map_err(|error| format!("no JSON: {error}"))
}

/// `{"message":{"N":…,"replicas":[…]},"status":"successful"}` with these names.
fn replicas(response: &Response, names: &[String]) -> Result<(), String> {
    let wanted = json!({"message": {"N": names.len(), "replicas": names}, "status": "successful"});
    let found = json_of(response)?;
    if found == wanted { Ok(()) } else { Err(format!("{found} instead of {wanted}")) }
}

/// `{"message":…,"status":"failure"}` with this message.
fn failure(response: &Response, message: &str) -> Result<(), String> {
    let wanted = json!({"message": message, "status": "failure"});
    let found = json_of(response)?;
    if found == wanted { Ok(()) } else { Err(format!("{found} instead of {wanted}")) }
}

/// `{"message":"<Error> …","status":"failure"}`.
fn refusal(response: &Response) -> Result<(), String> {
    let found = json_of(response)?;
    let message = found["message"].as_str().unwrap_or_default();
    if message.starts_with("<Error> ") && found["status"] == "failure" {
        Ok(())
    } else {
        Err(format!("not in the form of an error: {found}"))
    }
}

/// The name in the response of the built-in replica.
fn named(response: &Response) -> Option<String> {
    let body = json_of(response).ok()?;
    Some(body["message"].as_str()?.strip_prefix("Request routed to ")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response { status: status.try_into().unwrap(), body: body.to_owned().into() }
    }

    #[test]
    fn a_response_is_good_only_if_status_and_shape_are() {
        let names = ["a".to_owned(), "b".to_owned()];
        let judge = |response: &Response| replicas(response, &names);
        let good = r#"{"message":{"N":2,"replicas":["a","b"]},"status":"successful"}"#;
        assert!(check(String::new(), &response(200, good), 200, &judge).good);
        for (status, body) in [
            (400, good),
            (200, r#"{"message":{"N":3,"replicas":["a","b"]},"status":"successful"}"#),
            (200, r#"{"message":{"N":2,"replicas":["b","a"]},"status":"successful"}"#),
            (200, "hello"),
        ] {
            let check = check(String::new(), &response(status, body), 200, &judge);
            assert!(!check.good && check.problem.is_some(), "{body}");
        }
    }

    #[test]
    fn errors_have_their_form() {
        assert_eq!(refusal(&response(404, r#"{"message":"<Error> no","status":"failure"}"#)), Ok(()));
        assert!(refusal(&response(404, r#"{"message":"no","status":"failure"}"#)).is_err());
        assert!(
            failure(&response(400, r#"{"message":"<Error> a","status":"failure"}"#), "<Error> b").is_err()
        );
    }
}
