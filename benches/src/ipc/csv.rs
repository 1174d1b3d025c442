//! Every sample as a line of a CSV file, for other tools, and back: a long run can be measured in slices.

use std::fmt::Write;

use super::{
    Result, contestants,
    results::{Cell, Results},
    sample::Sample,
};

/// What a line of a second of idleness has in place of the number of CPUs.
const IDLE: &str = "idle";

/// Every sample and every failure.
pub fn write(results: &Results) -> String {
    let mut text = String::from(
        "cpus,concurrency,size,contestant,mean_ns,p50_ns,p99_ns,cpu_ns,cold_ns,operations,faults,\
         probe_before_ns,probe_after_ns,failure\n",
    );
    for cell in &results.cells() {
        for contestant in results.contestants() {
            let Some(entry) = results.entry(*cell, contestant) else { continue };
            let cpus = if cell.one_cpu { 1 } else { 2 };
            let start = format!("{cpus},{},{},{contestant}", cell.concurrency, cell.size);
            for sample in &entry.samples {
                let _ = writeln!(text, "{start},{},", fields(sample));
            }
            if let Some(failure) = &entry.failure {
                let failure = failure.replace([',', '"', '\n'], ";");
                let _ = writeln!(text, "{start},,,,,,,,,,{failure}");
            }
        }
    }
    for contestant in results.contestants() {
        if let Some(cpu) = results.idle(contestant) {
            let sample = Sample { cpu, ..Sample::default() };
            let _ = writeln!(text, "{IDLE},1,4,{contestant},{},", fields(&sample));
        }
    }
    text
}

fn fields(sample: &Sample) -> String {
    let figures = sample.figures().map(|figure| figure.to_string());
    figures.join(",")
}

/// Adds what [`write()`] has written.
///
/// # Errors
///
/// It is something else.
pub fn read(text: &str, results: &mut Results) -> Result<()> {
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split(',').collect();
        let [cpus, concurrency, size, name, figures @ .., failure] = &words[..] else {
            return Err(format!("no sample: {line}").into());
        };
        let contestant = contestants::named(name)?.name();
        let sample = if failure.is_empty() {
            let figures: Vec<f64> = figures
                .iter()
                .map(|figure| figure.parse())
                .collect::<std::result::Result<_, _>>()?;
            Ok(Sample::from_figures(figures.try_into().map_err(|_| "figures are missing")?))
        } else {
            Err((*failure).to_string())
        };
        if *cpus == IDLE {
            results.add_idle(contestant, sample);
        } else {
            let cell = Cell {
                one_cpu: *cpus == "1",
                concurrency: concurrency.parse()?,
                size: size.parse()?,
            };
            results.add(cell, contestant, sample);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let cell = Cell { one_cpu: true, concurrency: 200, size: 64 };
        let mut results = Results::default();
        let sample = Sample { mean: 1.5, probes: [2.0, 3.0], ..Sample::default() };
        results.add(cell, "shmipc", Ok(sample));
        results.add(cell, "shmipc", Err("it panicked, at 7".into()));
        results.add_idle("shmipc", Ok(Sample { cpu: 5.0, ..Sample::default() }));
        let mut again = Results::default();
        read(&write(&results), &mut again).expect("it is right");
        assert_eq!(write(&again), write(&results));
        let entry = again.entry(cell, "shmipc").expect("it is there");
        assert_eq!((&entry.samples[..], again.idle("shmipc")), (&[sample][..], Some(5.0)));
        assert_eq!(entry.failure.as_deref(), Some("it panicked; at 7"));
        assert!(read("header\nnonsense", &mut again).is_err());
    }
}
