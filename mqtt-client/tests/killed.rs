//! The publishing process is killed at random points, and started again: nothing that was accepted is lost, and QoS 2
//! comes once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "file-store")]

mod support;

use mqttkit_broker_core::{Broker, Config, Listen};
use mqttkit_client::store::{FileStore, Fsync, Progress, Store};
use mqttkit_client::{Client, QoS};
use std::collections::{HashMap, HashSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::faulty::Dice;
use support::soon;

/// What the process that is killed is told: the URL, the file, its first number, and whether it only finishes.
const TASK: &str = "MQTTKIT_TEST_PUBLISHER";
/// How often it is killed.
const ROUNDS: &str = "MQTTKIT_TEST_KILLS";

fn qos(number: u64) -> QoS {
    if number.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce }
}

/// No test of its own but the process that the other test starts and kills: without a task it has nothing to do.
#[tokio::test]
async fn publisher() {
    let Ok(task) = env::var(TASK) else { return };
    let [url, path, first, last] = task.split(' ').collect::<Vec<_>>()[..] else { panic!("{task:?}") };
    let (first, is_last): (u64, bool) = (first.parse().unwrap(), last == "last");
    let fsync = if first.is_multiple_of(3) { Fsync::Always } else { Fsync::Never };
    let (client, _messages) = Client::builder(url)
        .client_id("publisher")
        .clean_start(false)
        .session_expiry(Duration::from_secs(3600))
        .disconnect_timeout(Duration::from_secs(60))
        .reconnect_period(Duration::from_millis(20))
        // Short, so that many a kill meets it.
        .store(FileStore::new(path).fsync(fsync).compact_at(20_000))
        .connect_in_background()
        .unwrap();
    if is_last {
        client.disconnect().await.unwrap();
        println!("done");
        return;
    }
    let mut out = std::io::stdout();
    for number in first.. {
        client
            .publish(format!("killed/{number}"), "x".repeat(number as usize % 100), qos(number))
            .await
            .unwrap();
        writeln!(out, "accepted {number}").unwrap();
        out.flush().unwrap();
    }
}

fn start(url: &str, path: &Path, first: u64, is_last: bool) -> std::process::Child {
    let last = if is_last { "last" } else { "more" };
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "publisher", "--nocapture"])
        .env(TASK, format!("{url} {} {first} {last}", path.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_it_loses_nothing_and_qos_2_comes_once() {
    let rounds: u64 = env::var(ROUNDS).map_or(20, |rounds| rounds.parse().unwrap());
    let mut config = Config::default();
    (config.outbox_messages, config.offline_messages) = (1_000_000, 1_000_000);
    let broker = Broker::builder().config(config).build();
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("mqtt://{}", listening.local_addr());
    let (subscriber, mut messages) = Client::builder(&url).client_id("subscriber").connect().await.unwrap();
    subscriber.subscribe("killed/#", QoS::ExactlyOnce).await.unwrap();
    let counting = tokio::spawn(async move {
        let mut arrived = HashMap::<u64, u32>::new();
        let mut latest = 0;
        while let Some(message) = messages.recv().await {
            if message.topic.as_str() == "killed/end" {
                break;
            }
            let number = message.topic.as_str()[7..].parse().unwrap();
            assert_eq!(message.payload.len(), number as usize % 100);
            *arrived.entry(number).or_default() += 1;
            if qos(number) == QoS::ExactlyOnce {
                assert!(number > latest, "QoS 2 once, and in order: {number} after {latest}");
                latest = number;
            }
        }
        arrived
    });

    let directory = env::temp_dir().join(format!("mqttkit-killed-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("session");
    let mut dice = Dice::new(7);
    let mut accepted = HashSet::new();
    for round in 1..=rounds {
        // From before its first word to well into its work.
        let time = Duration::from_millis(dice.within(0..300));
        let (url, path) = (url.clone(), path.clone());
        let killing = tokio::task::spawn_blocking(move || {
            let mut child = start(&url, &path, round * 1_000_000, false);
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let killer = std::thread::spawn(move || {
                std::thread::sleep(time);
                child.kill().unwrap();
                child.wait().unwrap()
            });
            let numbers: Vec<u64> = lines
                .map_while(Result::ok)
                .filter_map(|line| line.rsplit_once("accepted ")?.1.parse().ok())
                .collect();
            let status = killer.join().unwrap();
            assert!(status.code().is_none(), "it ended by itself: {status}");
            numbers
        });
        let numbers = soon("a round", killing).await.unwrap();
        // The last line may be cut: then it is another number, a shorter one.
        accepted.extend(numbers.into_iter().filter(|number| number / 1_000_000 == round));
    }
    let last = start(&url, &path, 0, true);
    let output =
        soon("the last one", tokio::task::spawn_blocking(|| last.wait_with_output())).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let snapshot = FileStore::new(&path).open(Progress::new()).unwrap();
    assert!(snapshot.is_empty(), "{snapshot:?}");
    subscriber.publish("killed/end", "", QoS::ExactlyOnce).await.unwrap().await.unwrap();
    let arrived = soon("the end", counting).await.unwrap();
    let lost: Vec<_> = accepted.iter().filter(|number| !arrived.contains_key(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let twice: Vec<_> =
        arrived.iter().filter(|&(&number, &times)| qos(number) == QoS::ExactlyOnce && times > 1).collect();
    assert!(twice.is_empty(), "twice: {twice:?}");
    let repeated = arrived.values().filter(|&&times| times > 1).count();
    println!(
        "{rounds} kills: {} accepted, {} arrived, {repeated} of QoS 1 more than once",
        accepted.len(),
        arrived.len()
    );
    assert!(accepted.len() as u64 > rounds, "it had time to do something");
    std::fs::remove_dir_all(directory).unwrap();
}
