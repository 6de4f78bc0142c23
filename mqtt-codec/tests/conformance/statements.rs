//! The tables of statements: how they are written, and whether they are true in what they say about tests.
//!
//! `ids-v311.txt` and `ids-v5.txt` list the statements of the specifications and nothing else, so that a
//! statement cannot be forgotten in a table. The broker, which has a table of its own, reads it with this file too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A specification: its table and its list of ids.
pub(crate) struct Document {
    pub(crate) name: &'static str,
    pub(crate) table: &'static str,
    pub(crate) ids: &'static str,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) id: String,
    pub(crate) who: String,
    pub(crate) concerns: Vec<String>,
    pub(crate) rule: String,
    pub(crate) proof: Proof,
}

/// What stands below a row.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    Tests(Vec<String>),
    Elsewhere(String),
    NotApplicable(String),
    Missing(String),
}

impl Document {
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.ids.lines().map(str::to_owned).collect()
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        let mut lines = self.table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut statements = Vec::new();
        while let Some(row) = lines.next() {
            let [id, who, concerns, rule] = row.split(" | ").collect::<Vec<_>>()[..] else {
                panic!("four columns: {row}")
            };
            let proof = lines.next().and_then(|line| line.strip_prefix("    "));
            let (kind, what) = proof
                .and_then(|line| line.split_once(": "))
                .unwrap_or_else(|| panic!("{id}: tests or a reason must follow in an indented line"));
            assert!(!what.trim().is_empty(), "{id}: {kind} is empty");
            let proof = match kind {
                "tests" => Proof::Tests(list(what)),
                "elsewhere" => Proof::Elsewhere(what.to_owned()),
                "not applicable" => Proof::NotApplicable(what.to_owned()),
                "missing" => Proof::Missing(what.to_owned()),
                other => panic!("{id}: {other} is no kind of proof"),
            };
            let (id, who, rule) = (id.to_owned(), who.to_owned(), rule.to_owned());
            statements.push(Statement { id, who, concerns: list(concerns), rule, proof });
        }
        statements
    }
}

/// Fails for each test that a table names and that does not exist. The manifest of the tests is in `root`; `folder`
/// is where a file is that stands without a directory, and says what other short names stand for.
pub(crate) fn check_tests_exist<'a>(
    statements: impl IntoIterator<Item = &'a Statement>,
    root: &Path,
    folder: impl Fn(&str) -> PathBuf,
) {
    let mut files: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for statement in statements {
        let Proof::Tests(tests) = &statement.proof else { continue };
        for test in tests {
            let (file, function) =
                test.rsplit_once("::").unwrap_or_else(|| panic!("{}: {test} is no test", statement.id));
            let path = root.join(folder(file)).with_extension("rs");
            let found = files.entry(path).or_insert_with_key(|path| tests_in(&read(path)));
            assert!(found.contains(function), "{}: there is no test {test}", statement.id);
        }
    }
}

/// Fails for each test in `file` with a statement above itself for which the table does not have it. `name` is what
/// the table calls the file.
pub(crate) fn check_named_tests(file: &Path, name: &str, statements: &[Statement]) {
    let mut named = Vec::new();
    for line in read(file).lines() {
        let code = line.strip_prefix("async ").unwrap_or(line);
        if line.starts_with("///") {
            named.extend(ids_in(line));
        } else if let Some(rest) = code.strip_prefix("fn ") {
            let test = format!("{name}::{}", rest.split('(').next().unwrap_or_default());
            for id in named.drain(..) {
                let proven = statements.iter().any(|statement| {
                    statement.id == id
                        && matches!(&statement.proof, Proof::Tests(tests) if tests.contains(&test))
                });
                assert!(proven, "{test} names {id}: add it to the tests of that row in the table");
            }
        } else if line == "}" {
            named.clear();
        }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(", ").map(str::to_owned).collect()
}

/// `MQTT-3.3.2-2`
pub(crate) fn is_well_formed(id: &str) -> bool {
    let Some((chapter, number)) = id.strip_prefix("MQTT-").and_then(|id| id.split_once('-')) else {
        return false;
    };
    let is_number = |text: &str| text.parse::<u8>().is_ok_and(|number| number.to_string() == text);
    (2..=3).contains(&chapter.split('.').count())
        && chapter.split('.').all(is_number)
        && is_number(number)
        && number != "0"
}

/// The ids in brackets or quotes.
pub(crate) fn ids_in(source: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for (at, _) in source.match_indices("MQTT-") {
        if !source[..at].ends_with(['[', '"']) {
            continue;
        }
        let id = source[at..].split([']', '"']).next().unwrap_or_default();
        if id.len() < 20 && id.len() > "MQTT-".len() {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// The functions behind `#[test]` or a runtime's, which may have further attributes between.
pub(crate) fn tests_in(source: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        let code = line.strip_prefix("async ").unwrap_or(line);
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = code.strip_prefix("fn ") {
            let name = rest.split('(').next().unwrap_or_default();
            if std::mem::take(&mut marked) {
                tests.insert(name.to_owned());
            }
        } else if line.starts_with("#[ignore") {
            marked = false;
        }
    }
    tests
}

pub(crate) fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
