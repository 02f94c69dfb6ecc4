//! Laws of the table, and that all of it is wired to the configuration.

use std::collections::BTreeSet;

use super::{Given, SAMPLES, good, with};
use crate::config::raw::TOKEN_VARIABLE;
use crate::config::setting::{Kind, Shown};
use crate::config::{Config, markdown_table, table};
use crate::ring::{Family, Placement, Probing};

#[test]
fn keys_and_variables_are_unique_and_well_formed() {
    let keys: BTreeSet<_> = table::settings().map(|setting| setting.key).collect();
    let variables: BTreeSet<_> = table::settings().map(crate::config::Setting::env).collect();
    assert_eq!(keys.len(), table::settings().count());
    assert_eq!(variables.len(), keys.len());
    assert!(!variables.contains(TOKEN_VARIABLE));
    for key in keys {
        assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{key}");
    }
}

#[test]
fn help_is_made_of_sentences() {
    for setting in table::settings() {
        assert!(setting.help.ends_with('.'), "{}", setting.key);
        assert!(!setting.help.contains(['\n', '`']) && !setting.help.contains("  "), "{}", setting.key);
    }
}

#[test]
fn the_samples_cover_the_table() {
    let samples: BTreeSet<_> = SAMPLES.iter().map(|(key, _)| *key).collect();
    let settings = table::settings().map(|setting| setting.key);
    assert_eq!(samples, settings.filter(|key| *key != "config").collect());
}

#[test]
fn the_markdown_table_has_a_row_of_five_cells_for_each_setting() {
    let text = markdown_table();
    for setting in table::settings() {
        let start = format!("| `{}` |", setting.key);
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(rows.len(), 1, "{}", setting.key);
        assert_eq!(rows[0].matches('|').count(), 6, "{}", rows[0]);
    }
}

#[test]
fn nothing_given_is_the_default() {
    assert_eq!(good(Given::default()).config, Config::default());
}

#[test]
fn each_setting_changes_what_it_shows() {
    for (key, value) in SAMPLES {
        let setting = table::find(key).expect("in the table");
        let config = with(key, value).config;
        let shown = (setting.show)(&config);
        assert_ne!(shown, (setting.show)(&Config::default()), "{key}");
        if let Shown::Text(text) = shown {
            // Durations and commands are shown in their shortest form.
            let rewritten = matches!(setting.kind, Kind::Duration { .. } | Kind::Command);
            assert!(rewritten || text == *value, "{key}: {text}");
        }
    }
}

#[test]
fn a_change_needs_a_restart_unless_the_table_says_otherwise() {
    let before = Config::default();
    for (key, value) in SAMPLES {
        let setting = table::find(key).expect("in the table");
        let changes = with(key, value).config.changes_needing_restart(&before);
        assert_eq!(changes.contains(key), !setting.on_reload, "{key}: {changes:?}");
    }
    assert!(before.changes_needing_restart(&before).is_empty());
}

#[test]
fn each_word_of_a_choice_is_accepted() {
    for setting in table::settings() {
        let Kind::Choice(words) = setting.kind else { continue };
        for word in words {
            let config = with(setting.key, word).config;
            assert_eq!((setting.show)(&config), Shown::text(word), "{}", setting.key);
        }
    }
}

#[test]
fn the_choices_of_the_ring_are_those_of_the_table() {
    let words = |key: &str| match table::find(key).map(|setting| setting.kind) {
        Some(Kind::Choice(words)) => words.iter().copied(),
        _ => panic!("{key} is no choice"),
    };
    assert!(words("family").eq([Family::Classic, Family::Modified].map(|f| f.to_string())));
    assert!(words("probing").eq([Probing::Quadratic, Probing::Linear].map(|p| p.to_string())));
    assert!(words("placement").eq([Placement::Ring, Placement::Rendezvous].map(|p| p.to_string())));
}
