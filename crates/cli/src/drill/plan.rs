//! When the runtime is killed: moments that are spread over the whole run, some of them exactly between an intent and its
//! outcome.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use crate::demo::Service;

/// The longest that a life lasts which is ended by the clock.
const LIFE: Duration = Duration::from_millis(150);
/// The most facts that are waited for in a life that is ended by what it wrote.
const FACTS: u64 = 6;

/// Where in the run a life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Until a human has been asked; nobody answers yet.
    Before,
    /// The payment service is asked.
    Payment,
    /// The mail service is asked.
    Mail,
    /// The rest.
    After,
}

/// What a service has done when the runtime is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// The request has come, and nothing was done about it.
    Asked,
    /// It was done, and the answer has not left.
    Done,
}

/// What ends a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The clock.
    Clock(Duration),
    /// So many new facts.
    Facts(u64),
    /// A request.
    Request(Service, Point),
}

/// One life of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) stage: Stage,
    pub(crate) moment: Moment,
}

/// The lives of a drill with so many kills.
pub(crate) fn lives(kills: u32) -> Vec<Life> {
    let random = RandomState::new();
    let stages: Vec<Stage> = (0..kills).map(|n| stage(n, kills)).collect();
    let last_mail = stages.iter().rposition(|s| *s == Stage::Mail);
    let life = |(n, stage): (usize, &Stage)| {
        let chance = random.hash_one(n);
        let moment = match stage {
            Stage::Payment if n % 2 == 0 => Moment::Request(Service::Payments, Point::Asked),
            Stage::Payment => Moment::Request(Service::Payments, Point::Done),
            Stage::Mail if Some(n) == last_mail => Moment::Request(Service::Mail, Point::Done),
            Stage::Mail => Moment::Request(Service::Mail, Point::Asked),
            Stage::Before if n % 2 == 0 => Moment::Clock(within(chance)),
            Stage::Before | Stage::After => Moment::Facts(1 + chance % FACTS),
        };
        Life { stage: *stage, moment }
    };
    stages.iter().enumerate().map(life).collect()
}

/// Forty of a hundred before, thirty-five at the payment, fifteen at the mail, ten after.
fn stage(n: u32, kills: u32) -> Stage {
    match (u64::from(n) * 2 + 1) * 50 / u64::from(kills) {
        0..40 => Stage::Before,
        40..75 => Stage::Payment,
        75..90 => Stage::Mail,
        _ => Stage::After,
    }
}

fn within(chance: u64) -> Duration {
    let micros = u64::try_from(LIFE.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(chance % micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(kills: u32, stage: Stage) -> usize {
        lives(kills).iter().filter(|life| life.stage == stage).count()
    }

    #[test]
    fn kills_are_spread_over_the_whole_run_and_there_are_as_many_as_were_asked_for() {
        let of = |n| [Stage::Before, Stage::Payment, Stage::Mail, Stage::After].map(|s| count(n, s));
        assert_eq!(of(20), [8, 7, 3, 2]);
        assert_eq!(of(1), [0, 1, 0, 0]);
        for n in 0..=100 {
            assert_eq!(lives(n).len(), n as usize);
        }
    }

    #[test]
    fn the_mail_leaves_in_the_last_of_its_lives_only() {
        let mail: Vec<Moment> = lives(20).iter().filter(|l| l.stage == Stage::Mail).map(|l| l.moment).collect();
        let at = |point| Moment::Request(Service::Mail, point);
        assert_eq!(mail, [at(Point::Asked), at(Point::Asked), at(Point::Done)]);
    }
}
