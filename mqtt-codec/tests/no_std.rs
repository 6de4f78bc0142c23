//! The crate needs `core` and `alloc` alone: nothing in `src` names `std`, but for tests, examples and what stands
//! behind the feature `std`.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines that are compiled without the feature `std`: no comments, no item with its attribute, and nothing
/// behind the start of the unit tests, which stand at the end of a file.
fn compiled(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    // While in an item behind the feature: its indentation, which its last line has too.
    let mut behind: Option<&str> = None;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if let Some(outer) = behind {
            if outer == indent && (code == "}" || code.ends_with(';')) {
                behind = None;
            }
            return None;
        }
        if code == "#[cfg(feature = \"std\")]" {
            behind = Some(indent);
            return None;
        }
        (!code.starts_with("//")).then_some((number, line))
    })
}

fn names_std(line: &str) -> bool {
    line.contains("extern crate std")
        || line
            .match_indices("std::")
            .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

#[test]
fn nothing_names_std() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 20, "only {} files were found", files.len());
    let mut named = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in compiled(&text).filter(|(_, line)| names_std(line)) {
            named.push(format!("{}:{number}: {line}", file.display()));
        }
    }
    assert!(named.is_empty(), "{named:#?}");
    let root = include_str!("../src/lib.rs");
    assert!(compiled(root).any(|(_, line)| line == "#![no_std]"));
}

#[test]
fn the_search_finds_what_it_is_for() {
    let found = |text: &str| compiled(text).any(|(_, line)| names_std(line));
    assert!(found("use std::vec;"));
    assert!(found("fn f() -> ::std::string::String {"));
    assert!(found("extern crate std;"));
    assert!(!found("/// use std::vec;\nuse core::fmt;\nuse not_std::it;"));
    let method = "    #[cfg(feature = \"std\")]\n    fn f() {\n        std::f();\n    }";
    assert!(!found(method));
    assert!(found(&format!("{method}\n    fn g() {{\n        std::g();\n    }}")));
    assert!(!found("#[cfg(feature = \"std\")]\nextern crate std;\nuse core::fmt;"));
    assert!(!found("use core::fmt;\n#[cfg(test)]\nmod tests { use std::vec; }"));
}
