//! Files, passwords and the work behind them.

use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use mqttkit_codec::{Connect, Str};
use mqttkit_ws_transport::{PeerInfo, Scheme};

use super::*;

/// A hash that is made at once.
fn cheap(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

fn connect(user: Option<&str>, password: Option<&str>) -> Connect {
    let mut connect = Connect::new(mqttkit_codec::Version::V5, "c".try_into().unwrap());
    connect.user_name = user.map(|user| Str::try_from(user).unwrap());
    connect.password = password.map(|password| password.try_into().unwrap());
    connect
}

/// Asks, and does the work where it is.
fn ask(users: &PasswordFile, user: Option<&str>, password: Option<&str>) -> Result<Admission, Refusal> {
    let (peer, connect) = (PeerInfo::new(Scheme::Tcp, None), connect(user, password));
    let mut asked = users.authenticate(ConnectRequest::new(&peer, &connect));
    match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the work is done at once here"),
    }
}

#[test]
fn the_right_password_and_nothing_else_lets_in() {
    let text = format!("# users\n\nalice:{}\nbob:{}\n", cheap("secret"), cheap(""));
    let users = PasswordFile::parse_with(&text, |job| job()).unwrap();
    assert_eq!(ask(&users, Some("alice"), Some("secret")).unwrap().identity().name(), Some("alice"));
    assert!(ask(&users, Some("bob"), Some("")).is_ok());
    let wrong = ask(&users, Some("alice"), Some("Secret")).unwrap_err();
    assert_eq!(wrong, Refusal::new(ReasonCode::BadUserNameOrPassword));
    for (user, password) in [(Some("eve"), Some("secret")), (Some("alice"), None), (None, Some("secret"))] {
        assert_eq!(ask(&users, user, password).unwrap_err(), Refusal::unknown());
    }
}

#[test]
fn an_unknown_user_costs_the_same_work() {
    let jobs = Arc::new(Mutex::new(0));
    let count = Arc::clone(&jobs);
    let users = PasswordFile::parse_with(&format!("alice:{}\n", cheap("secret")), move |job| {
        *count.lock().unwrap() += 1;
        job();
    });
    let users = users.unwrap();
    let _ = ask(&users, Some("alice"), Some("wrong"));
    let _ = ask(&users, Some("eve"), Some("wrong"));
    assert_eq!(*jobs.lock().unwrap(), 2);
    assert!(users.users().verify("alice", b"secret"));
    assert!(!users.users().verify("eve", b"secret"), "the decoy lets nobody in");
    assert!(!Users::parse("").unwrap().verify("eve", b""));
    assert!(Users::parse("").unwrap().has_decoy(), "a file without users has one too");
}

#[test]
fn a_mistake_is_named_with_its_line() {
    let hash = cheap("x");
    let twice = format!("alice:{hash}\nalice:{hash}\n");
    assert!(matches!(Users::parse("#\nalice\n"), Err(PasswordError::Line { line: 2 })));
    assert!(matches!(Users::parse("alice:secret"), Err(PasswordError::Hash { line: 1, .. })));
    assert!(matches!(Users::parse(&twice), Err(PasswordError::Twice { line: 2, .. })));
    assert!(matches!(PasswordFile::open_with("/no/such/file", |_| ()), Err(PasswordError::Io { .. })));
}

#[test]
fn setting_a_password_changes_one_line() {
    let text = set_password("# kept\nbob:x\n", "alice", b"one").unwrap();
    let again = set_password(&text, "alice", b"two").unwrap();
    assert!(again.starts_with("# kept\nbob:x\nalice:$argon2id$"));
    assert_eq!(again.lines().count(), 3);
    let users = Users::parse(again.strip_prefix("# kept\nbob:x\n").unwrap()).unwrap();
    assert!(users.verify("alice", b"two") && !users.verify("alice", b"one"));
    for user in ["", "#a", "a:b", "a\nb"] {
        assert!(matches!(set_password("", user, b"x"), Err(PasswordError::Name { .. })));
    }
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_is_not_taken() {
    let path = std::env::temp_dir().join(format!("mqttkit-users-{}", std::process::id()));
    std::fs::write(&path, format!("alice:{}\n", cheap("one"))).unwrap();
    let users = PasswordFile::open_with(&path, |job| job()).unwrap();
    std::fs::write(&path, format!("alice:{}\n", cheap("two"))).unwrap();
    assert!(ask(&users, Some("alice"), Some("one")).is_ok());
    users.reload().unwrap();
    assert!(ask(&users, Some("alice"), Some("two")).is_ok());
    std::fs::write(&path, "alice").unwrap();
    assert!(users.reload().is_err());
    assert!(ask(&users, Some("alice"), Some("two")).is_ok());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn work_waits_in_a_bounded_queue_and_is_left_undone_when_nobody_waits() {
    let started: Arc<Mutex<Vec<Job>>> = Arc::default();
    let jobs = Arc::clone(&started);
    let hashing = Hashing::new(move |job| jobs.lock().unwrap().push(job));
    let done = Arc::new(Mutex::new(0));
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiting = Vec::new();
    let work = || {
        let done = Arc::clone(&done);
        move || {
            *done.lock().unwrap() += 1;
            true
        }
    };
    loop {
        let mut asked = Box::pin(hashing.run(work()));
        match asked.as_mut().poll(&mut cx) {
            Poll::Pending => waiting.push(asked),
            Poll::Ready(answer) => break assert_eq!(answer, None),
        }
    }
    assert_eq!(waiting.len(), 2 + 1024, "two at work, the others in the queue");
    assert_eq!(started.lock().unwrap().len(), 2);
    let mut first = waiting.remove(0);
    waiting.truncate(1);
    let jobs: Vec<Job> = started.lock().unwrap().drain(..).collect();
    for job in jobs {
        job();
    }
    assert_eq!(first.as_mut().poll(&mut cx), Poll::Ready(Some(true)));
    assert_eq!(*done.lock().unwrap(), 2, "whoever left is not worked for");
    let mut next = pin!(hashing.run(work()));
    assert!(next.as_mut().poll(&mut cx).is_pending());
    assert_eq!(started.lock().unwrap().len(), 1, "the workers are free again");
}
