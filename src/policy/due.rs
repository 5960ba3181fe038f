//! When an answer will change by itself. Invariant: between the moment of the question and the one given here, asking again with
//! nothing changed but the time gives the same outcome; a moment that cannot be evaluated changes nothing.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, PolicyId};

use super::context::Names;
use super::facts::Clocks;
use super::input::Input;
use super::mentions::TimeFact;
use super::verdict::PolicyInForce;
use crate::domain::candidate::PolicyLevel;
use crate::domain::time::Time;

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How far ahead rules are tried from which the moments of change cannot be read.
const DAYS_AHEAD: i64 = 400;
const HOURS_AHEAD: i64 = 48;
/// Moments tried for one answer. Past them the last one tried is when to look again.
const TRIES_LIMIT: usize = 2_000;
/// Moments tried for when something opens, each a whole decision; past them nobody is told of one.
const OPENING_TRIES_LIMIT: usize = 100;

/// The rules that ask about time and fire at some moment.
type Fired = BTreeSet<(PolicyLevel, PolicyId)>;

/// A question that can be asked of other moments.
pub(super) struct Outlook<'a> {
    pub(super) names: &'a Names,
    pub(super) policies: &'a [PolicyInForce],
    pub(super) input: Input,
    pub(super) clocks: Clocks,
    pub(super) asked_at: Time,
}

impl Outlook<'_> {
    /// The first moment at which other rules fire than now; `None` if that never happens. Where there are too many moments to
    /// try, or the rules do not say which they are, the last one tried, at which nothing may have changed yet.
    pub(super) fn next_change(mut self) -> Option<Time> {
        let moments = self.moments();
        let last_is_certain = moments.len() <= TRIES_LIMIT && !self.is_irregular();
        if moments.is_empty() {
            return None;
        }
        let now = self.fired_at(self.asked_at)?;
        let mut before = self.asked_at;
        for moment in moments.into_iter().take(TRIES_LIMIT) {
            if self.differs(moment, &now) {
                return Some(self.narrow(before, moment, &now));
            }
            before = moment;
        }
        if last_is_certain { None } else { Some(before) }
    }

    /// The first of the moments that the rules name at which `holds` is true of the question; `None` where they do not name them.
    pub(super) fn first_moment(&mut self, holds: impl Fn(&Input) -> bool) -> Option<Time> {
        if self.is_irregular() {
            return None;
        }
        self.moments().into_iter().take(OPENING_TRIES_LIMIT).find(|moment| {
            self.input.move_to(*moment, &self.clocks);
            holds(&self.input)
        })
    }

    /// The first of two moments is as now, the second is not: the earliest moment in between that borders on one as now.
    fn narrow(&mut self, mut before: Time, mut after: Time, now: &Fired) -> Time {
        if !self.is_irregular() {
            // Nothing happens between the moments that regular rules name.
            return after;
        }
        while after.unix_ms() - before.unix_ms() > 1 {
            let middle = before.plus_ms((after.unix_ms() - before.unix_ms()) / 2);
            if self.differs(middle, now) {
                after = middle;
            } else {
                before = middle;
            }
        }
        after
    }

    fn is_irregular(&self) -> bool {
        self.policies.iter().any(|(_, document)| document.all_mentions().iter().any(super::Mentions::is_irregular_in_time))
    }

    fn differs(&mut self, moment: Time, now: &Fired) -> bool {
        self.fired_at(moment).is_some_and(|fired| fired != *now)
    }

    /// `None` when the engine cannot say.
    fn fired_at(&mut self, moment: Time) -> Option<Fired> {
        self.input.move_to(moment, &self.clocks);
        let (request, entities) = self.names.ask(&self.input, None).ok()?;
        let mut fired = Fired::new();
        for (level, document) in self.policies {
            let response = Authorizer::new().is_authorized(&request, document.timed(), &entities);
            if response.diagnostics().errors().next().is_some() {
                return None;
            }
            fired.extend(response.diagnostics().reason().map(|id| (*level, id.clone())));
        }
        Some(fired)
    }

    /// Every later moment at which a rule may change its mind, in order.
    fn moments(&self) -> BTreeSet<Time> {
        let mut moments = BTreeSet::new();
        for mentions in self.policies.iter().flat_map(|(_, document)| document.all_mentions()) {
            for (fact, number) in mentions.comparisons() {
                // A comparison with n changes when n is reached and when it is passed.
                moments.extend([Some(*number), number.checked_add(1)].into_iter().flatten().filter_map(|age| self.when(*fact, age)));
            }
        }
        if self.is_irregular() {
            moments.extend((1..=HOURS_AHEAD).map(|hours| self.asked_at.plus_ms(hours * HOUR_MS)));
            for origin in [self.clocks.published_at, self.clocks.first_seen_at] {
                let days = self.asked_at.seconds_since(origin) * SECOND_MS / DAY_MS;
                moments.extend((1..=DAYS_AHEAD).filter_map(|ahead| later(origin, days.checked_add(ahead)?, DAY_MS)));
            }
        }
        moments.split_off(&self.asked_at.plus_ms(1))
    }

    /// When `fact` reaches `age`; `None` past the end of time.
    fn when(&self, fact: TimeFact, age: i64) -> Option<Time> {
        match fact {
            TimeFact::AgeSeconds => later(self.clocks.published_at, age, SECOND_MS),
            TimeFact::AgeDays => later(self.clocks.published_at, age, DAY_MS),
            TimeFact::FirstSeenAgeSeconds => later(self.clocks.first_seen_at, age, SECOND_MS),
            TimeFact::FirstSeenAgeDays => later(self.clocks.first_seen_at, age, DAY_MS),
        }
    }
}

/// `count` units after `origin`, if there is such a moment.
fn later(origin: Time, count: i64, unit_ms: i64) -> Option<Time> {
    let at_ms = origin.unix_ms().checked_add(count.checked_mul(unit_ms)?)?;
    Some(Time::from_unix_ms(at_ms)).filter(|moment| moment.unix_ms() == at_ms)
}
