//! For tests: whether the state and what its store amounts to are the same.

use std::collections::BTreeSet;

use mqttkit_codec::{Incoming, Outgoing, QoS, TopicFilter};

use super::State;
use crate::store::{InFlightRecord, Snapshot};

impl State {
    /// Panics if the state, and a snapshot that has all its ops, differ.
    pub(crate) fn agrees_with(&self, snapshot: &Snapshot) {
        let recorded = self.sessions.iter().filter(|(_, session)| session.recorded);
        assert_eq!(recorded.count(), snapshot.sessions.len());
        for (_, session) in self.sessions.iter().filter(|(_, session)| session.recorded) {
            let name = &session.client_id;
            let kept = &snapshot.sessions[name];
            assert_eq!(kept.record.left.is_none(), session.is_online(), "{name}");
            assert_eq!(kept.record.will.as_ref(), session.will.as_deref(), "{name}");
            assert_eq!(kept.record.mount_point.as_ref(), session.mount_point.as_deref());
            if !session.kept {
                assert!(kept.subscriptions.is_empty() && kept.queue.is_empty());
                continue;
            }
            let filters: BTreeSet<&TopicFilter> = session.subscriptions.iter().collect();
            assert_eq!(kept.subscriptions.keys().collect::<BTreeSet<_>>(), filters, "{name}");
            let waiting: Vec<u64> =
                session.outbox.iter().filter(|it| it.qos > QoS::AtMostOnce).map(|it| it.number).collect();
            assert_eq!(kept.queue.keys().copied().collect::<Vec<_>>(), waiting, "{name}");
            let cursors = kept.subscriptions.values().filter(|subscription| subscription.cursor.is_some());
            assert_eq!(cursors.count(), session.cursors.len(), "{name}");
            if !session.is_online() {
                let export = session.presence.left().map(|left| left.in_flight.export()).unwrap_or_default();
                let in_flight = |it: &(_, InFlightRecord)| (it.0, matches!(it.1, InFlightRecord::Released));
                let stored: BTreeSet<_> = kept.in_flight.iter().map(in_flight).collect();
                let known = |id, released| stored.contains(&(id, released));
                for (id, outgoing) in &export.outgoing {
                    match outgoing {
                        // The note that the client has it may be ahead of the session, whose connection was cut.
                        Outgoing::Published(_) => {
                            assert!(known(*id, false) || known(*id, true), "{name} {id}");
                        }
                        _ => assert!(known(*id, true), "{name} {id}"),
                    }
                }
                assert_eq!(stored.len(), export.outgoing.len(), "{name}");
                for id in &kept.received {
                    assert!(export.incoming.contains(&(*id, Incoming::Acknowledged)), "{name} {id}");
                }
            }
        }
        let retained: Vec<_> =
            self.retained.topics().filter(|topic| !topic.as_str().starts_with("$SYS/")).collect();
        assert_eq!(retained, snapshot.retained.keys().collect::<Vec<_>>());
        let mut again = Snapshot::new();
        snapshot.to_ops().for_each(|op| again.apply(&op));
        assert_eq!(&again, snapshot, "the ops that make it make it");
    }
}
