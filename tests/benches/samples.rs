//! Rounds that take turns, medians and spreads.

use std::time::{Duration, Instant};

use anyhow::Result;

/// One value a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// What `measure` gives in so many rounds, after one that does not count.
    pub(crate) fn take(rounds: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<Self> {
        measure()?;
        Ok(Self((0..rounds).map(|_| measure()).collect::<Result<_>>()?))
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// Between which values eight of ten lie.
    pub(crate) fn spread(&self) -> (f64, f64) {
        (self.at(0.1), self.at(0.9))
    }

    /// Round by round, so that what slows both down does not count.
    pub(crate) fn ratio_to(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }

    fn at(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = part * sorted.len().saturating_sub(1) as f64;
        sorted.get(place.round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// Measures several things in turn, so many rounds, after one that does not count. Whose turn comes
/// first changes from round to round.
pub(crate) fn in_turn<const N: usize>(
    rounds: usize,
    measures: [&mut dyn FnMut() -> Result<f64>; N],
) -> Result<[Samples; N]> {
    let mut samples = [const { Samples(Vec::new()) }; N];
    for round in 0..=rounds {
        for place in 0..N {
            let whose = (place + round) % N;
            let value = measures[whose]()?;
            if round > 0 {
                samples[whose].push(value);
            }
        }
    }
    Ok(samples)
}

/// Seconds that `work` takes.
pub(crate) fn seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

/// How often a second `work` is done, tried for so long.
pub(crate) fn rate(time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    let mut times = 0;
    while started.elapsed() < time {
        work()?;
        times += 1;
    }
    Ok(f64::from(times) / started.elapsed().as_secs_f64())
}
