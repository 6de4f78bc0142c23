//! The tables of statements: complete, well-formed, and true in what they say about tests.
//!
//! `ids-v311.txt` and `ids-v5.txt` list the statements of the specifications and nothing else, so that a
//! statement cannot be forgotten in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many statements about a codec or a connection are still without a test.
const MISSING: usize = 0;

const V311: Document = Document {
    name: "3.1.1",
    table: include_str!("v311.txt"),
    ids: include_str!("ids-v311.txt"),
    statements: "statement_of_v311",
};

const V5: Document = Document {
    name: "5.0",
    table: include_str!("v5.txt"),
    ids: include_str!("ids-v5.txt"),
    statements: "statement_of_v5",
};

/// A specification: its table, its list of ids, and the function that names its statements in errors.
struct Document {
    name: &'static str,
    table: &'static str,
    ids: &'static str,
    statements: &'static str,
}

/// A row of a table.
#[derive(Debug)]
struct Statement {
    id: String,
    who: String,
    concerns: Vec<String>,
    rule: String,
    proof: Proof,
}

/// What stands below a row.
#[derive(Debug)]
enum Proof {
    Tests(Vec<String>),
    Elsewhere(String),
    NotApplicable(String),
    Missing(String),
}

impl Document {
    fn ids(&self) -> BTreeSet<String> {
        self.ids.lines().map(str::to_owned).collect()
    }

    fn statements(&self) -> Vec<Statement> {
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

impl Statement {
    /// Whether this crate must obey it.
    fn is_ours(&self) -> bool {
        self.concerns.iter().any(|concern| concern == "codec" || concern == "connection")
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_statement_of_the_specifications_is_in_the_tables_once() {
    for document in [V311, V5] {
        let ids: Vec<_> = document.statements().into_iter().map(|statement| statement.id).collect();
        let unique: BTreeSet<_> = ids.iter().cloned().collect();
        assert_eq!(unique.len(), ids.len(), "{}: an id stands twice", document.name);
        assert_eq!(unique, document.ids(), "{}", document.name);
        assert!(unique.iter().all(|id| is_well_formed(id)), "{}", document.name);
    }
    assert_eq!((V311.ids().len(), V5.ids().len()), (141, 251));
}

#[test]
fn every_row_says_whom_and_what_it_concerns() {
    for statement in V311.statements().into_iter().chain(V5.statements()) {
        assert!(["client", "server", "both"].contains(&statement.who.as_str()), "{statement:?}");
        for concern in &statement.concerns {
            let known = ["codec", "connection", "broker", "application", "transport"];
            assert!(known.contains(&concern.as_str()), "{statement:?}");
        }
        assert!(statement.rule.ends_with('.') && statement.rule.len() < 180, "{statement:?}");
    }
}

/// What concerns a codec or a connection has a test here; only what does not may be left to others.
#[test]
fn every_statement_is_proven_or_has_a_reason() {
    let mut missing = Vec::new();
    for document in [V311, V5] {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for statement in document.statements() {
            let kind = match &statement.proof {
                Proof::Tests(_) => "proven",
                Proof::Elsewhere(_) => "elsewhere",
                Proof::NotApplicable(_) => "not applicable",
                Proof::Missing(_) => "missing",
            };
            *counts.entry(kind).or_default() += 1;
            match &statement.proof {
                Proof::Elsewhere(reason) | Proof::NotApplicable(reason) => {
                    assert!(!statement.is_ours(), "{} is for a test, not for {reason:?}", statement.id);
                }
                Proof::Missing(what) => missing.push(format!("{} {}: {what}", document.name, statement.id)),
                Proof::Tests(_) => assert!(statement.is_ours(), "{} is proven here", statement.id),
            }
        }
        println!("MQTT {}: {counts:?}", document.name);
    }
    println!("{}", missing.join("\n"));
    assert_eq!(missing.len(), MISSING, "without a test:\n{}", missing.join("\n"));
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let mut files: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for statement in V311.statements().into_iter().chain(V5.statements()) {
        let Proof::Tests(tests) = &statement.proof else { continue };
        for test in tests {
            let (file, function) =
                test.rsplit_once("::").unwrap_or_else(|| panic!("{}: {test} is no test", statement.id));
            let path = match file.split_once('/') {
                Some(_) => PathBuf::from(file),
                None => Path::new("tests/conformance").join(file),
            };
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path).with_extension("rs");
            let found = files.entry(path).or_insert_with_key(|path| tests_in(&read(path)));
            assert!(found.contains(function), "{}: there is no test {test}", statement.id);
        }
    }
}

/// Ids in comments and messages are how a reader finds a rule: a wrong one misleads.
#[test]
fn every_statement_that_source_or_tests_mention_exists() {
    let mut known: BTreeSet<_> = V311.ids().union(&V5.ids()).cloned().collect();
    // The specification's own spelling of MQTT-3.8.3-4.
    known.insert("MQTT-3-8.3-4".to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut mentions = 0;
    let files = rust_files(&root.join("src")).into_iter().chain(rust_files(&root.join("tests")));
    for file in files.filter(|file| !file.ends_with("conformance/table.rs")) {
        for id in ids_in(&read(&file)) {
            mentions += 1;
            assert!(known.contains(&id), "{} mentions {id}, which does not exist", file.display());
        }
    }
    assert!(mentions > 300, "only {mentions} mentions were found");
}

/// A test that names a statement above itself is one of those that the table has for it.
#[test]
fn every_statement_above_a_test_is_proven_by_it() {
    let mut proofs: BTreeSet<(String, String)> = BTreeSet::new();
    for statement in V311.statements().into_iter().chain(V5.statements()) {
        let Proof::Tests(tests) = statement.proof else { continue };
        proofs.extend(tests.into_iter().map(|test| (statement.id.clone(), test)));
    }
    for file in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")) {
        let module = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut named = Vec::new();
        for line in read(&file).lines() {
            match line.split_once("fn ").filter(|_| line.starts_with("fn ")) {
                _ if line.starts_with("///") => named.extend(ids_in(line)),
                Some((_, rest)) => {
                    let test = format!("{module}::{}", rest.split('(').next().unwrap_or_default());
                    for id in named.drain(..) {
                        assert!(proofs.contains(&(id.clone(), test.clone())), "{id} does not list {test}");
                    }
                }
                None => {}
            }
        }
    }
}

/// What `DecodeError::statement` returns is a statement of the version it is about, and one with a test.
#[test]
fn every_statement_that_an_error_names_is_proven() {
    let source = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/error.rs"));
    for document in [V311, V5] {
        let start = source.find(&format!("fn {}(", document.statements)).expect("the function");
        let body = &source[start..];
        let body = &body[..body.find("\n    }\n").expect("its end")];
        let code = body.lines().filter(|line| !line.trim_start().starts_with("//"));
        let named: BTreeSet<_> =
            code.flat_map(|line| line.split('"')).filter(|text| text.starts_with("MQTT-")).collect();
        assert!(named.len() > 20, "{named:?}");
        let statements = document.statements();
        for id in named {
            let statement = statements.iter().find(|statement| statement.id == id);
            let statement = statement.unwrap_or_else(|| panic!("{id} is not in MQTT {}", document.name));
            assert!(matches!(statement.proof, Proof::Tests(_)), "{id} of MQTT {}", document.name);
        }
    }
}

/// `MQTT-3.3.2-2`
fn is_well_formed(id: &str) -> bool {
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
fn ids_in(source: &str) -> Vec<String> {
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

/// The functions behind `#[test]`, which may have further attributes between.
fn tests_in(source: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
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

fn rust_files(directory: &Path) -> Vec<PathBuf> {
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

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_checks_can_fail() {
    for id in ["MQTT-3.3.2", "3.3.2-2", "MQTT-3-8.3-4", "MQTT-3.3.02-2", "MQTT-3.3.2-0", "MQTT-3.3.2-x"] {
        assert!(!is_well_formed(id), "{id}");
    }
    assert!(is_well_formed("MQTT-3.3.2-20") && is_well_formed("MQTT-4.2-1"));
    assert_eq!(
        ids_in("// [MQTT-3.3.2-2], \"MQTT-9.9.9-9\" and MQTT-1.1.1-1"),
        ["MQTT-3.3.2-2", "MQTT-9.9.9-9"]
    );
    let source = "#[test]\nfn yes() {}\nfn no() {}\n#[test]\n#[ignore = \"x\"]\nfn ignored() {}";
    assert_eq!(tests_in(source), BTreeSet::from(["yes".to_owned()]));
}
