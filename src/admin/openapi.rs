//! `GET /openapi.json`: the `OpenAPI` document of the admin API.
//!
//! Written by hand; tests compare it with the router, and the reference in `docs` is generated from
//! it. It needs the token as other routes do, so that a client without one learns nothing.

use super::response::{self, AdminResponse};

const DOCUMENT: &str = include_str!("openapi.json");

/// The response with the document.
pub(super) fn response() -> AdminResponse {
    response::with_type("application/json", DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use http::Method;
    use serde_json::Value;

    use super::super::error::Reason;
    use super::super::route::{self, Listener};
    use super::*;

    const METHODS: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"];

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("JSON")
    }

    /// The methods of each path, with those that the document implies.
    fn documented() -> BTreeMap<String, BTreeSet<String>> {
        let document = document();
        let paths = document["paths"].as_object().expect("an object").clone();
        let methods = |path: &str, item: &Value| {
            let upper = item.as_object().expect("an object").keys().map(|key| key.to_uppercase());
            let mut methods: BTreeSet<_> = upper.filter(|key| METHODS.contains(&key.as_str())).collect();
            if methods.contains("GET") && path != "/events" && !path.ends_with("/log") {
                methods.insert("HEAD".to_owned());
            }
            methods
        };
        paths.into_iter().map(|(path, item)| (path.clone(), methods(&path, &item))).collect()
    }

    #[test]
    fn each_documented_path_is_routed_with_just_its_methods() {
        for (path, documented) in documented() {
            let path = path.replace("{name}", "S4");
            for method in METHODS {
                let found = route::find(Listener::Admin, &method.parse::<Method>().unwrap(), &path);
                assert_eq!(found.is_ok(), documented.contains(method), "{method} {path}");
                if let Err(refusal) = found {
                    assert_eq!(refusal.reason, Reason::MethodNotAllowed, "{method} {path}");
                    let response = refusal.into_response();
                    let allowed = response.headers()["allow"].to_str().unwrap().split(", ");
                    assert_eq!(allowed.map(str::to_owned).collect::<BTreeSet<_>>(), documented, "{path}");
                }
            }
        }
    }

    /// The paths of the router are the patterns in its code.
    #[test]
    fn each_path_of_the_router_is_documented() {
        let code = include_str!("route.rs");
        let (_, code) = code.split_once("fn find_route(").expect("the router");
        let (code, _) = code.split_once("\n}\n").expect("its end");
        let paths: BTreeSet<_> =
            code.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')).collect();
        assert!(paths.contains("/rep") && paths.contains("/replicas/"), "{paths:?}");
        let documented = documented();
        for path in paths {
            let known = match path {
                "/replicas/" => documented.keys().filter(|known| known.starts_with(path)).count() == 3,
                _ => documented.contains_key(path),
            };
            assert!(known, "{path} is not in openapi.json");
        }
    }

    #[test]
    fn the_public_paths_are_those_without_a_token_and_no_others() {
        for (path, item) in document()["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if !METHODS.contains(&method.to_uppercase().as_str()) {
                    continue;
                }
                let is_public = operation.get("security") == Some(&Value::Array(Vec::new()));
                assert_eq!(
                    is_public,
                    ["/", "/healthz", "/readyz"].contains(&path.as_str()),
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn it_is_of_this_version_and_its_references_lead_somewhere() {
        let document = document();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["openapi"], "3.1.1");
        let mut used = BTreeSet::new();
        references(&document, &mut used);
        for reference in &used {
            let pointer = reference.strip_prefix('#').expect("a place in the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for (kind, components) in document["components"].as_object().unwrap() {
            for name in components.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
                assert!(used.contains(&format!("#/components/{kind}/{name}")), "{kind} {name} is not used");
            }
        }
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    /// The document has the code of every error.
    #[test]
    fn each_reason_is_documented() {
        let document = document();
        let responses = document["components"]["responses"].as_object().unwrap();
        let codes: BTreeSet<_> = responses
            .values()
            .flat_map(|response| {
                response["headers"]["X-Ringherd-Error"]["schema"]["enum"].as_array().unwrap()
            })
            .map(|code| code.as_str().unwrap())
            .collect();
        let code = include_str!("error.rs");
        let (_, code) = code.split_once("fn code(self)").expect("the codes");
        let (code, _) = code.split_once("\n    }\n").expect("their end");
        let known: BTreeSet<_> = code.split('"').skip(1).step_by(2).collect();
        assert_eq!(codes, known);
    }
}
