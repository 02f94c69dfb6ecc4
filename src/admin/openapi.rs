//! `GET /openapi.json`: the `OpenAPI` document of the admin API.
//!
//! Written by hand, but for the paths of each pool; tests compare it with the router, and the reference
//! in `docs` is generated from it. It needs the token as other routes do, so that a client without one
//! learns nothing.

use http::Method;
use serde_json::{Map, Value, json};

use super::response::{self, AdminResponse};
use super::route;

const DOCUMENT: &str = include_str!("openapi.json");

/// The response with the document of a balancer with the pools of these names.
pub(super) fn response<'a>(pools: impl Iterator<Item = &'a str>) -> AdminResponse {
    response::with_type("application/json", format!("{:#}\n", document(pools)))
}

/// The document. Each path that is about one pool is there twice: as it is, for the first pool, and behind
/// `/pools/{pool}`.
fn document<'a>(pools: impl Iterator<Item = &'a str>) -> Value {
    let mut document: Value = serde_json::from_str(DOCUMENT).expect("tests read it");
    let pool = json!({
        "name": "pool",
        "in": "path",
        "required": true,
        "description": "Name of the pool.",
        "schema": {"type": "string", "enum": pools.collect::<Vec<_>>()},
    });
    if let Some(paths) = document["paths"].as_object_mut() {
        let of_pools: Map<_, _> =
            paths.iter().filter_map(|(path, item)| of_each_pool(path, item, &pool)).collect();
        paths.extend(of_pools);
    }
    document
}

/// A path behind that of a pool, if it is about one.
fn of_each_pool(path: &str, item: &Value, pool: &Value) -> Option<(String, Value)> {
    let is_operation = |key: &str| key.parse::<Method>().is_ok_and(|_| item[key]["operationId"].is_string());
    let methods: Vec<_> = item.as_object()?.keys().filter(|key| is_operation(key)).cloned().collect();
    let method = methods.first()?.to_uppercase().parse().ok()?;
    let path = format!("/pools/{{pool}}{path}");
    route::is_of_one_pool(&method, &path).then(|| {
        let mut item = item.clone();
        for method in methods {
            let operation = &mut item[method];
            operation["operationId"] =
                format!("{}OfPool", operation["operationId"].as_str().unwrap_or("")).into();
            if let Some(responses) = operation["responses"].as_object_mut() {
                let missing = || json!({"$ref": "#/components/responses/NoSuchPool"});
                responses.entry("404").or_insert_with(missing);
            }
        }
        let parameters = item["parameters"].as_array().into_iter().flatten();
        item["parameters"] = std::iter::once(pool).chain(parameters).cloned().collect();
        (path, item)
    })
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
        super::document(["web", "api"].into_iter())
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
            let path = path.replace("{name}", "S4").replace("{pool}", "web");
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
    fn paths_about_one_pool_are_there_for_each() {
        let document = document();
        let path = &document["paths"]["/pools/{pool}/replicas/{name}/kill"];
        let names: Vec<_> =
            path["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["pool", "name"]);
        assert_eq!(path["parameters"][0]["schema"]["enum"], json!(["web", "api"]));
        assert_eq!(path["post"]["operationId"], "killReplicaOfPool");
        let rep = &document["paths"]["/pools/{pool}/rep"]["get"];
        assert_eq!(rep["responses"]["404"]["$ref"], "#/components/responses/NoSuchPool");
        assert!(document["paths"]["/pools/{pool}/metrics"].is_null());
        let ids: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| {
                METHODS.iter().filter_map(|method| item[method.to_lowercase()]["operationId"].as_str())
            })
            .collect();
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{ids:?}");
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
