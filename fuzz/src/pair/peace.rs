//! The end of a script: both sides resume and finish in peace, and nothing may be left.

use mqttkit_codec::QoS;

use super::model::Way;
use super::{Pair, TOPICS};

impl Pair {
    /// Resumes, acknowledges everything, and looks at what has arrived.
    pub(super) fn finish(&mut self) {
        self.peace = true;
        // The second time shows what the first may have left behind.
        for _ in 0..2 {
            self.reconnect(7);
            self.settle();
        }
        assert!(self.client.is_connected());
        for way in [Way::Up, Way::Down] {
            self.publish(way, QoS::ExactlyOnce, TOPICS[0], 0);
            self.publish(way, QoS::AtMostOnce, TOPICS[1], 0);
        }
        self.settle();
        let quota = |way| self.limits.quota(way, self.version);
        assert_eq!(self.client.send_quota(), quota(Way::Up), "quota of the client");
        assert_eq!(self.server.send_quota(), quota(Way::Down), "quota of the server");
        for (direction, session) in
            [(&self.up, self.client.take_session()), (&self.down, self.server.take_session())]
        {
            direction.flow.check_complete();
            assert!(session.is_empty() && session.in_flight() == 0, "{:?} is left", session.export());
        }
    }

    /// Delivers until nothing moves; whatever was not acknowledged is.
    fn settle(&mut self) {
        loop {
            self.collect();
            let idle = self.up.wire.is_empty() && self.down.wire.is_empty();
            let held = [Way::Up, Way::Down].map(|way| self.direction_len(way));
            if idle && held == [0, 0] {
                return;
            }
            self.deliver(Way::Up, usize::MAX);
            self.deliver(Way::Down, usize::MAX);
            for way in [Way::Up, Way::Down] {
                while self.direction_len(way) > 0 && self.has_session(way) {
                    self.acknowledge(way, 0, false);
                }
            }
            self.poll();
        }
    }
}
