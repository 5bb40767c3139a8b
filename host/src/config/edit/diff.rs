//! Which items of a list stay, which go and which come.

use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};

/// Old items that make place for new ones; either range may be empty. Items between hunks stay.
#[derive(Debug, PartialEq)]
pub(super) struct Hunk {
    pub removed: Range<usize>,
    pub added: Range<usize>,
}

/// The hunks that turn `old` into `new`, in order.
pub(super) fn hunks(old: &[Value], new: &[Value]) -> Vec<Hunk> {
    let mut hunks = Vec::new();
    let (mut i, mut j) = (0, 0);
    for (kept_old, kept_new) in kept(old, new).into_iter().chain([(old.len(), new.len())]) {
        if i < kept_old || j < kept_new {
            hunks.push(Hunk { removed: i..kept_old, added: j..kept_new });
        }
        (i, j) = (kept_old + 1, kept_new + 1);
    }
    hunks
}

/// The pairs of positions of items that stay, both rising.
fn kept(old: &[Value], new: &[Value]) -> Vec<(usize, usize)> {
    let same = |(a, b): &(&Value, &Value)| a == b;
    let prefix = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[prefix..], &new[prefix..]);
    let suffix = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(same).count();
    let old_end = old.len() - suffix;
    let new_end = new.len() - suffix;

    let mut places: HashMap<&Value, VecDeque<usize>> = HashMap::new();
    for (j, value) in new.iter().enumerate().take(new_end).skip(prefix) {
        places.entry(value).or_default().push_back(j);
    }
    let pairs: Vec<_> = (prefix..old_end)
        .filter_map(|i| Some((i, places.get_mut(&old[i])?.pop_front()?)))
        .collect();

    let head = (0..prefix).map(|i| (i, i));
    let tail = (0..suffix).map(|i| (old_end + i, new_end + i));
    head.chain(longest_rise(&pairs)).chain(tail).collect()
}

/// The longest subsequence of `pairs` whose second parts rise; the first parts rise already.
fn longest_rise(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // tops[n]: the pair with the smallest end among the rises of length n + 1.
    let mut tops: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, j)) in pairs.iter().enumerate() {
        let length = tops.partition_point(|&top| pairs[top].1 < *j);
        before.push(length.checked_sub(1).map(|n| tops[n]));
        match tops.get_mut(length) {
            Some(top) => *top = at,
            None => tops.push(at),
        }
    }
    let mut rise: Vec<_> =
        std::iter::successors(tops.last().copied(), |&at| before[at]).map(|at| pairs[at]).collect();
    rise.reverse();
    rise
}
