//! `ringherd route`: which route and pool a request gets, and why, without running anything.

use std::fmt::Write;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::{Exit, Failure, args, print};
use crate::config::{self, Flags, Inputs, Loaded};
use crate::ring;
use crate::routes::{Action, HostPattern, Route, Routes};

const LONG_ABOUT: &str = "\
Prints which route of the configuration file a request for a URL gets, which pool or redirect that is, \
and which other routes match, the best first. Exits with 1 if none matches, or if the path is refused \
because a replica may read it as another one. Nothing is started or asked.

The path is taken as it is written here. Browsers and curl change some paths before they send them: a/../b \
becomes b (curl --path-as-is does not).";

const EXAMPLES: &str = "\
Examples:
  ringherd route https://shop.example.org/api/users --config ringherd.toml
      Which route is it, and which others lost?
  ringherd route shop.example.org/api --key user-7 --config ringherd.toml
      Where weights share the route: on which side is the user?";

/// The subcommand `route` with its arguments.
pub fn command() -> Command {
    Command::new("route")
        .about("Print which route and pool a URL gets, and why")
        .long_about(LONG_ABOUT)
        .after_long_help(EXAMPLES)
        .arg(
            Arg::new("url")
                .value_name("URL")
                .required(true)
                .value_parser(|text: &str| Asked::parse(text))
                .help("What is asked for: a URL of http or https, HOST/PATH, or a path for any host"),
        )
        .arg(args::config_file())
        .arg(
            Arg::new("key")
                .long("key")
                .value_name("KEY")
                .value_parser(value_parser!(String))
                .help("The key of the request, as text: its pool, where weights share the route"),
        )
}

/// Prints the route.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut flags = Flags::new();
    let files = matches.get_raw("config").into_iter().flatten();
    files.for_each(|file| flags.push("config", file));
    let loaded = config::explain(Inputs::of_process(&flags));
    let loaded = loaded.map_err(|problems| Failure::new(Exit::Config, problems))?;
    let asked = matches.get_one::<Asked>("url").expect("a required argument");
    print(&tell(&loaded, asked, matches.get_one::<String>("key").map(String::as_str))?)
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    /// With its port if it has one; empty if none is named.
    host: String,
    /// Path and query.
    target: String,
}

impl Asked {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const BAD: &str = "use a URL of http or https, HOST/PATH or /PATH";
        let (scheme, rest) =
            text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let rest = rest.split('#').next().unwrap_or(rest);
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let known = scheme.is_none_or(|scheme| ["http", "https"].contains(&scheme) && !host.is_empty());
        let visible = !rest.contains(|c: char| c.is_whitespace() || c.is_control());
        if !known || !visible || rest.is_empty() || host.contains('@') {
            return Err(BAD);
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { host: host.to_owned(), target: format!("{slash}{target}") })
    }
}

/// The report.
fn tell(loaded: &Loaded, asked: &Asked, key: Option<&str>) -> Result<String, Failure> {
    let Asked { host, target } = asked;
    let one_pool = Routes::to_one_pool();
    let routes = loaded.config.routes.as_ref().unwrap_or(&one_pool);
    let refused = |why: String| Err(Failure::new(Exit::Negative, why));
    if let Some(what) = routes.ambiguity(host, target) {
        return refused(format!("{host}{target} is refused with 400: its path has {what}"));
    }
    let matching = routes.matching(host, target);
    let Some((route, lost)) = matching.split_first() else {
        return refused(format!("no route matches {host}{target}: it is answered with 404"));
    };
    let mut text = format!("route   {}\n", named(loaded, route));
    line(&mut text, "why", &why(route, lost));
    line(&mut text, "does", &does(loaded, route));
    match route.action() {
        Action::Forward(forward) => {
            if let Some(key) = key {
                let pool = loaded.config.pools()[forward.split.side(ring::request_id(key.as_bytes()))].0;
                line(&mut text, "key", &format!("{key} belongs to pool {pool}"));
            } else if forward.split.pools().len() > 1 {
                line(&mut text, "key", "decides; --key KEY says to which of them one belongs");
            }
            if let Some(name) = &forward.name {
                line(&mut text, "name", &format!("{name}, by which [[headers]] call it"));
            }
            if forward.strips() {
                line(&mut text, "path", &format!("replicas see {}", forward.target(target)));
            }
            let timeouts = [("response", forward.timeouts.response), ("stream", forward.timeouts.stream)];
            for (name, timeout) in timeouts.into_iter().filter_map(|(name, it)| Some((name, it?))) {
                let words = format!("{name}-timeout is {}", humantime::format_duration(timeout));
                line(&mut text, "time", &words);
            }
        }
        Action::Redirect(redirect) => line(&mut text, "to", &redirect.location(target)),
    }
    for other in lost {
        let reason =
            if other.host() == route.host() { "its path is shorter" } else { "its host is less specific" };
        line(&mut text, "lost", &format!("{}: {reason}; {}", named(loaded, other), does(loaded, other)));
    }
    Ok(text)
}

fn line(text: &mut String, label: &str, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{label:<7} {words}");
}

/// The route, and the lines of the file that made it.
fn named(loaded: &Loaded, route: &Route) -> String {
    let places = route.given().iter().filter_map(|at| loaded.place_of_table("route", *at));
    let places: Vec<_> = places.collect();
    let places = if places.is_empty() { "there is no [[route]]".to_owned() } else { places.join(", ") };
    format!("{route} ({places})")
}

fn why(route: &Route, lost: &[&Route]) -> String {
    let host = match route.host() {
        HostPattern::Any => "nothing more specific matches the host",
        HostPattern::Suffix(_) => "no name and no longer wildcard matches the host",
        HostPattern::Name(_) => "its name matches the host",
        HostPattern::Address(_) => "its address matches the host",
    };
    let shorter = lost.iter().filter(|other| other.host() == route.host()).count();
    let path =
        if shorter > 0 { "this is its longest path that matches" } else { "no other of its paths does" };
    format!("{host}, and {path}")
}

fn does(loaded: &Loaded, route: &Route) -> String {
    let forward = match route.action() {
        Action::Forward(forward) => forward,
        Action::Redirect(redirect) => {
            return format!("redirects with {} to {}", redirect.status().code(), redirect.to());
        }
    };
    let pools = loaded.config.pools();
    let total: u32 = forward.split.pools().map(|(_, weight)| u32::from(weight)).sum();
    let sides: Vec<_> = forward
        .split
        .pools()
        .map(|(pool, weight)| match forward.split.pools().len() {
            1 => format!("pool {}", pools[pool].0),
            _ => format!("pool {} ({weight} of {total})", pools[pool].0),
        })
        .collect();
    format!("forwards to {}", sides.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &str, url: &str, key: Option<&str>) -> Result<String, Failure> {
        let mut flags = Flags::new();
        flags.push("config", "r.toml");
        let inputs = Inputs { flags: &flags, env: Vec::new(), read_file: &|_| Ok(file.to_owned()) };
        let loaded = config::explain(inputs).unwrap_or_else(|problems| panic!("{problems}"));
        tell(&loaded, &Asked::parse(url).unwrap(), key)
    }

    const FILE: &str = "\
[[route]]
[[route]]
host = 'a.example'
path = '/api'
strip-prefix = true
[[route]]
host = 'a.example'
path = '/api/old'
redirect = '/api/new'
[[route]]
host = '*.example'
";

    #[test]
    fn the_route_is_told_with_those_that_lost() {
        let expected = "\
route   a.example/api (r.toml:2)
why     its name matches the host, and no other of its paths does
does    forwards to pool default
path    replicas see /x?y
lost    *.example/ (r.toml:10): its host is less specific; forwards to pool default
lost    */ (r.toml:1): its host is less specific; forwards to pool default
";
        assert_eq!(told(FILE, "http://A.example:8080/api/x?y#z", None).unwrap(), expected);
        let redirect = told(FILE, "a.example/api/old/x", None).unwrap();
        assert!(
            redirect.contains("does    redirects with 308 to /api/new\nto      /api/new/x\n"),
            "{redirect}"
        );
        let shorter = "lost    a.example/api (r.toml:2): its path is shorter; forwards to pool default\n";
        assert!(redirect.contains(shorter), "{redirect}");
        assert!(told(FILE, "/x", None).unwrap().starts_with("route   */ (r.toml:1)\n"));
    }

    #[test]
    fn without_routes_all_go_to_one_pool() {
        let text = told("", "http://a.example", Some("user-7")).unwrap();
        assert!(text.starts_with("route   */ (there is no [[route]])\n"), "{text}");
        assert!(text.ends_with("key     user-7 belongs to pool default\n"), "{text}");
    }

    #[test]
    fn what_is_answered_by_the_balancer_itself_is_a_negative_result() {
        let file = "[[route]]\npath = '/api'\n";
        for (url, answer) in [
            ("http://a/x", "no route matches a/x: it is answered with 404"),
            ("http://a/%61pi", "a/%61pi is refused with 400: its path has a hidden path of another route"),
            ("http://a/api/../x", "a/api/../x is refused with 400: its path has a dot segment"),
        ] {
            assert_eq!(told(file, url, None), Err(Failure::new(Exit::Negative, answer)));
        }
    }

    #[test]
    fn what_is_asked_for_is_a_url_or_a_part_of_one() {
        for (text, host, target) in [
            ("http://a", "a", "/"),
            ("https://a:1?b", "a:1", "/?b"),
            ("http://[::1]:1/a\\b/../%2f", "[::1]:1", "/a\\b/../%2f"),
            ("a.example/b?c#d", "a.example", "/b?c"),
            ("/b//c", "", "/b//c"),
        ] {
            let expected = Asked { host: host.to_owned(), target: target.to_owned() };
            assert_eq!(Asked::parse(text), Ok(expected), "{text}");
        }
        for text in ["", "ftp://a", "http://", "http:///a", "http://a@b/", "a b", "#a"] {
            assert!(Asked::parse(text).is_err(), "{text}");
        }
    }
}
