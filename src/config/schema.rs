//! JSON schema of the file, for editors that complete and check it.
//!
//! TOML is described by the JSON it corresponds to (draft 2020-12, as Taplo and others read it). A
//! schema is weaker than the check: it knows types, words and bounds of numbers, and not which
//! settings must agree.

use serde_json::{Map, Value, json};

use super::model::{Content, DefaultValue, Kind, Section, Setting, Shown};

/// The schema of files that `model` reads.
pub(super) fn schema<T: Default>(model: &'static [Section<T>]) -> Value {
    let mut sections: Map<String, Value> =
        model.iter().map(|section| (section.name.to_owned(), table(section, |_| true))).collect();
    sections.insert("pool".to_owned(), pools(model));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration file of ringherd",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

/// Tables of pools, by their names.
fn pools<T: Default>(model: &'static [Section<T>]) -> Value {
    let of_pool = |section: &Section<T>| {
        let settings = section.settings_of_pool();
        let is_of_pool = |setting: &Setting| settings.iter().any(|other| other.path == setting.path);
        (!settings.is_empty()).then(|| (section.name.to_owned(), table(section, is_of_pool)))
    };
    let sections: Map<String, Value> = model.iter().filter_map(of_pool).collect();
    json!({
        "type": "object",
        "title": "Pools",
        "description": "Replicas with a ring of their own. What a pool does not say holds as it is for all.",
        "propertyNames": { "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 32 },
        "additionalProperties": { "type": "object", "properties": sections, "additionalProperties": false },
    })
}

/// The settings of a section that are wanted.
fn table<T: Default>(section: &Section<T>, wanted: impl Fn(&Setting) -> bool) -> Value {
    let settings = section
        .with_defaults()
        .into_iter()
        .filter(|(setting, _)| !setting.path.is_empty() && wanted(setting));
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
    match section.content {
        Content::Settings(_) => table,
        Content::Tables(_) => json!({ "type": "array", "items": table }),
        Content::Named(_) => json!({
            "type": "object",
            "title": section.heading,
            "additionalProperties": table,
        }),
    }
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
        Kind::Choice(words) if kind.takes_numbers() => {
            let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
            json!({ "anyOf": [{ "enum": numbers }, { "enum": words }] })
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
