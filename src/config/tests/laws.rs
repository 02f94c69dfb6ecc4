//! Laws of the model: what follows from a declaration does so for each setting.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Given, TOKEN, file, flags, good, samples, with};
use crate::config::given::TOKEN_VARIABLE;
use crate::config::model::{DefaultValue, Kind, Setting, Shown};
use crate::config::{Config, entries, example_file, markdown_table, schema, sections, settings};
use crate::ring::{Family, Placement, Probing};

fn all() -> impl Iterator<Item = &'static Setting> {
    entries().map(|entry| &entry.setting)
}

#[test]
fn names_are_unique_and_well_formed() {
    let flags: BTreeSet<_> = all().map(|setting| setting.flag).collect();
    let variables: BTreeSet<_> = all().map(Setting::env).collect();
    assert_eq!((flags.len(), variables.len()), (all().count(), all().count()));
    assert!(!variables.contains(TOKEN_VARIABLE));
    let paths: Vec<_> = all().map(|setting| setting.path).filter(|path| !path.is_empty()).collect();
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
    let plain = |text: &str| text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    assert!(flags.into_iter().all(plain));
    assert!(paths.iter().all(|path| path.split('.').count() == 2 && path.split('.').all(plain)), "{paths:?}");
    for section in sections() {
        for setting in section.settings_of_file() {
            assert_eq!(setting.section(), section.name, "{}", setting.path);
        }
    }
}

#[test]
fn help_is_made_of_sentences() {
    for setting in all() {
        assert!(setting.help.ends_with('.'), "{}", setting.path);
        assert!(!setting.help.contains(['\n', '`']) && !setting.help.contains("  "), "{}", setting.path);
    }
}

#[test]
fn each_setting_is_in_the_documentation_the_example_and_the_schema() {
    let (table, example, schema) = (markdown_table(), example_file(), schema());
    for setting in all() {
        let cell = format!("| `--{}` |", setting.flag);
        let rows: Vec<_> = table.lines().filter(|line| line.contains(&cell)).collect();
        assert_eq!(rows.len(), 1, "{}", setting.flag);
        assert_eq!(rows[0].matches('|').count(), 7, "{}", rows[0]);
        if setting.path.is_empty() {
            continue;
        }
        let (section, key) = (setting.section(), setting.key());
        let part = example.split(&format!("\n[{section}]\n")).nth(1).expect("a section");
        let part = part.split("\n[").next().expect("a first part");
        let assignment = format!("{key} = ");
        assert!(part.contains(&assignment), "{}", setting.path);
        assert!(part.contains(&format!("Flag: --{};", setting.flag)), "{}", setting.path);
        let declared = &schema["properties"][section]["properties"][key];
        assert!(declared["description"].as_str().is_some_and(|text| text.starts_with(setting.help)));
    }
}

/// The example without the `#` of each line that holds a default.
fn uncommented(example: &str) -> String {
    let uncomment = |line: &'_ str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    example.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_makes_the_defaults() {
    let example = example_file();
    assert!(example.lines().all(|line| line.chars().count() <= 100), "{example}");
    assert_eq!(good(file(&example)).config, Config::default());
    let all = uncommented(&example);
    assert_eq!(good(file(&all)).config, Config::default());
    // It gives every setting whose default is a value that has an effect.
    let given = toml::from_str::<toml::Table>(&all).expect("TOML");
    for entry in entries().filter(|entry| entry.setting.default == DefaultValue::OfTree) {
        let expected =
            entry.has_effect(&Config::default()) && entry.shown(&Config::default()) != Shown::Nothing;
        let found = given[entry.setting.section()].get(entry.setting.key()).is_some();
        assert_eq!(found, expected, "{}", entry.setting.path);
    }
}

/// Whether `value` is what `schema` describes, as far as our schemas go.
fn conforms(value: &Value, schema: &Value) -> bool {
    let number = |name: &str| schema[name].as_f64();
    let of_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("{other} is not a type that our schemas have"),
    };
    let any = schema["anyOf"].as_array().is_none_or(|any| any.iter().any(|one| conforms(value, one)));
    let word = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    let within = value.as_f64().is_none_or(|value| {
        number("minimum").is_none_or(|min| value >= min) && number("maximum").is_none_or(|max| value <= max)
    });
    let items =
        value.as_array().is_none_or(|items| items.iter().all(|item| conforms(item, &schema["items"])));
    let members = value.as_object().is_none_or(|members| {
        let known = |(key, value): (&String, &Value)| {
            schema["properties"].get(key).is_some_and(|schema| conforms(value, schema))
        };
        members.iter().all(known)
    });
    of_type && any && word && within && items && members
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("JSON")
}

#[test]
fn the_schema_describes_files() {
    let schema = schema();
    assert!(conforms(&as_json(&uncommented(&example_file())), &schema));
    for (flag, value) in samples() {
        let printed = with(flag, &value).to_string();
        assert!(conforms(&as_json(&printed), &schema), "{flag}: {printed}");
    }
    for bad in [
        "workers = 1",
        "[serve]",
        "[server]\nworkres = 1",
        "[server]\nworkers = 0",
        "[server]\nworkers = [1]",
        "[health]\ninterval = 1",
        "[log]\nformat = 'xml'",
        "[admin]\nhosts = [1]",
    ] {
        assert!(!conforms(&as_json(bad), &schema), "{bad}");
        assert!(!file(bad).problems().is_empty(), "{bad}");
    }
}

#[test]
fn nothing_given_is_the_default() {
    assert_eq!(good(Given::default()).config, Config::default());
}

#[test]
fn each_setting_changes_what_it_shows() {
    for (flag, value) in samples() {
        let entry = settings::find(flag).expect("in the model");
        let shown = entry.shown(&with(flag, &value).config);
        assert_ne!(shown, entry.shown(&Config::default()), "{flag}");
        // A command is shown in its shortest form.
        let rewritten = flag == "replica-command";
        assert!(rewritten || shown.to_string() == value, "{flag}: {shown}");
    }
}

#[test]
fn a_change_needs_a_restart_unless_the_declaration_says_otherwise() {
    let before = Config::default();
    for (flag, value) in samples() {
        let entry = settings::find(flag).expect("in the model");
        let changes = with(flag, &value).config.changes_needing_restart(&before);
        let of_replicas = with(flag, &value).config.changes_of_replicas(&before);
        assert_eq!(changes.contains(&flag.to_owned()), entry.setting.reload() == "no", "{flag}: {changes:?}");
        assert_eq!(
            of_replicas.contains(&flag.to_owned()),
            entry.setting.reload() == "replicas",
            "{flag}: {of_replicas:?}"
        );
    }
    assert!(before.changes_needing_restart(&before).is_empty());
}

#[test]
fn each_word_of_a_choice_is_accepted() {
    for entry in entries() {
        let Kind::Choice(words) = entry.setting.kind else { continue };
        for word in words {
            let config = with(entry.setting.flag, word).config;
            assert_eq!(entry.shown(&config), Shown::text(word), "{}", entry.setting.path);
        }
    }
}

#[test]
fn words_are_those_of_the_types() {
    let words = |flag: &str| match settings::find(flag).map(|entry| entry.setting.kind) {
        Some(Kind::Choice(words)) => words.iter().copied(),
        _ => panic!("{flag} is no choice"),
    };
    assert!(words("family").eq([Family::Classic, Family::Modified].map(|f| f.to_string())));
    assert!(words("probing").eq([Probing::Quadratic, Probing::Linear].map(|p| p.to_string())));
    assert!(words("placement").eq(Placement::ALL.iter().map(ToString::to_string)));
    for runtime in words("runtime") {
        assert_eq!(good(flags(&[("runtime", runtime)])).config.runtime.name(), runtime);
    }
}

#[test]
fn a_token_is_in_the_configuration_and_in_nothing_that_is_shown() {
    let loaded = with("admin-token-file", "token");
    assert_eq!(loaded.config.admin.token.as_deref(), Some(TOKEN));
    for text in [loaded.to_string(), format!("{:?}", loaded.config)] {
        assert!(!text.contains(TOKEN), "{text}");
    }
}
