//! What was given: texts by setting, each with its source, when flags, environment and file have
//! been laid over each other. Decides precedence and which names exist, not what values mean.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::file::{self, PoolItem};
use super::inputs::{Flags, Inputs, ReadFile};
use super::model::{ENV_PREFIX, List, Name, Problem, Refusal, Setting, Source, TableItem, Texts, split_list};
use super::settings::{self, MODEL};
use super::suggest;
use super::words::{self, WordsError};

/// Variable that holds the bearer token itself.
pub(super) const TOKEN_VARIABLE: &str = "RINGHERD_ADMIN_TOKEN";

/// Variable that holds the secret of sticky sessions itself.
pub(super) const STICKY_VARIABLE: &str = "RINGHERD_STICKY_SECRET";

/// Variable by which the tools of Docker find the engine.
pub(super) const ENGINE_VARIABLE: &str = "DOCKER_HOST";

/// Variable by which the tools of Docker know that [`ENGINE_VARIABLE`] wants TLS.
const ENGINE_TLS_VARIABLE: &str = "DOCKER_TLS_VERIFY";

/// All that was given. Not `Debug`, because it holds the token.
#[derive(Default)]
pub(super) struct Given {
    /// By the name of the flag.
    texts: BTreeMap<&'static str, Texts>,
    /// Whether it is what was given for a pool.
    of_pool: bool,
    /// Of what was given for a pool: those texts that were given for all.
    for_all: BTreeSet<&'static str>,
    /// Tables of arrays and those with names, by the name of the section.
    pub(super) tables: BTreeMap<&'static str, Vec<TableItem>>,
    /// Pools of the file, in its order.
    pub(super) pools: Vec<PoolItem>,
    /// The bearer token from the environment.
    pub(super) token: Option<String>,
    /// The secret of sticky sessions from the environment.
    pub(super) sticky_secret: Option<String>,
    /// Where other tools find the Docker engine.
    pub(super) engine: Option<String>,
    /// Whether the tools of Docker are to use TLS.
    pub(super) engine_tls: bool,
}

impl Given {
    /// What was given for a pool: what its tables say, over what was given for all.
    pub(super) fn of_pool(&self, pool: &PoolItem) -> Self {
        let mut texts = self.texts.clone();
        texts.extend(pool.texts.iter().map(|(setting, texts)| (setting.flag, texts.clone())));
        let is_own = |flag: &&str| pool.texts.iter().any(|(setting, _)| setting.flag == *flag);
        let for_all = texts.keys().copied().filter(|flag| !is_own(flag)).collect();
        Self {
            texts,
            of_pool: true,
            for_all,
            tables: self.named_tables_of(pool),
            pools: Vec::new(),
            token: self.token.clone(),
            sticky_secret: self.sticky_secret.clone(),
            engine: self.engine.clone(),
            engine_tls: self.engine_tls,
        }
    }

    /// The tables with names: those for all, in whose place come those of the pool with the same name.
    fn named_tables_of(&self, pool: &PoolItem) -> BTreeMap<&'static str, Vec<TableItem>> {
        let mut found = BTreeMap::new();
        for section in MODEL.iter().filter(|section| section.is_named()) {
            let of = |tables: &BTreeMap<_, Vec<TableItem>>| tables.get(section.name).cloned();
            let mut items = of(&self.tables).unwrap_or_default();
            for own in of(&pool.tables).unwrap_or_default() {
                match items.iter_mut().find(|item| item.name == own.name) {
                    Some(item) => *item = own,
                    None => items.push(own),
                }
            }
            found.insert(section.name, items);
        }
        found
    }

    /// Whether it was given for a pool.
    pub(super) fn is_of_pool(&self) -> bool {
        self.of_pool
    }

    /// Whether what was given for the setting was given for all, and this is a pool: then it holds where it has
    /// an effect.
    pub(super) fn is_for_all(&self, flag: &str) -> bool {
        self.for_all.contains(flag)
    }

    /// Sets what holds for a setting where nobody gave it.
    pub(super) fn set_aside(&mut self, setting: &'static Setting, texts: Texts) {
        self.texts.insert(setting.flag, texts);
    }

    /// What was given for the setting with this flag.
    pub(super) fn get(&self, flag: &str) -> Option<&Texts> {
        self.texts.get(flag)
    }

    /// Where the value of the setting with this flag comes from.
    pub(super) fn source(&self, flag: &str) -> Source {
        self.get(flag).map_or(Source::Default, |texts| texts.source.clone())
    }

    /// Makes what other tools find the engine by count for the setting with this flag, where
    /// nothing of ours says where the engine is.
    pub(super) fn use_engine_of_others(&mut self, flag: &'static str) {
        if let Some(host) = &self.engine {
            let texts = Texts { values: vec![host.clone()], source: Source::Foreign(ENGINE_VARIABLE) };
            self.texts.entry(flag).or_insert(texts);
        }
    }

    /// Lays the file under the environment and both under the flags.
    pub(super) fn collect(inputs: Inputs<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut given = Self::default();
        given.environment(inputs.env, problems);
        given.flags(inputs.flags, problems);
        given.file(inputs.read_file, problems);
        given
    }

    fn file(&mut self, read_file: ReadFile<'_>, problems: &mut Vec<Problem>) {
        let given = self.get("config").and_then(|texts| Some((texts.values.first()?.clone(), &texts.source)));
        let Some((path, source)) = given.filter(|(path, _)| !path.is_empty()) else { return };
        match read_file(path.as_ref()) {
            Ok(text) => {
                let content = file::read(&MODEL, &path, &text, problems);
                for (setting, texts) in content.texts {
                    self.texts.entry(setting.flag).or_insert(texts);
                }
                self.tables = content.tables;
                self.pools = content.pools;
            }
            Err(error) => {
                let name = settings::find("config").expect("it is in the model");
                let name = Name::of(&name.setting);
                let refusal = Refusal::new(format!("cannot be read: {error}"));
                problems.push(Problem::new(name, source.clone(), Some(path), refusal));
            }
        }
    }

    fn environment(&mut self, env: Vec<(OsString, OsString)>, problems: &mut Vec<Problem>) {
        for (name, value) in env {
            let name = name.to_string_lossy();
            let text = || value.to_string_lossy().into_owned();
            match name.as_ref() {
                ENGINE_VARIABLE => self.engine = Some(text()).filter(|host| !host.is_empty()),
                ENGINE_TLS_VARIABLE => self.engine_tls = !value.is_empty(),
                TOKEN_VARIABLE => self.token = Some(text()),
                STICKY_VARIABLE => self.sticky_secret = Some(text()),
                name if name.starts_with(ENV_PREFIX) => {
                    match settings::all().find(|setting| setting.env() == name) {
                        Some(setting) => self.insert(setting, &[value], Source::Environment, problems),
                        None => problems.push(unknown_variable(name)),
                    }
                }
                _ => {}
            }
        }
    }

    fn flags(&mut self, flags: &Flags, problems: &mut Vec<Problem>) {
        for (flag, values) in flags.iter() {
            if let Some(entry) = settings::find(flag) {
                self.insert(&entry.setting, values, Source::Flag, problems);
            }
        }
    }

    fn insert(
        &mut self,
        setting: &'static Setting,
        values: &[OsString],
        source: Source,
        problems: &mut Vec<Problem>,
    ) {
        let mut refuse = |value: String, refusal| {
            problems.push(Problem::new(Name::of(setting), source.clone(), Some(value), refusal));
        };
        let texts: Option<Vec<&str>> = values.iter().map(|value| OsStr::to_str(value)).collect();
        let Some(texts) = texts else {
            let value = values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
            return refuse(value, Refusal::new("is not UTF-8"));
        };
        let values = match setting.list {
            List::Words if source == Source::Environment => match words_of(&texts) {
                Ok(values) => values,
                Err(error) => {
                    let refusal = Refusal::new(error.to_string()).hint("quote it as for a shell");
                    return refuse(texts.concat(), refusal);
                }
            },
            List::Commas => texts.into_iter().flat_map(split_list).collect(),
            List::No | List::Words => texts.into_iter().map(str::to_owned).collect(),
        };
        self.texts.insert(setting.flag, Texts { values, source });
    }
}

/// The words of variables that hold lists whose items may contain commas; an empty one if there
/// is none, so that the setting counts as given.
fn words_of(texts: &[&str]) -> Result<Vec<String>, WordsError> {
    let mut values = Vec::new();
    for text in texts {
        values.extend(words::split(text)?);
    }
    if values.is_empty() {
        values.push(String::new());
    }
    Ok(values)
}

fn unknown_variable(name: &str) -> Problem {
    let names: Vec<String> = settings::all()
        .map(Setting::env)
        .chain([TOKEN_VARIABLE, STICKY_VARIABLE].map(str::to_owned))
        .collect();
    let near = suggest::nearest(name, names.iter().map(String::as_str));
    let hint = near.map_or_else(
        || format!("unset it: names that begin with {ENV_PREFIX} are ringherd's own"),
        |near| format!("did you mean {near}?"),
    );
    let refusal = Refusal::new("unknown variable").hint(hint);
    Problem::new(Name::unknown(name), Source::Environment, None, refusal)
}
