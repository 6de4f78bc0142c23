//! The table of what MQTT.js has: well-formed, and true in what it says about tests; and the programs of the README.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many rows are still without a test.
const MISSING: usize = 0;

const TABLE: &str = include_str!("../PARITY.md");

/// Theirs, ours, the test.
fn rows() -> Vec<[&'static str; 3]> {
    let lines = TABLE.lines().filter(|line| line.starts_with('|') && !line.starts_with("| ---"));
    let cells = lines.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        <[&str; 3]>::try_from(cells).unwrap_or_else(|cells| panic!("three columns: {cells:?}"))
    });
    cells.filter(|[theirs, ..]| *theirs != "MQTT.js").collect()
}

#[test]
fn every_row_has_a_test_that_exists() {
    let mut files: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for [theirs, ours, test] in rows() {
        assert!(!theirs.is_empty() && !ours.is_empty(), "{theirs}");
        if test == "missing" {
            missing.push(theirs);
            continue;
        }
        let name = test.trim_matches('`');
        let (file, function) =
            name.rsplit_once("::").unwrap_or_else(|| panic!("{theirs}: {test} is no test"));
        let path = match file.split_once('/') {
            Some(_) => Path::new("..").join(file),
            None => Path::new("tests").join(file).with_extension("rs"),
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let tests = files.entry(path).or_insert_with_key(|path| tests_in(&read(path)));
        assert!(tests.contains(function), "{theirs}: there is no test {name}");
    }
    assert_eq!(missing.len(), MISSING, "without a test: {missing:?}");
}

/// Names as their README has them.
#[test]
fn nothing_of_theirs_is_left_out() {
    let named: Vec<_> = rows().into_iter().map(|[theirs, ..]| theirs).collect();
    let named = named.join("\n");
    let all = "wsOptions keepalive reschedulePings clientId protocolId protocolVersion clean reconnectPeriod \
        reconnectOnConnackError connectTimeout username password socksProxy socksTimeout incomingStore outgoingStore \
        queueQoSZero customHandleAcks autoUseTopicAlias autoAssignTopicAlias properties authPacket will transformWsUrl \
        createWebsocket resubscribe subscribeBatchSize messageIdProvider log manualConnect timerVariant \
        forceNativeWebSocket unixSocket connect reconnect close disconnect offline error end message packetsend \
        packetreceive publish publishAsync subscribe subscribeAsync unsubscribe unsubscribeAsync endAsync \
        removeOutgoingMessage handleMessage connected reconnecting getLastMessageId serverProperties Store";
    for name in all.split_whitespace() {
        assert!(named.contains(&format!("`{name}`")), "{name}");
    }
}

/// The same program, theirs as their users write it; ours is compiled with the documentation.
#[test]
fn the_tutorials_program_is_not_longer_than_theirs() {
    let readme = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let (_, rest) = readme.split_once("## The tutorial").expect("the chapter");
    let block = |language: &str| -> Vec<&str> {
        let (_, from) = rest.split_once(&format!("```{language}\n")).expect(language);
        let (code, _) = from.split_once("```").expect("an end");
        code.lines().filter(|line| !line.trim().is_empty()).collect()
    };
    let (ours, theirs) = (block("rust,no_run"), block("js"));
    assert!(ours.iter().all(|line| !line.starts_with('#') || line.starts_with("#[")), "no hidden lines");
    assert!(ours.len() <= theirs.len(), "{} lines of ours, {} of theirs", ours.len(), theirs.len());
    let longest = |lines: &[&str]| lines.iter().map(|line| line.len()).max().unwrap_or_default();
    assert!(longest(&ours) <= 100 && longest(&theirs) <= 100, "lines are not stuffed");
}

/// The functions behind `#[test]` and the like, which may have further attributes between.
fn tests_in(source: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((before, rest)) = line.split_once("fn ").filter(|_| !line.starts_with("//")) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            if std::mem::take(&mut marked) && matches!(before.trim(), "" | "async") {
                tests.insert(name.to_owned());
            }
        } else if line.starts_with("#[ignore") {
            marked = false;
        }
    }
    tests
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_checks_can_fail() {
    let source = "#[test]\nfn yes() {}\nfn no() {}\n#[tokio::test(x)]\nasync fn too() {}\n#[test]\n#[ignore]\nfn ignored() {}";
    assert_eq!(tests_in(source), BTreeSet::from(["yes".to_owned(), "too".to_owned()]));
}
