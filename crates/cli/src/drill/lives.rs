//! The lives of the runtime, one after the other, and the human who answers what it asks.

use std::{cell::Cell, rc::Rc};

use stead_api::{
    approval::Approval,
    fact::FactEvent,
    page::{MAX_LIMIT, PageQuery},
    run::{Run, StartRun, WaitUntil},
};
use stead_client::{Client, Heard};
use stead_core::{
    fact::AskReason,
    id::{EffectId, RunId},
    time::Timestamp,
};

use super::{
    child::Runtime,
    folder::{AGENT, Folder},
    plan::{Life, Moment, Stage},
    world::World,
};
use crate::{
    connect::Connection,
    error::{CliError, Outcome},
    signing, ui,
};

/// What the agent is asked.
pub(crate) const INPUT: &str = "Refund order 1042";
/// Names the request, so that it starts one run however often it is made.
const KEY: &str = "stead-demo";

/// An approval that the drill answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) tool: String,
    pub(crate) approved: bool,
    pub(crate) why: &'static str,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) run: Run,
    pub(crate) facts: Vec<FactEvent>,
    pub(crate) kills: Vec<Timestamp>,
    pub(crate) answers: Vec<Answer>,
}

/// See the module.
pub(crate) struct Lives<'a> {
    folder: &'a Folder,
    world: &'a World,
    bundle: stead_manifest::Bundle,
    quiet: bool,
    run: Option<RunId>,
    /// Facts that were heard of so far.
    seen: Rc<Cell<u64>>,
    answers: Vec<Answer>,
    answered: Vec<(EffectId, Timestamp)>,
}

impl<'a> Lives<'a> {
    /// Nothing has happened yet.
    pub(crate) fn new(folder: &'a Folder, world: &'a World, quiet: bool) -> Outcome<Self> {
        let bundle = folder.bundle(world)?;
        Ok(Self {
            folder,
            world,
            bundle,
            quiet,
            run: None,
            seen: Rc::default(),
            answers: Vec::new(),
            answered: Vec::new(),
        })
    }

    /// Plays the planned lives, each of which is killed, and a last one, which is let live.
    pub(crate) async fn play(mut self, lives: &[Life]) -> Outcome<End> {
        let mut kills = Vec::with_capacity(lives.len());
        for life in lives {
            kills.push(self.one(*life).await?);
        }
        self.world.disarm();
        let mut runtime = Runtime::start(self.folder)?;
        let client = runtime.up(self.folder).await?;
        let run = self.finish(&client).await?;
        let facts = all_facts(&client, run.summary.id).await?;
        runtime.kill().await?;
        Ok(End { run, facts, kills, answers: self.answers })
    }

    async fn one(&mut self, life: Life) -> Outcome<Timestamp> {
        let world = self.world;
        world.arm(life.moment);
        let mut runtime = Runtime::start(self.folder)?;
        let came = async {
            match life.moment {
                Moment::Clock(after) => tokio::time::sleep(after).await,
                Moment::Request(..) => world.sprung().await,
                Moment::Facts(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = came => {}
            // There is nothing left to do in this life, or its facts have come.
            lived = self.live(&mut runtime, life) => lived?,
        }
        runtime.kill().await
    }

    /// Works on the run until its end, or until a human is to answer who does not answer in this life.
    async fn live(&mut self, runtime: &mut Runtime, life: Life) -> Outcome<()> {
        let client = runtime.up(self.folder).await?;
        let run = self.started(&client).await?;
        let enough = match life.moment {
            Moment::Facts(n) => self.seen.get() + n,
            _ => u64::MAX,
        };
        let facts = heard(&client, run, self.seen.clone(), enough);
        if life.stage == Stage::Before {
            tokio::select! {
                facts = facts => facts,
                waited = client.wait(run, WaitUntil::Waiting) => waited.map(drop).map_err(CliError::from),
            }
        } else {
            tokio::select! {
                facts = facts => facts,
                ended = self.finish(&client) => ended.map(drop),
            }
        }
    }

    /// Starts the run, once.
    async fn started(&mut self, client: &Client) -> Outcome<RunId> {
        if let Some(run) = self.run {
            return Ok(run);
        }
        let connection = Connection::to(client.clone());
        let agent = crate::commands::run::apply(&connection, &self.bundle).await?;
        let start =
            StartRun { agent: AGENT.into(), version: Some(agent.version), input: INPUT.into(), ..StartRun::default() };
        let started = client.start_run(&start, Some(KEY)).await?;
        Ok(*self.run.insert(started.run))
    }

    /// Answers what is asked until the run has ended.
    async fn finish(&mut self, client: &Client) -> Outcome<Run> {
        let run = self.started(client).await?;
        loop {
            let found = client.wait(run, WaitUntil::Waiting).await?;
            if found.summary.status.ended() {
                return Ok(found);
            }
            for approval in &found.approvals {
                self.answer(client, approval).await?;
            }
        }
    }

    /// Answers as a careful human would: who does not know whether a mail left looks into the mailbox.
    async fn answer(&mut self, client: &Client, approval: &Approval) -> Outcome<()> {
        let (approved, why) = match approval.reason {
            AskReason::Manifest => (true, "the order came back"),
            _ if super::report::count(self.folder, "mail")? == 0 => (true, "the mailbox is empty, so it did not leave"),
            _ => (false, "the mail is in the mailbox, so it is not sent again"),
        };
        // Told first: the answer may be what ends this life. It is given again when it was not heard.
        let question = (approval.id, approval.since);
        if !self.answered.contains(&question) {
            self.answered.push(question);
            let tool = approval.tool.to_string();
            if !self.quiet {
                let word = if approved { "approves" } else { "denies" };
                ui::say(&format!("  in your place the demo {word} {tool}: {why}"));
            }
            self.answers.push(Answer { tool, approved, why });
        }
        // The development server has a directory of one person, whose key is in the folder.
        signing::answer(client, &self.folder.data(), approval.id, approved, None).await?;
        Ok(())
    }
}

/// Counts the run's facts until there are enough.
async fn heard(client: &Client, run: RunId, seen: Rc<Cell<u64>>, enough: u64) -> Outcome<()> {
    let mut follow = client.follow(run, None);
    let mut facts = 0;
    while let Some(event) = follow.next().await {
        if matches!(event?, Heard::Fact(_)) {
            facts += 1;
            seen.set(seen.get().max(facts));
            if facts >= enough {
                return Ok(());
            }
        }
    }
    // The run has ended; what else is to come of this life comes without facts.
    std::future::pending().await
}

async fn all_facts(client: &Client, run: RunId) -> Outcome<Vec<FactEvent>> {
    let (mut facts, mut cursor) = (Vec::new(), None);
    loop {
        let page = client.facts(run, &PageQuery { cursor, limit: Some(MAX_LIMIT) }).await?;
        facts.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(facts);
        }
    }
}
