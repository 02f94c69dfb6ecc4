//! The configuration file: from TOML to the texts that flags would have given, with their lines.
//!
//! Knows of a model which sections and keys there are and whether they take lists, not what
//! values mean. The parser of the `toml` crate gives the position of each key and goes on after an
//! error; only the count of lines is ours.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::model::{List, Name, Problem, Refusal, Section, Setting, Source, TableItem, Texts, split_list};
use super::tree::DEFAULT_POOL;
use super::{suggest, types};

/// What a file gives.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Settings of sections.
    pub(super) texts: Vec<(&'static Setting, Texts)>,
    /// Tables of arrays and those with names, by the name of the section.
    pub(super) tables: BTreeMap<&'static str, Vec<TableItem>>,
    /// Pools, in the order of the file, but that called default first.
    pub(super) pools: Vec<PoolItem>,
}

/// What the tables of one pool give.
#[derive(Clone, Debug)]
pub(super) struct PoolItem {
    pub(super) name: String,
    /// Where the first of them begins.
    pub(super) source: Source,
    pub(super) texts: Vec<(&'static Setting, Texts)>,
    /// Tables with names, by the name of the section.
    pub(super) tables: BTreeMap<&'static str, Vec<TableItem>>,
}

/// The table that holds the pools.
const POOLS: &str = "pool";

/// Reads `text`, the content of the file named `path`. What cannot be read is added to `problems`,
/// and the rest is read all the same.
pub(super) fn read<T>(
    model: &'static [Section<T>],
    path: &str,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Content {
    let mut reader =
        Reader { model, path, text, above: String::new(), content: Content::default(), problems: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        reader.document(document.get_ref());
    } else {
        // What was recovered may lack what the user wrote: complaints about it would mislead.
        for error in &errors {
            reader.syntax(error);
        }
    }
    // The parser sorts by key; a reader of the file expects the order of the file.
    reader.problems.sort_by_key(|problem| match problem.source {
        Source::File { line, .. } => line,
        _ => 0,
    });
    problems.append(&mut reader.problems);
    reader.content
}

/// A key of TOML and where it is.
type Key<'i> = Spanned<DeString<'i>>;

struct Reader<'a, T: 'static> {
    model: &'static [Section<T>],
    path: &'a str,
    text: &'a str,
    /// What stands in front of the names of sections: `pool.NAME.` within a pool.
    above: String,
    content: Content,
    problems: Vec<Problem>,
}

impl<T> Reader<'_, T> {
    /// The top of the file: sections, and nothing else.
    fn document(&mut self, document: &DeTable<'_>) {
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            if name == POOLS {
                self.pools(key, value.get_ref());
                continue;
            }
            let section = self.model.iter().find(|section| section.name == name);
            match (section, value.get_ref()) {
                (Some(section), DeValue::Table(tables)) if section.is_named() => {
                    let items = self.named(section, tables);
                    self.content.tables.insert(section.name, items);
                }
                (Some(section), DeValue::Table(table)) if !section.is_array() => {
                    let texts = self.table(section, name, table, &section.settings_of_file());
                    self.content.texts.extend(texts);
                }
                (Some(section), DeValue::Array(tables)) if section.is_array() => {
                    let items = self.array(section, key, tables);
                    self.content.tables.insert(section.name, items);
                }
                (Some(section), value) => {
                    let scalar = !matches!(value, DeValue::Table(_) | DeValue::Array(_));
                    let flag = self.by_flag(name).filter(|_| scalar).map(|setting| self.place(setting));
                    let hint = flag.unwrap_or_else(|| format!("write {} above its keys", section.header("")));
                    self.refuse(key, name, Refusal::must_be(section.form()).hint(hint));
                }
                (None, value) => {
                    let refusal = self.unknown_section(name, matches!(value, DeValue::Table(_)));
                    self.refuse(key, name, refusal);
                }
            }
        }
    }

    /// The pools: `[pool.NAME.SECTION]`.
    fn pools(&mut self, key: &Key<'_>, value: &DeValue<'_>) {
        let hint = "write [pool.NAME.replicas], [pool.NAME.health] and so on above its keys";
        let DeValue::Table(pools) = value else {
            return self.refuse(key, POOLS, Refusal::must_be("a table of pools").hint(hint));
        };
        let mut found = Vec::new();
        for (key, value) in pools {
            let name = key.get_ref().as_ref();
            let path = format!("{POOLS}.{name}");
            let source = self.source(key.span().start);
            let checked = if name.is_empty() { Err(Refusal::new("has no name")) } else { types::pool(name) };
            match (checked, value.get_ref()) {
                (Err(refusal), _) => self.refuse(key, &path, refusal),
                (Ok(_), DeValue::Table(sections)) => {
                    self.above = format!("{path}.");
                    let pool = PoolItem {
                        name: name.to_owned(),
                        source,
                        texts: Vec::new(),
                        tables: BTreeMap::new(),
                    };
                    found.push((key.span().start, self.pool(pool, sections)));
                    self.above.clear();
                }
                (Ok(_), _) => self.refuse(key, &path, Refusal::must_be("a table of sections").hint(hint)),
            }
        }
        // The first is the one that paths and routes without a pool are about.
        found.sort_by_key(|(start, pool): &(_, PoolItem)| (pool.name != DEFAULT_POOL, *start));
        self.content.pools = found.into_iter().map(|(_, pool)| pool).collect();
    }

    /// The pool with what its sections give.
    fn pool(&mut self, mut pool: PoolItem, sections: &DeTable<'_>) -> PoolItem {
        for (key, value) in sections {
            let name = key.get_ref().as_ref();
            let path = format!("{}{name}", self.above);
            let section = self.model.iter().find(|section| section.name == name);
            match (section.map(|section| (section, section.settings_of_pool())), value.get_ref()) {
                (Some((section, settings)), DeValue::Table(named))
                    if section.is_named() && !settings.is_empty() =>
                {
                    pool.tables.insert(section.name, self.named(section, named));
                }
                (Some((section, settings)), DeValue::Table(table)) if !settings.is_empty() => {
                    pool.texts.extend(self.table(section, &path, table, &settings));
                }
                (Some((_, settings)), DeValue::Table(_)) if settings.is_empty() => {
                    let refusal = Refusal::new("is for all pools").hint(format!("write [{name}]"));
                    self.refuse(key, &path, refusal);
                }
                (Some((section, _)), _) => {
                    let hint = format!("write {} above its keys", section.header(&self.above));
                    self.refuse(key, &path, Refusal::must_be(section.form()).hint(hint));
                }
                (None, value) => {
                    let is_table = matches!(value, DeValue::Table(_));
                    let what = if is_table { "unknown section" } else { "unknown key" };
                    let place = self.by_flag(name).or_else(|| self.by_key(name)).filter(|_| !is_table);
                    let near = || suggest::nearest(name, self.model.iter().map(|section| section.name));
                    let hint = match place {
                        Some(setting) => Some(self.place(setting)),
                        None => near().map(|near| format!("did you mean [{}{near}]?", self.above)),
                    };
                    let refusal = hint.into_iter().fold(Refusal::new(what), Refusal::hint);
                    self.refuse(key, &path, refusal);
                }
            }
        }
        pool
    }

    /// Tables with names, in the order of the file.
    fn named(&mut self, section: &Section<T>, tables: &DeTable<'_>) -> Vec<TableItem> {
        let mut found = Vec::new();
        for (key, value) in tables {
            let (name, start) = (key.get_ref().as_ref(), key.span().start);
            let path = format!("{}{}.{name}", self.above, section.name);
            if let DeValue::Table(content) = value.get_ref() {
                let given = self.table(section, &path, content, &section.settings_of_file());
                let source = self.source(start);
                found.push((start, TableItem { name: name.to_owned(), path, source, given }));
            } else {
                let hint = format!("write {} above its keys", section.header(&self.above));
                self.refuse(key, &path, Refusal::must_be("a table with a name").hint(hint));
            }
        }
        found.sort_by_key(|(start, _)| *start);
        found.into_iter().map(|(_, item)| item).collect()
    }

    fn array(
        &mut self,
        section: &Section<T>,
        key: &Key<'_>,
        tables: &[Spanned<DeValue<'_>>],
    ) -> Vec<TableItem> {
        let mut items = Vec::with_capacity(tables.len());
        for table in tables {
            if let DeValue::Table(content) = table.get_ref() {
                let given = self.table(section, section.name, content, &section.settings_of_file());
                let (name, path) = (String::new(), section.name.to_owned());
                items.push(TableItem { name, path, source: self.source(table.span().start), given });
            } else {
                let refusal = Refusal::must_be("an array of tables");
                self.refuse(
                    key,
                    section.name,
                    refusal.hint(format!("write [[{}]] above each", section.name)),
                );
            }
        }
        items
    }

    /// What one table at `path` gives for `settings`, which are some of those of the section.
    fn table(
        &mut self,
        section: &Section<T>,
        path: &str,
        table: &DeTable<'_>,
        settings: &[&'static Setting],
    ) -> Vec<(&'static Setting, Texts)> {
        let mut found = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let is_it = |setting: &&&'static Setting| setting.key() == name;
            let all = section.settings_of_file();
            let texts = match (settings.iter().find(is_it), all.iter().find(is_it)) {
                (Some(setting), _) => texts(setting, value.get_ref()).map(|texts| (*setting, texts)),
                (None, Some(_)) => {
                    let hint = format!("write it in [{}]", section.name);
                    Err(Refusal::new("is for all pools").hint(hint))
                }
                (None, None) => Err(self.unknown_key(section, name)),
            };
            match texts {
                Ok((setting, values)) => {
                    found.push((setting, Texts { values, source: self.source(key.span().start) }));
                }
                Err(refusal) => self.refuse(key, &format!("{path}.{name}"), refusal),
            }
        }
        found
    }

    fn unknown_section(&self, name: &str, is_table: bool) -> Refusal {
        let what = if is_table { "unknown section" } else { "unknown key" };
        let names = self.model.iter().map(|section| section.name);
        let near = || suggest::nearest(name, names).map(|near| format!("did you mean [{near}]?"));
        let hint = if is_table {
            near().or_else(|| self.elsewhere(name))
        } else {
            self.elsewhere(name).or_else(|| self.near_flag(name)).or_else(near)
        };
        hint.into_iter().fold(Refusal::new(what), Refusal::hint)
    }

    fn unknown_key(&self, section: &Section<T>, name: &str) -> Refusal {
        let keys = section.settings_of_file().into_iter().map(Setting::key);
        let near = || suggest::nearest(name, keys).map(|near| format!("did you mean {near}?"));
        let hint = self.elsewhere(name).or_else(near).or_else(|| self.near_flag(name));
        hint.into_iter().fold(Refusal::new("unknown key"), Refusal::hint)
    }

    /// Where a key is that is in another section, or that is the name of a flag.
    fn elsewhere(&self, name: &str) -> Option<String> {
        match name {
            "config" => return Some("it cannot be set in the file itself".to_owned()),
            "admin-token" | "token" => {
                return Some("write the token to a file and name it with token-file in [admin]".to_owned());
            }
            _ => {}
        }
        self.by_flag(name).or_else(|| self.by_key(name)).map(|setting| self.place(setting))
    }

    /// The first setting with this key.
    fn by_key(&self, name: &str) -> Option<&'static Setting> {
        let mut settings = self.model.iter().flat_map(Section::settings_of_file);
        settings.find(|setting| setting.key() == name)
    }

    /// The setting with this flag.
    fn by_flag(&self, name: &str) -> Option<&'static Setting> {
        let mut settings = self.model.iter().flat_map(Section::settings_of_file);
        settings.find(|setting| setting.flag == name)
    }

    /// Where the setting is whose flag has a name like this.
    fn near_flag(&self, name: &str) -> Option<String> {
        let mut settings = self.model.iter().flat_map(Section::settings_of_file);
        let flag = suggest::nearest(name, settings.clone().map(|setting| setting.flag))?;
        settings.find(|setting| setting.flag == flag).map(|setting| self.place(setting))
    }

    /// How a setting is written.
    fn place(&self, setting: &Setting) -> String {
        format!("write {} in [{}{}]", setting.key(), self.above, setting.section())
    }

    fn refuse(&mut self, key: &Key<'_>, path: &str, refusal: Refusal) {
        let source = self.source(key.span().start);
        self.problems.push(Problem::new(Name::unknown(path), source, None, refusal));
    }

    /// A syntax error, without the line itself: it might hold a secret.
    fn syntax(&mut self, error: &toml::de::Error) {
        let source = self.source(error.span().map_or(0, |span| span.start));
        let refusal = Refusal::new(error.message().replace('\n', ", "));
        self.problems.push(Problem::new(Name::unknown("not valid TOML"), source, None, refusal));
    }

    fn source(&self, offset: usize) -> Source {
        let newlines = self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n');
        Source::File { path: self.path.to_owned(), line: 1 + newlines.count() }
    }
}

/// The texts of a value, of a type that fits the setting.
fn texts(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<String>, Refusal> {
    match value {
        DeValue::Array(_) if !setting.repeatable() => Err(Refusal::new("is a list; it takes one value")),
        DeValue::Array(items) if items.is_empty() => {
            Err(Refusal::new("is an empty list").hint("leave the key out"))
        }
        DeValue::Array(items) => items.iter().map(|item| text(setting, item.get_ref())).collect(),
        value if setting.list == List::Commas => Ok(split_list(&text(setting, value)?).collect()),
        value => Ok(vec![text(setting, value)?]),
    }
}

fn text(setting: &Setting, value: &DeValue<'_>) -> Result<String, Refusal> {
    let kind = &setting.kind;
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(integer) if kind.takes_numbers() => {
            Ok(i128::from_str_radix(integer.as_str(), integer.radix())
                // Too long for any bound: the text serves to say so.
                .map_or_else(|_| integer.to_string(), |integer| integer.to_string()))
        }
        DeValue::Float(float) if kind.takes_numbers() => {
            Ok(float.as_str().parse().map_or_else(|_| float.to_string(), |float: f64| float.to_string()))
        }
        DeValue::Boolean(value) if kind.takes_booleans() => Ok(if *value { "on" } else { "off" }.to_owned()),
        _ => Err(Refusal::must_be(format!("{kind}, as a string")).hint("put it in quotes")),
    }
}
