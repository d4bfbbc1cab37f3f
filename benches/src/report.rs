//! The table at a benchmark's end.

use std::fmt;
use std::time::Duration;

use crate::Cost;

/// Rounds by contestant; all are measured against the first one.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    costs: Vec<Cost>,
    /// What it made, in bytes.
    size: u64,
}

impl Report {
    pub fn add(&mut self, name: &str, cost: Cost, size: u64) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.costs.push(cost),
            None => self.rows.push(Row { name: name.to_owned(), costs: vec![cost], size }),
        }
    }
}

impl Row {
    /// Other work on the machine only ever adds, but to all rounds alike the
    /// middle one is fairer than the luckiest.
    fn median<T: Ord + Copy>(&self, what: impl Fn(&Cost) -> T) -> T {
        let mut values: Vec<T> = self.costs.iter().map(what).collect();
        values.sort_unstable();
        values[values.len() / 2]
    }

    fn least(&self, what: impl Fn(&Cost) -> Duration) -> Duration {
        self.costs.iter().map(what).min().unwrap_or_default()
    }
}

/// To a tenth.
fn mib(bytes: u64) -> String {
    let tenths = (bytes * 10) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(base) = self.rows.first() else { return Ok(()) };
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(1e-6);
        writeln!(f, "medians of {} rounds; ratios are to `{}`", base.costs.len(), base.name)?;
        writeln!(
            f,
            "{:<28} {:>8} {:>6} {:>8} {:>8} {:>6} {:>9} {:>10}",
            "", "wall s", "ratio", "least s", "cpu s", "ratio", "peak MiB", "size MiB"
        )?;
        for row in &self.rows {
            let (wall, cpu) = (row.median(|cost| cost.wall), row.median(|cost| cost.cpu));
            let (base_wall, base_cpu) = (base.median(|cost| cost.wall), base.median(|cost| cost.cpu));
            writeln!(
                f,
                "{:<28} {:>8.2} {:>6.2} {:>8.2} {:>8.2} {:>6.2} {:>9} {:>10}",
                row.name,
                wall.as_secs_f64(),
                ratio(wall, base_wall),
                row.least(|cost| cost.wall).as_secs_f64(),
                cpu.as_secs_f64(),
                ratio(cpu, base_cpu),
                mib(row.median(|cost| cost.peak_rss)),
                mib(row.size),
            )?;
        }
        Ok(())
    }
}
