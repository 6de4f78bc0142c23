use toml::{Table, Value};

use super::*;

const EXAMPLE: &str = include_str!("../../../../broker.toml");

/// The keys of a table and of those in it, such as `broker.max-sessions`. Of a list it is the first element that counts.
fn keys(prefix: &str, table: &Table, found: &mut Vec<String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => keys(&name, inner, found),
            Value::Array(list) if list.first().is_some_and(Value::is_table) => {
                // The fullest one shows all keys.
                let fullest = list.iter().filter_map(Value::as_table).max_by_key(|table| table.len());
                keys(&name, fullest.unwrap(), found);
            }
            _ => found.push(name),
        }
    }
}

fn sorted_keys(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    keys("", table, &mut found);
    found.sort();
    found
}

#[test]
fn the_example_has_every_key_there_is() {
    let everything =
        File { listener: Some(vec![Listener::new(Scheme::Ws, Bind::any(8083))]), ..File::default() };
    let example: Table = toml::from_str(EXAMPLE).unwrap();
    let (shown, known) = (sorted_keys(&example), sorted_keys(&Table::try_from(everything).unwrap()));
    let missing: Vec<_> = known.iter().filter(|key| !shown.contains(key)).collect();
    assert!(missing.is_empty(), "examples/broker.toml lacks {missing:?}");
    assert_eq!(shown, known);
}

#[test]
fn the_example_says_what_the_defaults_are() {
    let mut example = File::parse(EXAMPLE).unwrap();
    let listener = example.listener.take();
    assert_eq!(example, File::default());
    let listeners = [Listener::new(Scheme::Tcp, Bind::any(1883)), Listener::new(Scheme::Ws, Bind::any(8083))];
    assert_eq!(listener.unwrap(), listeners);
}

/// What stands behind `#`, without the space, is what a user may put there.
#[test]
fn what_the_example_leaves_out_can_be_put_in() {
    let text: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("#") {
            Some(code) if !code.is_empty() && !code.starts_with(' ') => format!("{code}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let file = File::parse(&text).unwrap();
    let listeners = file.listener.unwrap();
    assert_eq!(listeners.len(), 4, "those that are commented out too");
    assert!(listeners[2].tls.as_ref().is_some_and(Tls::has_certificate));
}

#[test]
fn a_mistake_is_named_with_its_line() {
    for (text, line, culprit) in [
        ("\nlisteners = []", 2, "listeners"),
        ("[broker]\nmax-sesions = 1", 2, "max-sesions"),
        ("[broker]\n\nconnect-timeout = 'soon'", 3, "soon"),
        ("[[listener]]\nscheme = 'tcp'\naddress = 'nonsense'", 3, "nonsense"),
        ("[[listener]]\nscheme = 'tcp'", 1, "address"),
        ("[[listener]]\nscheme = 'udp'\naddress = 1", 2, "udp"),
        ("[[listener]]\nscheme = 'ws'\naddress = 1\npaht = '/'", 4, "paht"),
        ("[access]\norder = ['acl', 'oracle']", 2, "oracle"),
        ("[tls]\nversions = ['1.1']", 2, "1.1"),
        ("[log]\nformat = 'xml'", 2, "xml"),
        ("[broker\n", 1, ""),
    ] {
        let (at, problem) = File::parse(text).unwrap_err();
        assert!(problem.contains(culprit), "{text}: {problem}");
        assert_eq!(at, line, "{text}: {problem}");
    }
}
