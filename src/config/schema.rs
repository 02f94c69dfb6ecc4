//! JSON schema of the file, for editors that complete and check it.
//!
//! TOML is described by the JSON it corresponds to (draft 2020-12, as Taplo and others read it). A
//! schema is weaker than the check: it knows types, words and bounds of numbers, and not which
//! settings must agree.

use serde_json::{Map, Value, json};

use super::model::{DefaultValue, Kind, Section, Setting, Shown};

/// The schema of files that `model` reads.
pub(super) fn schema<T: Default>(model: &'static [Section<T>]) -> Value {
    let sections: Map<String, Value> =
        model.iter().map(|section| (section.name.to_owned(), table(section))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration file of ringherd",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

fn table<T: Default>(section: &Section<T>) -> Value {
    let settings = section.with_defaults().into_iter().filter(|(setting, _)| !setting.path.is_empty());
    let mut required = Vec::new();
    let mut keys = Map::new();
    for (setting, default) in settings {
        if setting.default == DefaultValue::Required {
            required.push(setting.key());
        }
        keys.insert(setting.key().to_owned(), key(setting, &default));
    }
    let table = json!({
        "type": "object",
        "title": section.heading,
        "properties": keys,
        "required": required,
        "additionalProperties": false,
    });
    if section.is_array() { json!({ "type": "array", "items": table }) } else { table }
}

fn key(setting: &Setting, default: &Shown) -> Value {
    let value = value(&setting.kind);
    let mut key = if setting.repeatable() {
        json!({ "anyOf": [{ "type": "array", "items": value, "minItems": 1 }, value] })
    } else {
        value
    };
    key["description"] = json!(format!("{} Values: {}.", setting.full_help(), setting.values()));
    if setting.default == DefaultValue::OfTree {
        match default {
            Shown::Nothing => {}
            Shown::Integer(number) => key["default"] = json!(number),
            Shown::Number(number) => key["default"] = json!(number),
            Shown::Text(text) => key["default"] = json!(text),
            Shown::List(texts) => key["default"] = json!(texts),
        }
    }
    key
}

/// What one value may be. Numbers may be written as texts too, as flags are.
fn value(kind: &Kind) -> Value {
    let digits = || json!({ "type": "string", "pattern": "^[0-9]+$" });
    match *kind {
        Kind::Choice(words) if kind.takes_booleans() => {
            json!({ "anyOf": [{ "enum": words }, { "type": "boolean" }] })
        }
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Integer { min, max, .. } => {
            json!({ "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, digits()] })
        }
        Kind::Port => json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65_535 }, digits()] }),
        Kind::Number { min, max } => {
            json!({ "anyOf": [{ "type": "number", "minimum": min, "maximum": max }, { "type": "string" }] })
        }
        Kind::Factor { min, max } => json!({ "anyOf": [
            { "type": "number", "minimum": min, "maximum": max },
            { "type": "string" },
        ] }),
        Kind::Duration { .. } | Kind::Size { .. } => json!({ "type": "string", "pattern": "^[0-9]" }),
        Kind::Text(text) => json!({ "type": "string", "minLength": 1, "examples": [text.example] }),
    }
}
