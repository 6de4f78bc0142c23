//! What a run found: a table for people, JSON for programs.

use serde_json::{Map, Value, json};

use crate::meter::{Sample, Usage};
use crate::target::Target;

#[derive(Debug)]
pub(crate) struct Report {
    scenario: &'static str,
    settings: Map<String, Value>,
    figures: Vec<Figure>,
}

#[derive(Debug)]
struct Figure {
    key: &'static str,
    label: &'static str,
    value: Value,
    digits: usize,
}

impl Report {
    pub(crate) fn new(scenario: &'static str, target: &Target) -> Self {
        let mut report = Self { scenario, settings: Map::new(), figures: Vec::new() };
        report.setting("url", target.endpoint.to_string());
        report.setting("version", format!("{:?}", target.version));
        report
    }

    /// What the run was told.
    pub(crate) fn setting(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.insert(key.to_owned(), value.into());
    }

    /// Something counted.
    pub(crate) fn count(&mut self, key: &'static str, label: &'static str, value: u64) {
        self.figures.push(Figure { key, label, value: value.into(), digits: 0 });
    }

    /// Something measured, shown with so many digits behind the point.
    pub(crate) fn measure(&mut self, key: &'static str, label: &'static str, value: f64, digits: usize) {
        self.figures.push(Figure { key, label, value: value.into(), digits });
    }

    /// What the broker and this program used for each delivered message.
    pub(crate) fn per_message(
        &mut self,
        broker: Option<(Sample, Sample)>,
        own: Option<(Sample, Sample)>,
        messages: u64,
    ) {
        if let Some((first, last)) = broker {
            let usage = Usage::between(&first, &last);
            if let Some(micros) = usage.micros_per(messages) {
                self.measure("cpu_us_per_message", "broker: CPU µs per message", micros, 3);
            }
            let cores = usage.cpu.as_secs_f64() / usage.wall.as_secs_f64();
            self.measure("broker_cores", "broker: cores busy", cores, 2);
            self.measure("broker_mib", "broker: resident MiB", last.memory as f64 / f64::from(1 << 20), 1);
        }
        if let Some((first, last)) = own {
            let usage = Usage::between(&first, &last);
            if let Some(micros) = usage.micros_per(messages) {
                self.measure("generator_us_per_message", "generator: CPU µs per message", micros, 3);
            }
        }
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            let figures: Map<_, _> =
                self.figures.iter().map(|figure| (figure.key.to_owned(), figure.value.clone())).collect();
            println!(
                "{}",
                json!({ "scenario": self.scenario, "settings": self.settings, "figures": figures })
            );
            return;
        }
        println!("{}", self.scenario);
        for (key, value) in &self.settings {
            println!("  {key:<32} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        println!();
        for Figure { label, value, digits, .. } in &self.figures {
            let text = value.as_u64().map_or_else(
                || format!("{:.digits$}", value.as_f64().unwrap_or_default()),
                |count| count.to_string(),
            );
            println!("  {label:<32} {:>16}", with_commas(&text));
        }
    }
}

/// `1234567.89` as `1,234,567.89`.
fn with_commas(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    #[test]
    fn commas_stand_between_thousands() {
        for (number, text) in [
            ("1", "1"),
            ("123", "123"),
            ("1234567.89", "1,234,567.89"),
            ("-1000", "-1,000"),
            ("-100", "-100"),
        ] {
            assert_eq!(super::with_commas(number), text);
        }
    }
}
