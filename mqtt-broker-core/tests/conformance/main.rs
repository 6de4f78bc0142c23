//! Every normative statement of MQTT 3.1.1 and 5.0 about a server has a test: here, or with the codec.
//!
//! `v311.txt` and `v5.txt` are the tables of what is the broker's business, and of what it proves over real sockets
//! though the codec has proven it already. Print all statements with their tests:
//!
//! ```text
//! cargo test -p mqttkit-broker-core --test conformance -- --nocapture every_statement_about_a_server_has_a_test
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the codec's own tests use the rest")]
#[path = "../../../mqtt-codec/tests/conformance/statements.rs"]
mod statements;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use statements::{
    Document, Proof, Statement, check_named_tests, check_tests_exist, ids_in, read, rust_files,
};

/// A specification with the codec's table and the broker's.
struct Specification {
    codec: Document,
    broker: Document,
    /// How many of its statements are about servers, or about both sides.
    about_servers: usize,
}

const V311_IDS: &str = include_str!("../../../mqtt-codec/tests/conformance/ids-v311.txt");
const V5_IDS: &str = include_str!("../../../mqtt-codec/tests/conformance/ids-v5.txt");

const SPECIFICATIONS: [Specification; 2] = [
    Specification {
        codec: Document {
            name: "3.1.1",
            table: include_str!("../../../mqtt-codec/tests/conformance/v311.txt"),
            ids: V311_IDS,
        },
        broker: Document { name: "3.1.1", table: include_str!("v311.txt"), ids: V311_IDS },
        about_servers: 106,
    },
    Specification {
        codec: Document {
            name: "5.0",
            table: include_str!("../../../mqtt-codec/tests/conformance/v5.txt"),
            ids: V5_IDS,
        },
        broker: Document { name: "5.0", table: include_str!("v5.txt"), ids: V5_IDS },
        about_servers: 204,
    },
];

/// Whether a server must obey it.
fn is_about_servers(statement: &Statement) -> bool {
    statement.who != "client"
}

/// Whether a codec and a connection alone cannot obey it.
fn is_ours(statement: &Statement) -> bool {
    is_about_servers(statement)
        && statement.concerns.iter().any(|concern| concern != "codec" && concern != "connection")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All rows of the broker's tables.
fn ours() -> Vec<Statement> {
    SPECIFICATIONS.iter().flat_map(|specification| specification.broker.statements()).collect()
}

#[test]
fn every_statement_about_a_server_has_a_test() {
    let mut open = Vec::new();
    for Specification { codec, broker, about_servers } in &SPECIFICATIONS {
        let ours: BTreeMap<String, Statement> =
            broker.statements().into_iter().map(|statement| (statement.id.clone(), statement)).collect();
        let all = codec.statements();
        assert_eq!(all.len(), codec.ids().len(), "the codec's table is complete");
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for statement in all.iter().filter(|statement| is_about_servers(statement)) {
            let mut tests = Vec::new();
            if let Proof::Tests(proofs) = &statement.proof {
                tests.extend(proofs.iter().map(|test| format!("codec {test}")));
            }
            let own = ours.get(&statement.id).map(|statement| &statement.proof);
            if let Some(Proof::Tests(proofs)) = own {
                tests.extend(proofs.iter().cloned());
            }
            let kind = match (own, is_ours(statement)) {
                (Some(Proof::Tests(_)), _) => "proven by the broker",
                (Some(Proof::NotApplicable(_)), true) if tests.is_empty() => "not applicable",
                (None, false) if !tests.is_empty() => "proven by the codec",
                _ => {
                    open.push(format!("{} {}: {}", codec.name, statement.id, statement.rule));
                    "open"
                }
            };
            *counts.entry(kind).or_default() += 1;
            println!(
                "{} {} | {}\n    {kind}: {}",
                codec.name,
                statement.id,
                statement.rule,
                tests.join(", ")
            );
        }
        println!("MQTT {}: {counts:?}", codec.name);
        assert_eq!(counts.values().sum::<usize>(), *about_servers, "MQTT {}: {counts:?}", codec.name);
    }
    assert!(open.is_empty(), "without a test:\n{}", open.join("\n"));
}

/// A table that differed from the codec's would be about another specification.
#[test]
fn the_rows_are_the_codecs() {
    for Specification { codec, broker, .. } in &SPECIFICATIONS {
        let codec: BTreeMap<String, Statement> =
            codec.statements().into_iter().map(|statement| (statement.id.clone(), statement)).collect();
        let mut seen = BTreeSet::new();
        for row in broker.statements() {
            let Some(same) = codec.get(&row.id) else { panic!("{} does not exist", row.id) };
            assert_eq!(
                (&row.who, &row.concerns, &row.rule),
                (&same.who, &same.concerns, &same.rule),
                "{}",
                row.id
            );
            assert!(seen.insert(row.id.clone()), "{} stands twice", row.id);
        }
    }
}

#[test]
fn every_test_that_the_tables_name_exists() {
    check_tests_exist(&ours(), root(), |file| {
        let is_whole = file.starts_with("src/") || file.starts_with("tests/");
        if is_whole { PathBuf::from(file) } else { Path::new("src/sim").join(file) }
    });
}

/// A test that names a statement above itself is one of those that the tables have for it.
#[test]
fn every_statement_above_a_test_is_proven_by_it() {
    let statements = ours();
    for directory in ["src/sim", "tests"] {
        for file in rust_files(&root().join(directory)) {
            let name = file.strip_prefix(root()).unwrap().with_extension("");
            let name = name.strip_prefix("src/sim").unwrap_or(&name).to_string_lossy().into_owned();
            check_named_tests(&file, &name, &statements);
        }
    }
}

/// Ids in comments are how a reader finds a rule: a wrong one misleads.
#[test]
fn every_statement_that_source_or_tests_mention_exists() {
    let known: BTreeSet<String> =
        SPECIFICATIONS.iter().flat_map(|specification| specification.codec.ids()).collect();
    let mut mentions = 0;
    for file in rust_files(&root().join("src")).into_iter().chain(rust_files(&root().join("tests"))) {
        for id in ids_in(&read(&file)) {
            mentions += 1;
            assert!(known.contains(&id), "{} mentions {id}, which does not exist", file.display());
        }
    }
    assert!(mentions > 100, "only {mentions} mentions were found");
}
