//! `/v1/usage`: what runs have used.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use stead_api::usage::{UsageBy, UsageGroup, UsageReport, UsageSums};
use stead_core::{
    budget::{MicroUsd, Spend},
    time::Timestamp,
};
use stead_ports::{
    clock::Clock as _,
    journal::{GroupBy, HOUR, UsageFilter, UsageRow, hour_of},
};

use crate::{
    auth::Principal,
    clock::SystemClock,
    config::units::Time,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        input::Params,
    },
};

/// Most groups of one answer.
const MAX_GROUPS: u32 = 5_000;

/// Which usage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    by: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    Params(asked): Params<Asked>,
) -> Answer<Body<UsageReport>> {
    let by = groups(asked.by.as_deref())?;
    let limit = match asked.limit.unwrap_or(MAX_GROUPS) {
        n @ 1..=MAX_GROUPS => n,
        n => return Err(Failure::bad_request(format!("`limit` must be 1 to {MAX_GROUPS}, not {n}"))),
    };
    let since = asked.since.as_deref().map(|t| instant("since", t)).transpose()?.map(hour_of);
    // The hour that has begun belongs to the period that ends in it.
    let until = asked.until.as_deref().map(|t| instant("until", t)).transpose()?;
    let until = until.map(|t| hour_of(Timestamp(t.0.saturating_add(HOUR - 1))));
    let filter =
        UsageFilter { tenant: who.tenant, by: group_by(&by), since_hour: since, until_hour: until, limit: limit + 1 };
    let journal = app.runtime.journal();
    let all = UsageFilter { by: GroupBy::default(), limit: 1, ..filter.clone() };
    let total = journal.usage(&all).await?.first().map(sums).unwrap_or_default();
    let mut rows = match by.is_empty() {
        true => Vec::new(),
        false => journal.usage(&filter).await?,
    };
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let time = |hour: i64| Timestamp(hour.saturating_mul(HOUR));
    Ok(Body(UsageReport {
        since: since.map(time),
        until: until.map(time),
        by,
        groups: rows.into_iter().map(group).collect(),
        more,
        total,
    }))
}

fn groups(text: Option<&str>) -> Answer<Vec<UsageBy>> {
    let words = text.into_iter().flat_map(|t| t.split(',')).map(str::trim).filter(|w| !w.is_empty());
    let mut by = Vec::new();
    for word in words.take(2 * UsageBy::ALL.len()) {
        let short: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
        let found = UsageBy::parse(word).ok_or_else(|| {
            let all = UsageBy::ALL.map(UsageBy::as_str).join(", ");
            Failure::bad_request(format!("usage is not grouped by `{short}`")).hint(format!("one or more of {all}"))
        })?;
        if !by.contains(&found) {
            by.push(found);
        }
    }
    Ok(by)
}

fn group_by(by: &[UsageBy]) -> GroupBy {
    let has = |b| by.contains(&b);
    GroupBy {
        agent: has(UsageBy::Agent),
        model: has(UsageBy::Model),
        user: has(UsageBy::User),
        session: has(UsageBy::Session),
    }
}

/// An instant: microseconds since the epoch, or how long ago (`30d`, `12h`).
fn instant(name: &str, text: &str) -> Answer<Timestamp> {
    if let Ok(micros) = text.parse::<i64>() {
        return Ok(Timestamp(micros));
    }
    let Time(ago) = Time::parse(text).ok_or_else(|| {
        Failure::bad_request(format!(
            "`{name}` must be microseconds since 1970, or how long ago such as `30d` or `12h`"
        ))
    })?;
    Ok(Timestamp(SystemClock.now().0.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX))))
}

fn group(row: UsageRow) -> UsageGroup {
    let sums = sums(&row);
    UsageGroup { agent: row.agent, model: row.model, user: row.user, session: row.session, sums }
}

fn sums(row: &UsageRow) -> UsageSums {
    let used = &row.used;
    UsageSums {
        runs: row.runs,
        model_calls: used.replies,
        failed_calls: used.failures,
        tool_calls: used.tool_calls,
        input: used.input,
        cached: used.cached,
        cache_write: used.cache_write,
        output: used.output,
        reasoning: used.reasoning,
        spent: used.spent(),
        estimated: Spend { tokens: used.estimated_tokens, usd: Some(MicroUsd(used.estimated_usd)) },
        known_usd: MicroUsd(used.usd),
        unpriced_calls: used.unpriced,
    }
}
