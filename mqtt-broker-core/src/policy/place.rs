//! Where a client's topics really are: rewritten by the policy, below its mount point.

use mqttkit_codec::{Str, TopicFilter, TopicName};

/// A topic below a mount point, which ends with `/`. `None` if that is too long.
pub(crate) fn mounted_topic(mount_point: &Str, topic: &TopicName) -> Option<TopicName> {
    TopicName::try_from(format!("{mount_point}{}", topic.as_str())).ok()
}

/// A filter below a mount point; a shared one keeps its group.
pub(crate) fn mounted_filter(mount_point: &Str, filter: &TopicFilter) -> Option<TopicFilter> {
    let pattern = filter.pattern();
    let text = match filter.share_name() {
        Some(share) => format!("$share/{share}/{mount_point}{pattern}"),
        None => format!("{mount_point}{pattern}"),
    };
    TopicFilter::try_from(text).ok()
}

/// A topic as a client below this mount point knows it; `None` for one that is not below it.
pub(crate) fn unmounted_topic(mount_point: &Str, topic: &TopicName) -> Option<TopicName> {
    let inner = topic.as_str().strip_prefix(mount_point.as_str())?;
    TopicName::try_from(inner.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_filters_go_below_the_mount_point_and_come_back() {
        let mount = Str::try_from("t/7/").unwrap();
        let topic = TopicName::try_from("a/b").unwrap();
        let below = mounted_topic(&mount, &topic).unwrap();
        assert_eq!(below.as_str(), "t/7/a/b");
        assert_eq!(unmounted_topic(&mount, &below), Some(topic.clone()));
        assert_eq!(unmounted_topic(&mount, &topic), None);
        assert_eq!(unmounted_topic(&mount, &TopicName::try_from("t/7/").unwrap()), None, "no empty topic");
        for (filter, below) in [("#", "t/7/#"), ("/+", "t/7//+"), ("$share/g/a/#", "$share/g/t/7/a/#")] {
            let filter = TopicFilter::try_from(filter).unwrap();
            assert_eq!(mounted_filter(&mount, &filter).unwrap().as_str(), below);
        }
        let long = TopicName::try_from("x".repeat(65_535)).unwrap();
        assert_eq!(mounted_topic(&mount, &long), None);
    }
}
