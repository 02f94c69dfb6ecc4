//! The reference page of the admin API is made from its `OpenAPI` document.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::root;

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

#[test]
fn the_reference_page_says_what_the_document_says() {
    let document = std::fs::read_to_string(root().join("src/admin/openapi.json")).expect("the document");
    let document = Page { document: serde_json::from_str(&document).expect("JSON") };
    let expected = document.text();
    let path = root().join("docs/admin-api.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).expect("docs/admin-api.md can be written");
        return;
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == expected, "docs/admin-api.md is out of date: UPDATE_DOCS=1 cargo test --test docs");
}

struct Page {
    document: Value,
}

/// An object's members, in alphabetical order.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

impl Page {
    fn text(&self) -> String {
        let info = &self.document["info"];
        let mut page = format!("# Admin API\n\n{}\n\n", text(&info["description"]));
        page.push_str(
            "This page is made from the OpenAPI document that a balancer serves at `GET /openapi.json`, by \
             `UPDATE_DOCS=1 cargo test --test docs`.\n\n| Request | |\n|---|---|\n",
        );
        for (path, method, operation) in self.operations() {
            let title = title(method, path);
            let anchor = anchor(&title);
            let _ = writeln!(page, "| [`{title}`](#{anchor}) | {} |", cell(text(&operation["summary"])));
        }
        for (path, method, operation) in self.operations() {
            self.operation(&mut page, path, method, operation);
        }
        page.push_str("\n## Objects\n");
        for (name, schema) in members(&self.document["components"]["schemas"]) {
            let _ = write!(page, "\n### {name}\n\n{}\n", text(&schema["description"]));
            fields(&mut page, schema);
        }
        page
    }

    fn operations(&self) -> impl Iterator<Item = (&String, &str, &Value)> {
        members(&self.document["paths"]).flat_map(|(path, item)| {
            METHODS.iter().filter_map(move |method| Some((path, *method, item.get(*method)?)))
        })
    }

    fn operation(&self, page: &mut String, path: &str, method: &str, operation: &Value) {
        let _ = write!(page, "\n## {}\n\n{}.\n", title(method, path), text(&operation["summary"]));
        if let Some(description) = operation["description"].as_str() {
            let _ = write!(page, "\n{description}\n");
        }
        if operation["security"].as_array().is_some_and(Vec::is_empty) {
            page.push_str("\nNo token is needed.\n");
        }
        let shared = self.document["paths"][path]["parameters"].as_array();
        let parameters = shared.into_iter().chain(operation["parameters"].as_array()).flatten();
        for (index, parameter) in parameters.enumerate() {
            let gap = if index == 0 { "\n" } else { "" };
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let _ = writeln!(page, "{gap}- `{name}` ({place}): {}", text(&parameter["description"]));
        }
        for (kind, body) in members(&operation["requestBody"]["content"]) {
            let _ =
                write!(page, "\nBody (`{kind}`): {}. For example:\n\n```json\n", in_words(&body["schema"]));
            for (_, example) in members(&body["examples"]) {
                let _ = writeln!(page, "{}", example["value"]);
            }
            page.push_str("```\n");
        }
        self.answers(page, &operation["responses"]);
    }

    fn answers(&self, page: &mut String, answers: &Value) {
        page.push_str(
            "\n| Status | `X-Ringherd-Error` | Meaning | Headers | Body |\n|---|---|---|---|---|\n",
        );
        for (status, answer) in members(answers) {
            let answer = self.resolved(answer);
            let codes = answer["headers"]["X-Ringherd-Error"]["schema"]["enum"].as_array();
            let codes: Vec<_> = codes.into_iter().flatten().map(|code| format!("`{}`", text(code))).collect();
            let headers = members(&answer["headers"]).filter(|(name, _)| *name != "X-Ringherd-Error");
            let headers: Vec<_> = headers.map(|(name, _)| format!("`{name}`")).collect();
            let bodies = members(&answer["content"]);
            let bodies: Vec<_> = bodies.map(|(kind, body)| body_of(kind, body)).collect();
            let _ = writeln!(
                page,
                "| {status} | {} | {} | {} | {} |",
                codes.join(", "),
                cell(text(&answer["description"])),
                headers.join(", "),
                bodies.join(", ")
            );
        }
        let content = &answers["200"]["content"];
        for (kind, body) in members(content).filter(|(_, body)| body.get("example").is_some()) {
            let example = &body["example"];
            let (language, example) = match example.as_str() {
                Some(example) => ("", example.trim_end().to_owned()),
                None => ("json", example.to_string()),
            };
            let _ = write!(page, "\nAn answer (`{kind}`):\n\n```{language}\n{example}\n```\n");
        }
        for (_, body) in members(content) {
            let events: Vec<_> = members(&body["x-events"])
                .map(|(kind, schema)| format!("`{kind}` ({})", in_words(schema)))
                .collect();
            if !events.is_empty() {
                let _ = write!(page, "\nKinds of events and their data: {}.\n", events.join(", "));
            }
        }
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let pointer = value.get("$ref").and_then(Value::as_str).and_then(|link| link.strip_prefix('#'));
        pointer.map_or(value, |pointer| self.document.pointer(pointer).expect("a place in the document"))
    }
}

fn body_of(media: &str, body: &Value) -> String {
    match media {
        "application/json" => in_words(&body["schema"]),
        _ => format!("`{media}`"),
    }
}

/// The members of an object, those of its own members after a dot.
fn fields(page: &mut String, schema: &Value) {
    if schema["properties"].as_object().is_none_or(Map::is_empty) {
        if schema["type"] != "object" {
            let _ = write!(page, "\n{}.\n", in_words(schema));
        }
        return;
    }
    page.push_str("\n| Member | Type | Needed | Meaning |\n|---|---|---|---|\n");
    rows(page, "", schema);
}

fn rows(page: &mut String, prefix: &str, schema: &Value) {
    for (name, member) in members(&schema["properties"]) {
        let needed = schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let needed = if needed { "yes" } else { "no" };
        let meaning = cell(text(&member["description"]));
        let _ = writeln!(page, "| `{prefix}{name}` | {} | {needed} | {meaning} |", cell(&in_words(member)));
        rows(page, &format!("{prefix}{name}."), member);
    }
}

/// A type in words, with its bounds.
fn in_words(schema: &Value) -> String {
    if let Some(link) = schema["$ref"].as_str() {
        let name = link.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", anchor(name));
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        return values.join(" or ");
    }
    let kinds: Vec<_> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect(),
        kind => vec![text(kind)],
    };
    let mut words = kinds.join(" or ");
    if kinds == ["array"] {
        let items = in_words(&schema["items"]);
        words = format!("array of {items}");
    }
    words + &bounds(schema)
}

fn bounds(schema: &Value) -> String {
    let bound = |name: &str, word: &str| schema.get(name).map(|value| format!("{word} {value}"));
    let found = match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        _ => bound("minimum", "at least"),
    };
    let items = match (schema.get("minItems"), schema.get("maxItems")) {
        (Some(least), Some(most)) if least == most => Some(format!("{most} of them")),
        _ => bound("maxItems", "at most"),
    };
    let unique = (schema["uniqueItems"] == true).then(|| "none twice".to_owned());
    let pattern = schema["pattern"].as_str().map(|pattern| format!("matching `{pattern}`"));
    let length = bound("maxLength", "at most").map(|text| text + " characters");
    let parts = [Some(String::new()), found, items, unique, length, pattern];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn title(method: &str, path: &str) -> String {
    format!("{} {path}", method.to_uppercase())
}

/// As GitHub makes them.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
