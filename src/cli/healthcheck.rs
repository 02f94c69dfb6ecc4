//! `ringherd healthcheck`: the health check of the image, which has no other program. In the container
//! of a balancer it sends a request to the admin API, in that of a replica to the replica.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::{Arg, ArgMatches, Command, value_parser};
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use tokio::net::TcpStream;
use tokio::runtime::LocalRuntime;

use super::variables;
use crate::client::Url;
use crate::http_client;

const LONG_ABOUT: &str = "\
Asks a running ringherd whether it is well: exits with 0 if the answer is a 2xx, else prints why not \
and exits with 1. It is the HEALTHCHECK of the image.

Where SERVER_ID is set, as in the container of a replica, it asks http://127.0.0.1:PORT/heartbeat \
(5000 without PORT). Elsewhere it asks for /readyz at RINGHERD_ADMIN_LISTEN (127.0.0.1:5001 if that \
is not set): flags and file of the balancer are not known to it.";

/// Time limit for the whole check.
const LIMIT: Duration = Duration::from_secs(3);

const DEFAULT_REPLICA_PORT: &str = "5000";

/// The subcommand `healthcheck` with its arguments.
pub fn command() -> Command {
    Command::new("healthcheck").about("Ask a running ringherd whether it is well").long_about(LONG_ABOUT).arg(
        Arg::new("url")
            .long("url")
            .value_name("URL")
            .value_parser(value_parser!(Url))
            .help("What to ask instead, as http://HOST:PORT/PATH"),
    )
}

/// Sends the request, and checks the response.
///
/// # Errors
/// Why the check failed, in one line.
pub fn run(matches: &ArgMatches) -> Result<(), String> {
    let target = match matches.get_one::<Url>("url") {
        Some(target) => target.clone(),
        None => of_container(|name| std::env::var(name).ok())?,
    };
    let runtime = LocalRuntime::new().map_err(|error| format!("cannot ask {target}: {error}"))?;
    let healthy = runtime.block_on(check(&target, LIMIT));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    healthy
}

/// The URL to check in a container with these variables.
fn of_container(variable: impl Fn(&str) -> Option<String>) -> Result<Url, String> {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    if given("SERVER_ID").is_none() {
        return Ok(variables::admin_url(&variable)?.with_path("/readyz"));
    }
    let port = given("PORT").unwrap_or_else(|| DEFAULT_REPLICA_PORT.to_owned());
    let port = port.parse().map_err(|_| format!("PORT={port:?} is no port"))?;
    Ok(Url::local(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).with_path("/heartbeat"))
}

async fn check(target: &Url, limit: Duration) -> Result<(), String> {
    match tokio::time::timeout(limit, ask(target)).await {
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{target} answered {status}")),
        Ok(Err(error)) => Err(format!("no answer from {target}: {error}")),
        Err(_) => Err(format!("no answer from {target} within {}", humantime::format_duration(limit))),
    }
}

type BoxError = Box<dyn std::error::Error>;

async fn ask(target: &Url) -> Result<StatusCode, BoxError> {
    let request = Request::get(target.path())
        .header(header::HOST, target.authority())
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("ringherd/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect(target.address()).await?;
    Ok(http_client::send(stream, request).await?.status())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn target(variables: &[(&str, &str)]) -> Result<String, String> {
        let find = |name: &str| variables.iter().find(|(found, _)| *found == name);
        of_container(|name| find(name).map(|(_, value)| (*value).to_owned())).map(|target| target.to_string())
    }

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_balancer_is_asked_at_its_admin_address() {
        for (listen, url) in [
            ("", "http://127.0.0.1:5001/readyz"),
            ("127.0.0.1:9", "http://127.0.0.1:9/readyz"),
            ("0.0.0.0:9", "http://127.0.0.1:9/readyz"),
            ("[::]:9", "http://[::1]:9/readyz"),
            ("10.0.0.7:9", "http://10.0.0.7:9/readyz"),
        ] {
            // Platforms set PORT in any container.
            let variables = [("RINGHERD_ADMIN_LISTEN", listen), ("PORT", "80"), ("SERVER_ID", "")];
            assert_eq!(target(&variables).as_deref(), Ok(url));
        }
        for listen in ["127.0.0.1:0", "localhost:5001", "x"] {
            let problem = target(&[("RINGHERD_ADMIN_LISTEN", listen)]).expect_err(listen);
            assert!(problem.contains(listen) && problem.ends_with("give --url"), "{problem}");
        }
    }

    #[test]
    fn a_replica_is_asked_at_its_port() {
        let url = target(&[("SERVER_ID", "Server 1"), ("PORT", "8080"), ("RINGHERD_ADMIN_LISTEN", "x")]);
        assert_eq!(url.as_deref(), Ok("http://127.0.0.1:8080/heartbeat"));
        assert_eq!(target(&[("SERVER_ID", "1")]).as_deref(), Ok("http://127.0.0.1:5000/heartbeat"));
        assert_eq!(
            target(&[("SERVER_ID", "1"), ("PORT", "x")]).unwrap_err(),
            "PORT=\"x\" is no port".to_owned()
        );
    }

    /// Sends `response` on one connection and closes it; also returns the request.
    async fn checked(answer: &'static str) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Url::local(listener.local_addr().unwrap()).with_path("/readyz");
        let server = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        tokio::join!(check(&target, LONG), server)
    }

    #[tokio::test]
    async fn any_2xx_is_well() {
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nready", "HTTP/1.0 204 No Content\r\n\r\n"]
        {
            let (result, asked) = checked(answer).await;
            assert_eq!(result, Ok(()));
            assert!(asked.starts_with("GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:"), "{asked}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_not_and_says_why_in_one_line() {
        for (answer, why) in [
            ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "answered 503"),
            ("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "answered 302"),
            ("nonsense\r\n\r\n", "no answer from"),
            ("", "no answer from"),
        ] {
            let problem = checked(answer).await.0.expect_err(answer);
            assert!(problem.contains(why) && problem.lines().count() == 1, "{answer:?}: {problem}");
        }
    }

    #[tokio::test]
    async fn silence_and_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Url::local(listener.local_addr().unwrap());
        let silent = check(&target, Duration::from_millis(20)).await;
        assert_eq!(silent, Err(format!("no answer from {target} within 20ms")));
        drop(listener);
        let nobody = check(&target, LONG).await.expect_err("nobody listens");
        assert!(nobody.starts_with(&format!("no answer from {target}: ")), "{nobody}");
    }
}
