//! Who is there: sessions and their clients, a part at a time.

use mqttkit_codec::Instant;

use super::State;
use crate::stats::ClientInfo;

impl State {
    /// Appends the sessions in `count` places from `start` on. Returns where to go on, if there is more.
    pub(crate) fn list(
        &self,
        now: Instant,
        start: usize,
        count: usize,
        list: &mut Vec<ClientInfo>,
    ) -> Option<usize> {
        let end = start.saturating_add(count);
        for slot in start..end.min(self.sessions.end()) {
            let Some(session) = self.sessions.get(slot) else { continue };
            list.push(ClientInfo {
                client_id: session.client_id.clone(),
                connected_for: session.presence.link().map(|link| now - link.since),
                client: session.presence.link().and_then(|link| link.client.clone()),
                subscriptions: session.subscriptions.len(),
                waiting: session.outbox.len(),
            });
        }
        (end < self.sessions.end()).then_some(end)
    }
}
