//! What evering has to reach, against the others of the same run.

use super::results::{Cell, Results};

/// Whom the targets are about: the contestant that does what the others do, in two processes.
pub const OURS: &str = "evering (processes)";

/// Those that no target compares with: ourselves, and what does not do all that the others do.
const NOT_RIVALS: [&str; 3] = [OURS, "evering (threads)", "limit (memcpy)"];

/// CPU nanoseconds of an idle second that pass for none.
const IDLE: f64 = 1e6;

/// A target and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What is compared.
    pub what: String,
    /// With whom.
    pub rival: String,
    /// Our figure over theirs; for idleness, the share of a CPU. None if either is missing.
    pub ratio: Option<f64>,
    /// The highest that passes.
    pub limit: f64,
}

impl Verdict {
    /// `pass`, `MISS`, or that there is no figure.
    pub fn word(&self) -> &'static str {
        match self.ratio {
            Some(ratio) if ratio <= self.limit => "pass",
            Some(_) => "MISS",
            None => "no figure",
        }
    }
}

const UDS: [&str; 3] = ["tokio + UDS", "tokio-uring + UDS", "monoio + UDS"];

/// All targets that this run has measured something for.
pub fn verdicts(results: &Results) -> Vec<Verdict> {
    let cell = |size, concurrency, one_cpu| Cell { one_cpu, concurrency, size };
    let (one, many, alone) = (cell(4, 1, false), cell(4, 200, false), cell(4, 200, true));
    let mut verdicts = Vec::new();
    let mut add = |cell: Cell, rival: &str, limit: f64| {
        if results.cells().contains(&cell) {
            let ratio =
                results.mean(cell, OURS).and_then(|ours| Some(ours / results.mean(cell, rival)?));
            verdicts.push(Verdict { what: cell.to_string(), rival: rival.into(), ratio, limit });
        }
    };
    add(one, "iceoryx2", 0.45);
    add(one, "shmipc", 0.02);
    UDS.iter().for_each(|rival| add(one, rival, 0.02));
    add(many, "shmipc", 0.19);
    UDS.iter().for_each(|rival| add(many, rival, 0.02));
    add(cell(4 << 10, 200, false), "shmipc", 0.4);
    add(cell(64 << 10, 200, false), "shmipc", 0.4);
    for size in [1 << 20, 4 << 20] {
        let cell = cell(size, 200, false);
        let best = results
            .contestants()
            .iter()
            .filter(|name| !NOT_RIVALS.contains(name))
            .filter_map(|name| Some((results.mean(cell, name)?, *name)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, name)) = best {
            add(cell, name, 0.6);
        }
    }
    add(alone, "shmipc", 1.0);
    if results.contestants().contains(&OURS) {
        verdicts.push(Verdict {
            what: "CPU of an idle second".into(),
            rival: "none".into(),
            ratio: results.idle(OURS).map(|nanoseconds| nanoseconds / 1e9),
            limit: IDLE / 1e9,
        });
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::{super::sample::Sample, *};

    #[test]
    fn a_missing_figure_is_no_pass() {
        let cell = Cell { one_cpu: false, concurrency: 1, size: 4 };
        let mut results = Results::default();
        let sample = |mean| Ok(Sample { mean, ..Sample::default() });
        results.add(cell, OURS, sample(10.0));
        results.add(cell, "shmipc", sample(1000.0));
        results.add(cell, "iceoryx2", sample(20.0));
        let words: Vec<_> =
            verdicts(&results).iter().map(|v| (v.rival.clone(), v.word())).collect();
        assert_eq!(words[0], ("iceoryx2".into(), "MISS"));
        assert_eq!(words[1], ("shmipc".into(), "pass"));
        assert_eq!(words[2], ("tokio + UDS".into(), "no figure"));
        assert_eq!(words.last(), Some(&("none".into(), "no figure")));
    }
}
