//! What a file holds after it was cut anywhere, damaged, made short, or wanted by two.

use super::*;
use crate::store::{StoreOp, StoredMessage};
use mqttkit_codec::{Message, PacketId, QoS, Str, TopicName};
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that ends with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mqttkit-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("session")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn queued(key: u64, payload: &str) -> StoreOp {
    let message = Message::new(TopicName::try_from("t").unwrap(), payload.to_owned());
    StoreOp::Queued(StoredMessage::new(key, message.with_qos(QoS::ExactlyOnce)))
}

/// Ops of all kinds, so many messages' worth.
fn ops(messages: u64) -> Vec<StoreOp> {
    let mut ops = vec![StoreOp::Session { client_id: Str::try_from("c").unwrap() }];
    for key in 1..=messages {
        let packet_id = PacketId::new(key as u16).unwrap();
        ops.push(queued(key, "some payload"));
        ops.push(StoreOp::Sent { key, packet_id });
        ops.push(StoreOp::IncomingAcknowledged(packet_id));
        if key % 3 > 0 {
            ops.push(StoreOp::Received { key, packet_id });
            ops.push(StoreOp::IncomingReleased(packet_id));
        }
        if key % 3 == 1 {
            ops.push(StoreOp::Completed { key });
        }
        if key % 7 == 0 {
            ops.push(StoreOp::SessionLost);
        }
    }
    ops
}

fn wait_for(progress: &Progress, op: u64) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while progress.position() < op {
        assert!(progress.error().is_none(), "{:?}", progress.error());
        assert!(std::time::Instant::now() < deadline, "op {op} is not durable");
        std::thread::yield_now();
    }
}

fn load(path: &Path) -> Result<Snapshot, StoreError> {
    let store = FileStore::new(path);
    let snapshot = store.open(Progress::new());
    store.close();
    snapshot
}

/// By its effect.
fn effect(snapshot: &Snapshot) -> Vec<StoreOp> {
    snapshot.to_ops().collect()
}

#[test]
fn cut_at_any_byte_it_holds_what_it_held_at_an_earlier_op() {
    let directory = Directory::new();
    let path = directory.file();
    let ops = ops(8);
    let store = FileStore::new(&path);
    let progress = Progress::new();
    let mut now = store.open(progress.clone()).unwrap();
    // After each op: how long the file is, and what it amounts to.
    let mut states = vec![(fs::metadata(&path).unwrap().len(), effect(&now))];
    for (op, number) in ops.into_iter().zip(1..) {
        now.apply(op.clone());
        store.submit(Batch { first: number, ops: vec![op] });
        wait_for(&progress, number);
        states.push((fs::metadata(&path).unwrap().len(), effect(&now)));
    }
    store.close();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, states.last().unwrap().0);
    let copy = directory.0.join("copy");
    let mut reached = 0;
    for length in 0..=bytes.len() {
        fs::write(&copy, &bytes[..length]).unwrap();
        let snapshot = load(&copy).unwrap();
        let whole = states.iter().rev().find(|(end, _)| *end <= length as u64);
        let (end, expected) = whole.cloned().unwrap_or_default();
        assert_eq!(effect(&snapshot), expected, "cut at {length}");
        assert_eq!(snapshot.cut(), length as u64 - end, "cut at {length}");
        // What was cut off is gone: it does not come back behind what is written next.
        let cut_to = fs::metadata(&copy).unwrap().len();
        assert_eq!(cut_to, end.max(log::TITLE.len() as u64));
        reached = reached.max(end);
    }
    assert_eq!(reached, bytes.len() as u64);
}

#[test]
fn a_byte_that_is_wrong_ends_it_there_and_another_file_is_refused() {
    let directory = Directory::new();
    let path = directory.file();
    let store = FileStore::new(&path);
    let progress = Progress::new();
    store.open(progress.clone()).unwrap();
    store.submit(Batch { first: 1, ops: ops(3) });
    wait_for(&progress, ops(3).len() as u64);
    store.close();
    let bytes = fs::read(&path).unwrap();
    let states: Vec<_> = (0..=ops(3).len())
        .map(|len| {
            let mut snapshot = Snapshot::new();
            ops(3).into_iter().take(len).for_each(|op| snapshot.apply(op));
            effect(&snapshot)
        })
        .collect();
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x10;
        fs::write(&path, wrong).unwrap();
        match load(&path) {
            Ok(snapshot) => {
                assert!(at >= log::TITLE.len() && snapshot.cut() > 0, "at {at}");
                assert!(states.contains(&effect(&snapshot)), "at {at}: {snapshot:?}");
            }
            Err(error) => {
                assert!(at < log::TITLE.len() && matches!(error, StoreError::Corrupt(_)), "at {at}: {error}");
            }
        }
    }
}

#[test]
fn it_is_made_short_and_goes_on_there() {
    let directory = Directory::new();
    let path = directory.file();
    let store = FileStore::new(&path).fsync(Fsync::Never).compact_at(10_000);
    let progress = Progress::new();
    store.open(progress.clone()).unwrap();
    let mut expected = Snapshot::new();
    let mut number = 0;
    let mut longest = 0;
    let mut submit = |op: StoreOp| {
        expected.apply(op.clone());
        number += 1;
        store.submit(Batch { first: number, ops: vec![op] });
        number
    };
    submit(StoreOp::Session { client_id: Str::try_from("c").unwrap() });
    submit(queued(1, "stays"));
    for key in 2..5_000 {
        submit(queued(key, "goes"));
        let last = submit(StoreOp::Completed { key });
        wait_for(&progress, last);
        longest = longest.max(fs::metadata(&path).unwrap().len());
    }
    store.close();
    assert!(longest < 20_000, "{longest} bytes");
    assert_eq!(effect(&load(&path).unwrap()), effect(&expected));
    // What was left of a log that was being written when the power failed does no harm.
    fs::write(directory.0.join("session.new"), "half a file").unwrap();
    assert_eq!(load(&path).unwrap().len(), 1);
}

#[test]
fn a_long_file_without_history_is_not_written_again_and_again() {
    let directory = Directory::new();
    let path = directory.file();
    let store = FileStore::new(&path).fsync(Fsync::Every(Duration::from_millis(1))).compact_at(1_000);
    let progress = Progress::new();
    store.open(progress.clone()).unwrap();
    for key in 1..=1_000 {
        store.submit(Batch { first: key, ops: vec![queued(key, "stays")] });
    }
    wait_for(&progress, 1_000);
    store.close();
    assert_eq!(load(&path).unwrap().len(), 1_000);
}

#[test]
fn one_at_a_time_has_it() {
    let directory = Directory::new();
    let (one, two) = (FileStore::new(directory.file()), FileStore::new(directory.file()));
    one.open(Progress::new()).unwrap();
    assert_eq!(one.open(Progress::new()).unwrap_err(), StoreError::InUse);
    assert_eq!(two.open(Progress::new()).unwrap_err(), StoreError::InUse);
    one.close();
    two.open(Progress::new()).unwrap();
    drop(two);
    one.open(Progress::new()).unwrap();
}

/// The device that is always full takes the place of a disk that is.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let directory = Directory::new();
    let path = directory.file();
    let (mut writer, _) = Writer::open(&path, Fsync::Always, COMPACT_AT).unwrap();
    writer.file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (batches, receiver) = channel();
    batches.send(Batch { first: 1, ops: vec![queued(1, "x")] }).unwrap();
    let progress = Progress::new();
    writer.run(&receiver, &progress);
    assert!(matches!(progress.error(), Some(StoreError::Io { .. })), "{:?}", progress.error());
    assert_eq!(progress.position(), 0);
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let error = load(Path::new("/nowhere/at/all/session")).unwrap_err();
    assert!(matches!(error, StoreError::Io { kind: std::io::ErrorKind::NotFound, .. }), "{error}");
}
