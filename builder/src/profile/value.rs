//! TOML as located values, and the decoder that takes a table apart field by
//! field and remembers everything that was wrong with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::{Located, Place, Problem, nearest};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    place: Place,
    data: Data,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Data {
    String(String),
    Integer(i64),
    Boolean(bool),
    Array(Vec<Value>),
    Table(Table),
    /// A float, a date, or an integer that no setting could mean.
    Other(&'static str),
}

/// Keys with the place of the key itself.
pub(super) type Table = BTreeMap<String, (Place, Value)>;

/// Reads TOML text; syntax errors are located like everything else.
pub(super) fn parse(file: &Arc<Path>, text: &str) -> Result<Table, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(convert_table(file, text, table.get_ref()));
    }
    let problem = |error: &toml::de::Error| {
        let offset = error.span().map_or(0, |span| span.start);
        Problem::new(&Place::of(file, text, offset), format!("not TOML: {}", error.message().replace('\n', "; ")))
    };
    Err(errors.iter().map(problem).collect())
}

fn convert_table(file: &Arc<Path>, text: &str, table: &DeTable<'_>) -> Table {
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let place = Place::of(file, text, key.span().start);
        (key.get_ref().to_string(), (place, convert(file, text, value)))
    };
    table.iter().map(entry).collect()
}

fn convert(file: &Arc<Path>, text: &str, value: &Spanned<DeValue<'_>>) -> Value {
    let data = match value.get_ref() {
        DeValue::String(string) => Data::String(string.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()) {
            Ok(number) => Data::Integer(number),
            Err(_) => Data::Other("an integer out of range"),
        },
        DeValue::Boolean(boolean) => Data::Boolean(*boolean),
        DeValue::Float(_) => Data::Other("a float"),
        DeValue::Datetime(_) => Data::Other("a date"),
        DeValue::Array(array) => Data::Array(array.iter().map(|value| convert(file, text, value)).collect()),
        DeValue::Table(table) => Data::Table(convert_table(file, text, table)),
    };
    Value { place: Place::of(file, text, value.span().start), data }
}

/// `over` wins, table by table; arrays are replaced, never joined, so that
/// what is read in the profile is the whole list.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, (place, value)) in over {
        match (base.get_mut(&key).map(|(_, value)| &mut value.data), value.data) {
            (Some(Data::Table(below)), Data::Table(above)) => merge(below, above),
            (_, data) => {
                base.insert(key, (place, Value { place: value.place, data }));
            }
        }
    }
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self.data {
            Data::String(_) => "a string",
            Data::Integer(_) => "an integer",
            Data::Boolean(_) => "true or false",
            Data::Array(_) => "a list",
            Data::Table(_) => "a table",
            Data::Other(name) => name,
        }
    }
}

/// One table being taken apart. Every question takes its key out; what is left
/// when [`Section::finish`] is called was not known.
pub(crate) struct Section<'p> {
    name: String,
    place: Place,
    table: Table,
    asked: Vec<&'static str>,
    problems: &'p RefCell<Vec<Problem>>,
}

impl<'p> Section<'p> {
    pub(super) fn new(name: &str, place: Place, table: Table, problems: &'p RefCell<Vec<Problem>>) -> Self {
        Self { name: name.into(), place, table, asked: Vec::new(), problems }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        self.take(key, "a string", |data| match data {
            Data::String(string) => Some(string),
            _ => None,
        })
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<Located<bool>> {
        self.take(key, "true or false", |data| match data {
            Data::Boolean(boolean) => Some(boolean),
            _ => None,
        })
    }

    /// An integer in `range`.
    pub(crate) fn integer(&mut self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<Located<i64>> {
        let found = self.take(key, "an integer", |data| match data {
            Data::Integer(integer) => Some(integer),
            _ => None,
        })?;
        if range.contains(&found.value) {
            return Some(found);
        }
        let what =
            format!("`{}` is {}, which is not from {} to {}", self.path(key), found.value, range.start(), range.end());
        self.report(Problem::new(&found.place, what));
        None
    }

    pub(crate) fn strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let values = self.take(key, "a list of strings", |data| match data {
            Data::Array(values) => Some(values),
            _ => None,
        })?;
        let mut strings = Vec::new();
        for value in values.value {
            let type_name = value.type_name();
            match value.data {
                Data::String(string) => strings.push(Located { value: string, place: value.place }),
                _ => self.report(wrong_type(&value.place, &self.path(key), "a list of strings", type_name)),
            }
        }
        Some(strings)
    }

    /// A string that must be one of `words`.
    pub(crate) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<Located<T>> {
        let found = self.string(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == found.value) {
            return Some(Located { value: *value, place: found.place });
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let problem = Problem::new(&found.place, format!("`{}` cannot be `{}`", self.path(key), found.value));
        let meant = nearest(&found.value, known.iter().copied());
        self.report(problem.remedy(match meant {
            Some(word) => format!("`{word}`? It can be: {}", known.join(", ")),
            None => format!("it can be: {}", known.join(", ")),
        }));
        None
    }

    pub(crate) fn section(&mut self, key: &'static str) -> Option<Section<'p>> {
        let table = self.take(key, "a table", |data| match data {
            Data::Table(table) => Some(table),
            _ => None,
        })?;
        Some(Section::new(&self.path(key), table.place, table.value, self.problems))
    }

    /// `[[key]]`: an array of tables.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<Section<'p>> {
        let Some(values) = self.take(key, "a list of tables", |data| match data {
            Data::Array(values) => Some(values),
            _ => None,
        }) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for value in values.value {
            let type_name = value.type_name();
            match value.data {
                Data::Table(table) => sections.push(Section::new(&self.path(key), value.place, table, self.problems)),
                _ => self.report(wrong_type(&value.place, &self.path(key), "a list of tables", type_name)),
            }
        }
        sections
    }

    /// Reports `key` as missing; for what has no default.
    pub(crate) fn require<T>(&self, key: &str, found: Option<T>, remedy: &str) -> Option<T> {
        // A value of the wrong type was reported already, and is not missing.
        if found.is_none() && !self.problems.borrow().iter().any(|p| p.what.contains(&format!("`{}`", self.path(key))))
        {
            let problem = Problem::new(&self.place, format!("`{}` is missing", self.path(key)));
            self.report(problem.remedy(remedy));
        }
        found
    }

    pub(super) fn into_table(self) -> Table {
        self.table
    }

    pub(crate) fn finish(self) {
        for (key, (place, _)) in &self.table {
            let problem = Problem::new(place, format!("unknown key `{}`", self.path(key)));
            self.report(match nearest(key, self.asked.iter().copied()) {
                Some(known) => problem.remedy(format!("did you mean `{known}`?")),
                None => problem.remedy(format!("known here: {}", self.asked.join(", "))),
            });
        }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) }
    }

    fn take<T>(&mut self, key: &'static str, wanted: &str, read: impl FnOnce(Data) -> Option<T>) -> Option<Located<T>> {
        self.asked.push(key);
        let (_, value) = self.table.remove(key)?;
        let type_name = value.type_name();
        let found = read(value.data).map(|data| Located { value: data, place: value.place.clone() });
        if found.is_none() {
            self.report(wrong_type(&value.place, &self.path(key), wanted, type_name));
        }
        found
    }
}

fn wrong_type(place: &Place, path: &str, wanted: &str, found: &str) -> Problem {
    let problem = Problem::new(place, format!("`{path}` should be {wanted}, and this is {found}"));
    let key = path.rsplit('.').next().unwrap_or(path);
    problem.remedy(match wanted {
        "a string" => format!("`{key} = \"text\"`, in quotes"),
        "a list of strings" => format!("`{key} = [\"one\", \"two\"]`"),
        "a table" => format!("`[{path}]` on a line of its own, its keys below it"),
        "a list of tables" => format!("`[[{path}]]` on a line of its own, once for each"),
        _ => format!("`{key} = …` without quotes"),
    })
}
