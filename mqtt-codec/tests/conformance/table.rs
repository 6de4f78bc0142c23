//! The tables of statements are complete, well-formed, and true in what they say about tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::statements::{
    Document, Proof, Statement, check_named_tests, check_tests_exist, ids_in, is_well_formed, read,
    rust_files, tests_in,
};

/// How many statements about a codec or a connection are still without a test.
const MISSING: usize = 0;

const V311: Document =
    Document { name: "3.1.1", table: include_str!("v311.txt"), ids: include_str!("ids-v311.txt") };

const V5: Document = Document { name: "5.0", table: include_str!("v5.txt"), ids: include_str!("ids-v5.txt") };

/// Whether this crate must obey it.
fn is_ours(statement: &Statement) -> bool {
    statement.concerns.iter().any(|concern| concern == "codec" || concern == "connection")
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
                    assert!(!is_ours(&statement), "{} is for a test, not for {reason:?}", statement.id);
                }
                Proof::Missing(what) => missing.push(format!("{} {}: {what}", document.name, statement.id)),
                Proof::Tests(_) => assert!(is_ours(&statement), "{} is proven here", statement.id),
            }
        }
        println!("MQTT {}: {counts:?}", document.name);
    }
    println!("{}", missing.join("\n"));
    assert_eq!(missing.len(), MISSING, "without a test:\n{}", missing.join("\n"));
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let statements: Vec<_> = V311.statements().into_iter().chain(V5.statements()).collect();
    check_tests_exist(&statements, Path::new(env!("CARGO_MANIFEST_DIR")), |file| {
        match file.split_once('/') {
            Some(_) => PathBuf::from(file),
            None => Path::new("tests/conformance").join(file),
        }
    });
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
    let statements: Vec<_> = V311.statements().into_iter().chain(V5.statements()).collect();
    for file in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")) {
        let module = file.file_stem().expect("a name").to_string_lossy().into_owned();
        check_named_tests(&file, &module, &statements);
    }
}

/// What `DecodeError::statement` returns is a statement of the version it is about, and one with a test.
#[test]
fn every_statement_that_an_error_names_is_proven() {
    let source = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/error.rs"));
    for (document, function) in [(V311, "statement_of_v311"), (V5, "statement_of_v5")] {
        let start = source.find(&format!("fn {function}(")).expect("the function");
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
    let source = "#[tokio::test(flavor = \"multi_thread\")]\nasync fn later() {}\nasync fn no() {}";
    assert_eq!(tests_in(source), BTreeSet::from(["later".to_owned()]));
}
