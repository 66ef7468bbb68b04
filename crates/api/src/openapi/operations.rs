//! Every operation of the server. A route that is not here, or the other way round, fails a test of the server.

use stead_core::code;

use super::{
    approvers::approvers,
    audit::audit,
    erasure::erasure,
    operation::{Media, Operation, Place},
    policies::policies,
    sandboxes::sandboxes,
};
use crate::{
    agent::{Agent, AgentSummary, ApplyAgent},
    approval::{Answer, Approval, NoticeList, NoticeTested, SignedQuestion},
    artifact::Artifacts,
    budget::{Budgets, SetBudget},
    context::Context,
    fact::FactEvent,
    identity::{AskToken, Introspected, RunToken},
    login::{Link, Login, MakeLink},
    page::Page,
    right::Right::{Admin, Apply, Approve, Metrics, Read, Run as Start},
    run::{ExportHeader, Run, RunSummary, SandboxLimits, StartRun, Started, WaitUntil},
    schema,
    session::{OpenSession, Session, StartInSession},
    status::{Health, ServerStatus},
    switch::{CancelAll, Switch, Switches, TurnSwitch},
    usage::UsageReport,
    version::{Alias, ConfirmAlias, Rollback, SetAlias, VersionDiff, Versions},
    why::Why,
    workspace::WorkspaceFolder,
};

const KEY: &str = "1 to 255 visible ASCII characters. A repeated request with the same key and content starts nothing \
    and gets the first answer; the same key with other content is refused.";

const SESSION: &str = "Its id, or its key as one segment of the path (`customer%2F42`).";
const VERSION: &str = "The version, the beginning of one (8 digits or more), or an alias.";
const STEP: &str = "A turn by its number (`2`), or an effect by its name or the end of that (`e1`).";
const OF_AGENT: &str = "The agent's name, when sessions of several agents have this key.";
const OF_SESSION: &str =
    "Only of this session, by its id or its key; for a key that several agents have, `agent` chooses.";

/// All operations, by resource.
pub fn operations() -> Vec<Operation> {
    [
        agents(),
        sessions(),
        runs(),
        run_actions(),
        approvals(),
        approvers(),
        policies(),
        sandboxes(),
        audit(),
        erasure(),
        server(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("GET", path, id, summary)
}

pub(super) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("POST", path, id, summary)
}

fn agents() -> Vec<Operation> {
    const NAME: &str = "The agent's name.";
    vec![
        post("/v1/agents", "applyAgent", "Apply an agent").needs(&[Apply])
            .says(
                "Makes a version from the manifest and its files, and lets new runs use it, or the alias that the request names. A \
                version is named by its content, \
                so that repeating the request changes nothing; an Idempotency-Key is accepted and adds nothing to that. The tools of \
                MCP servers are asked for now and pinned in the version.",
            )
            .param::<String>(Place::Header, "Idempotency-Key", "Accepted; applying is idempotent by content.")
            .body::<ApplyAgent>(true)
            .answers::<Agent>(200, "This version was known; the alias names it now.")
            .answers::<Agent>(201, "A new version; the alias names it now.")
            .fails(
                422,
                &[
                    code::MANIFEST_READ,
                    code::MANIFEST_SYNTAX,
                    code::MANIFEST_KEY,
                    code::MANIFEST_VALUE,
                    code::MANIFEST_FILE,
                    code::MANIFEST_UNSUPPORTED,
                    code::POLICY_REFUSED,
                    code::TOOL_SERVER,
                    code::MODEL_KEY,
                ],
            ),
        get("/v1/agents", "listAgents", "List agents").needs(&[Read])
            .says("The live version of each agent, by name.")
            .answers::<Page<AgentSummary>>(200, "The agents; always one page."),
        get("/v1/agents/{agent}", "getAgent", "Show an agent").needs(&[Read])
            .says("Its live version, or what follows an `@` in the name: an alias, a version, or the beginning of one.")
            .path::<String>("agent", NAME)
            .answers::<Agent>(200, "The agent.")
            .fails(409, &[code::VERSION_GONE]),
        get("/v1/agents/{agent}/versions", "listVersions", "List the versions of an agent").needs(&[Read])
            .says("With the aliases that name them, and how those moved.")
            .path::<String>("agent", NAME)
            .answers::<Versions>(200, "The versions, newest first; always one page."),
        get("/v1/agents/{agent}/versions/{version}", "getVersion", "Show a version of an agent").needs(&[Read])
            .path::<String>("agent", NAME)
            .path::<String>("version", VERSION)
            .answers::<Agent>(200, "The version.")
            .fails(409, &[code::VERSION_GONE, code::VERSION_AMBIGUOUS]),
        post("/v1/agents/{agent}/aliases/{alias}", "setAlias", "Set or remove an alias").needs(&[Apply, Read])
            .says("Runs under way keep their version; new runs that name the alias use what it names then.")
            .path::<String>("agent", NAME)
            .path::<String>("alias", "The alias: small letters, digits and `-`. `live` is what new runs use.")
            .body::<SetAlias>(true)
            .answers::<Alias>(200, "The alias as it is now.")
            .fails(409, &[code::CONFLICT, code::VERSION_AMBIGUOUS]),
        post("/v1/agents/{agent}/aliases/{alias}/confirm", "confirmAlias", "Confirm what an alias is to name")
            .needs(&[Apply, Read])
            .says(
                "By another person than who proposed it, where two are asked for (`agents.four_eyes`). What was proposed before the alias \
                moved last cannot be confirmed any more.",
            )
            .path::<String>("agent", NAME)
            .path::<String>("alias", "The alias.")
            .body::<ConfirmAlias>(false)
            .answers::<Alias>(200, "The alias as it is now.")
            .fails(409, &[code::ALIAS_REFUSED, code::VERSION_AMBIGUOUS])
            .fails(422, &[code::POLICY_REFUSED]),
        post("/v1/agents/{agent}/rollback", "rollbackAgent", "Take `live` back").needs(&[Apply, Read])
            .says(
                "Moves `live` to what was live before, or to the version that is named. Runs under way keep their version. Two \
                rollbacks in a row go two versions back.",
            )
            .path::<String>("agent", NAME)
            .body::<Rollback>(false)
            .answers::<Alias>(200, "`live` as it is now.")
            .fails(409, &[code::CONFLICT, code::VERSION_AMBIGUOUS, code::NOTHING_EARLIER]),
        get("/v1/agents/{agent}/diff", "diffVersions", "Compare two versions of an agent").needs(&[Read])
            .path::<String>("agent", NAME)
            .query::<String>("from", "The first version; without it what was live before.")
            .query::<String>("to", "The second version; without it the live one.")
            .answers::<VersionDiff>(200, "What they differ in.")
            .fails(409, &[code::VERSION_GONE, code::VERSION_AMBIGUOUS, code::NOTHING_EARLIER])
            .fails(422, &[code::MANIFEST_UNSUPPORTED, code::TOOL_SERVER, code::MODEL_KEY]),
    ]
}

fn sessions() -> Vec<Operation> {
    vec![
        post("/v1/sessions", "openSession", "Open a session")
            .needs(&[Start, Read])
            .says("Gets the session of that key, or makes it.")
            .body::<OpenSession>(true)
            .answers::<Session>(200, "The session existed.")
            .answers::<Session>(201, "The session was made.")
            .fails(404, &[code::NOT_FOUND]),
        get("/v1/sessions", "listSessions", "List sessions")
            .needs(&[Read])
            .says("Newest first.")
            .query::<String>("agent", "Only of this agent.")
            .paged()
            .answers::<Page<Session>>(200, "A page."),
        get("/v1/sessions/{session}", "getSession", "Show a session")
            .needs(&[Read])
            .path::<String>("session", SESSION)
            .query::<String>("agent", OF_AGENT)
            .answers::<Session>(200, "The session.")
            .fails(409, &[code::SESSION_AMBIGUOUS]),
        post("/v1/sessions/{session}/runs", "startInSession", "Start a run in a session")
            .needs(&[Start])
            .says("Like starting a run with this session and its agent's live version.")
            .path::<String>("session", SESSION)
            .query::<String>("agent", OF_AGENT)
            .param::<String>(Place::Header, "Idempotency-Key", KEY)
            .body::<StartInSession>(true)
            .answers::<Started>(200, "An earlier request with this key had started it.")
            .answers::<Started>(201, "The run was accepted.")
            .fails(
                409,
                &[
                    code::IDEMPOTENCY,
                    code::VERSION_GONE,
                    code::CONFLICT,
                    code::SESSION_AMBIGUOUS,
                    code::VERSION_AMBIGUOUS,
                ],
            )
            .fails(422, &[code::MODEL_KEY]),
    ]
}

fn runs() -> Vec<Operation> {
    vec![
        post("/v1/runs", "startRun", "Start a run").needs(&[Start])
            .says("Answered once the run's first record is durable.")
            .param::<String>(Place::Header, "Idempotency-Key", KEY)
            .body::<StartRun>(true)
            .answers::<Started>(200, "An earlier request with this key had started it.")
            .answers::<Started>(201, "The run was accepted.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::IDEMPOTENCY, code::VERSION_GONE, code::CONFLICT, code::VERSION_AMBIGUOUS])
            .fails(422, &[code::MODEL_KEY]),
        get("/v1/runs", "listRuns", "List runs").needs(&[Read])
            .says("Newest first.")
            .param::<String>(Place::Query, "status", "Only of these statuses, separated by commas.")
            .query::<String>("agent", "Only of this agent.")
            .query::<String>("session", OF_SESSION)
            .query::<schema::RunId>("parent", "Only children of this run.")
            .paged()
            .answers::<Page<RunSummary>>(200, "A page.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::SESSION_AMBIGUOUS]),
        on_run(get("/v1/runs/{run}", "getRun", "Show a run, or wait for it")).needs(&[Read])
            .says("With `wait` the answer comes when the run has ended, or as it stands when the time is over.")
            .query::<String>("wait", "How long to wait: `30s`, `500ms`, `2m`; at most `5m`.")
            .query::<WaitUntil>("until", "What to wait for.")
            .answers::<Run>(200, "The run as it stands."),
        on_run(get("/v1/runs/{run}/facts", "listFacts", "List the facts of a run")).needs(&[Read])
            .says("In the order they happened. `limit` counts records, each of which has one or more facts.")
            .paged()
            .answers::<Page<FactEvent>>(200, "A page."),
        on_run(get("/v1/runs/{run}/stream", "streamRun", "Follow a run")).needs(&[Read])
            .says(
                "Server-sent events: every fact so far, then facts and pieces of replies as they come, then `end`. `event: fact` \
                carries a FactEvent, `event: delta` a StreamDelta, `event: reset` means that the pieces seen since the last fact are \
                void, `event: end` that the run is over. Comments keep the connection alive. A follower that is too slow is cut off; \
                it reconnects with the last id it saw and misses no fact.",
            )
            .query::<String>("after", "Only events after this id; `Last-Event-ID` takes precedence.")
            .param::<String>(Place::Header, "Last-Event-ID", "Only events after this id.")
            .answers_as::<String>(200, Media::Events, "The stream."),
        on_run(get("/v1/runs/{run}/export", "exportRun", "Export a run")).needs(&[Read])
            .says("JSON Lines: an ExportHeader, then one FactEvent a line.")
            .answers_as::<ExportHeader>(200, Media::Lines, "The run and its facts."),
        on_run(get("/v1/runs/{run}/artifacts", "listArtifacts", "List the files of a run")).needs(&[Read])
            .says(
                "Those that it was given, those that its tools returned, and results that were too long for its records, in the \
                order in which they were recorded.",
            )
            .answers::<Artifacts>(200, "The files."),
        on_run(get("/v1/runs/{run}/artifacts/{name}", "getArtifact", "Get a file of a run")).needs(&[Read])
            .says("As an attachment, under the media type that whoever gave it said. What is inside is foreign: do not trust it.")
            .path::<String>("name", "The file's name, as the list has it.")
            .answers_as::<String>(200, Media::Any, "Its bytes."),
        on_run(get("/v1/runs/{run}/workspace", "listWorkspace", "List the workspace of a run")).needs(&[Read])
            .says("The session's workspace as the run left it, or has it now.")
            .query::<String>("path", "The folder; the top when silent.")
            .answers::<WorkspaceFolder>(200, "The folder."),
        on_run(get("/v1/runs/{run}/workspace/file", "getWorkspaceFile", "Get a file of a run's workspace")).needs(&[Read])
            .says("As an attachment, at most 32 MiB of it. What is inside is foreign: do not trust it. No link is followed.")
            .query::<String>("path", "The file.")
            .answers_as::<String>(200, Media::Any, "Its bytes."),
        on_run(get("/v1/runs/{run}/workspace/archive", "getWorkspaceArchive", "Get a run's workspace as an archive")).needs(&[Read])
            .says("A tar archive: the same bytes for the same tree. What is inside is foreign: unpack it where it can do no harm.")
            .answers_as::<String>(200, Media::Any, "The archive."),
        on_run(get("/v1/runs/{run}/why", "whyRun", "Why a run stands where it stands")).needs(&[Read])
            .says("What it waits for or why it ended, what was denied, what is left of its budget; and what led to a step.")
            .query::<String>("step", STEP)
            .answers::<Why>(200, "Why."),
        on_run(get("/v1/runs/{run}/context", "getContext", "What the model saw")).needs(&[Read])
            .says("Exactly what it was given in a turn, by source, made from the journal by the code that serves the run.")
            .query::<String>("step", STEP)
            .answers::<Context>(200, "What it saw.")
            .fails(409, &[code::VERSION_GONE]),
        on_run(get("/v1/runs/{run}/trace", "getTrace", "The spans of a run")).needs(&[Read])
            .says(
                "An `ExportTraceServiceRequest` of OTLP in its JSON encoding, with the runs below it: derived from the journal, so that each \
                 answer has the same ids, and a collector was told the same.",
            )
            .query::<bool>("unfinished", "Also what has begun and not ended.")
            .answers::<serde_json::Value>(200, "The request, as a collector takes it at `/v1/traces`."),
        on_run(get("/v1/runs/{run}/cassette", "getRunCassette", "The cassette of a run")).needs(&[Read])
            .says(
                "JSON Lines, as docs/cassettes.md describes them: what was recorded, when the run was started with \
                `record`; else what the journal knows, the replies.",
            )
            .answers_as::<String>(200, Media::Lines, "The cassette."),
    ]
}

fn on_run(operation: Operation) -> Operation {
    operation.path::<schema::RunId>("run", "The run.")
}

fn run_actions() -> Vec<Operation> {
    let act = |path, id, summary| on_run(post(path, id, summary)).needs(&[Start, Read]).fails(409, &[code::CONFLICT]);
    vec![
        act("/v1/runs/{run}/pause", "pauseRun", "Pause a run")
            .says("No new model call or effect starts until it is resumed; what is under way finishes.")
            .answers::<Run>(200, "The run as it stands."),
        act("/v1/runs/{run}/resume", "resumeRun", "Resume a run").answers::<Run>(200, "The run as it stands."),
        act("/v1/runs/{run}/cancel", "cancelRun", "Cancel a run")
            .says(
                "Answered once no new effect of the run or of its children can start. Effects under way may finish; the run then \
                ends as cancelled.",
            )
            .answers::<Run>(200, "The run as it stands."),
        post("/v1/runs/cancel", "cancelAllRuns", "Stop all runs that there are")
            .needs(&[Start, Read])
            .says(
                "Answered once no new effect of any run that had begun, or of its children, can start, on any server; the runs are then \
                stopped one after the other, by this server or the next. Runs that begin afterwards are not stopped.",
            )
            .body::<CancelAll>(true)
            .answers::<Switch>(200, "It is in force.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::CONFLICT]),
        on_run(post("/v1/runs/{run}/token", "mintToken", "Make a token of a run"))
            .needs(&[Admin, Read])
            .says(
                "A JWT that says who the run is, for one audience and ten minutes: its subject is the person on whose behalf the run works, \
                and the run with those above it is the actor; a run of nobody is its own subject. For a run that may act now.",
            )
            .body::<AskToken>(true)
            .answers::<RunToken>(200, "The token.")
            .fails(403, &[code::DISABLED, code::GRANT, code::DELEGATION])
            .fails(409, &[code::CONFLICT]),
        act("/v1/runs/{run}/renew", "renewRun", "Let a run go on on one's behalf")
            .says(
                "The caller is the person on whose behalf the run works, and lets it go on for as long again (`identity.delegation`), with all \
                runs of its chain. Nobody else can.",
            )
            .answers::<Run>(200, "The run as it stands.")
            .fails(409, &[code::CONFLICT]),
        post("/v1/introspect", "introspectToken", "Whether a token of a run counts")
            .needs(&[Read])
            .says(
                "Token introspection (RFC 7662), for services that are shown tokens of runs of the caller's tenant and want to know of a \
                revocation before they end. The body is a form, `token=…`.",
            )
            .answers::<Introspected>(200, "What is said of it."),
        on_run(post("/v1/runs/{run}/limit", "limitRun", "Set other limits for a run's sandboxes"))
            .needs(&[Admin, Read])
            .says(
                "They hold for the sandboxes that run now, as far as their tier can change a limit, and for all that start later, after a \
                crash too. They may be looser than the agent's; beyond the server's own bounds they are refused.",
            )
            .body::<SandboxLimits>(true)
            .answers::<Run>(200, "The run as it stands.")
            .fails(409, &[code::CONFLICT])
            .fails(422, &[code::SANDBOX_BOUNDS]),
        act("/v1/runs/{run}/kill", "killRun", "Kill a run")
            .says("Like cancel, but effects under way are abandoned and count as unknown.")
            .answers::<Run>(200, "The run as it stands."),
    ]
}

fn approvals() -> Vec<Operation> {
    const ID: &str = "The effect that the approval is about.";
    let answer = |path, id, summary| {
        post(path, id, summary)
            .needs(&[Approve, Read])
            .path::<schema::EffectId>("approval", ID)
            .body::<Answer>(false)
            .answers::<Run>(200, "The answer is durable. The run as it stands.")
            .fails(409, &[code::CONFLICT])
            .fails(422, &[code::APPROVAL_UNSIGNED, code::APPROVAL_SIGNATURE])
    };
    vec![
        get("/v1/approvals", "listApprovals", "List open approvals")
            .needs(&[Read])
            .says(
                "The one asked last first. A page may hold fewer than asked for, or none, and have a next one: what is answered \
                meanwhile is left out. With `Accept: text/event-stream`, for whom the right `approve` lets in, and without a filter: \
                what happens to the tenant's approvals, as events `opened`, `reminded`, `escalated`, `approved`, `denied`, `expired` and \
                `closed`, each an ApprovalEvent. It begins with `reset` and all that is open; so it does when the last id is not known \
                any more.",
            )
            .query::<String>("agent", "Only of this agent.")
            .query::<String>("session", OF_SESSION)
            .query::<schema::RunId>("run", "Only of this run.")
            .param::<String>(Place::Header, "Last-Event-ID", "Of a stream: go on after this id.")
            .paged()
            .answers::<Page<Approval>>(200, "A page.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::SESSION_AMBIGUOUS]),
        get("/v1/approvals/notices", "listNotices", "List the notices that tell people of approvals")
            .needs(&[Read])
            .says("As the server's configuration has them, without where they lead.")
            .answers::<NoticeList>(200, "The notices."),
        post("/v1/approvals/notices/{notice}/test", "testNotice", "Send a notice to try it")
            .needs(&[Admin, Read])
            .says("It says that it is a test. It is sent once, now.")
            .path::<String>("notice", "Its name.")
            .answers::<NoticeTested>(200, "It was taken.")
            .fails(404, &[code::NOTICE_UNKNOWN])
            .fails(502, &[code::NOTICE_UNSENT]),
        get("/v1/approvals/{approval}", "getApproval", "Show an open approval")
            .needs(&[Read])
            .path::<schema::EffectId>("approval", ID)
            .answers::<Approval>(200, "The approval."),
        get("/v1/approvals/{approval}/question", "getApprovalQuestion", "Show a question as it is signed")
            .needs(&[Read])
            .says("The last one about the effect, open or not. There is none where it was asked before anybody had a key.")
            .path::<schema::EffectId>("approval", ID)
            .answers::<SignedQuestion>(200, "The question, and the answers that it has."),
        answer("/v1/approvals/{approval}/approve", "approve", "Approve an action"),
        answer("/v1/approvals/{approval}/deny", "deny", "Deny an action"),
    ]
}

fn server() -> Vec<Operation> {
    vec![
        get("/v1/usage", "getUsage", "What runs have used").needs(&[Read])
            .says(
                "Sums of settled model calls, in whole hours (UTC). A child's calls count with the child alone, so that nothing is \
                counted twice. What a run that works has used is added when it waits or ends, and after every 16 model calls.",
            )
            .query::<String>("by", "One or more of `agent`, `model`, `user`, `session`, separated by commas; without it the total.")
            .query::<String>("since", "From the hour of this instant on: microseconds since 1970, or how long ago (`30d`, `12h`).")
            .query::<String>("until", "To the hour of this instant, in the same forms.")
            .query::<u32>("limit", "Groups wanted: 1 to 5000; 5000 when absent.")
            .answers::<UsageReport>(200, "The sums."),
        get("/v1/budgets", "listBudgets", "Budgets of the tenant and of its agents").needs(&[Read])
            .says(
                "What is used and what runs hold for what they do next are together never more than a limit. Windows are of the \
                calendar in UTC.",
            )
            .answers::<Budgets>(200, "The budgets."),
        post("/v1/budgets", "setBudget", "Set or remove a budget").needs(&[Apply, Read])
            .says("Runs heed it from their next slice on. What was used of its window stays; a budget without limits is removed.")
            .body::<SetBudget>(true)
            .answers::<Budgets>(200, "All budgets as they are now.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::CONFLICT]),
        get("/v1/switches", "listSwitches", "What operators have turned off")
            .needs(&[Read])
            .query::<u64>("before", "Only what was turned before this number; `next` of the page before.")
            .query::<u32>("limit", "Entries of `past` wanted: 1 to 500; 50 when absent.")
            .answers::<Switches>(200, "What is off, and what was turned."),
        post("/v1/switches", "turnSwitch", "Turn something off, or on again")
            .needs(&[Apply, Read])
            .says(
                "Once it is answered, nothing begins any more that needs what was turned off, on no server: calls of a tool or a \
                provider are denied, runs of an agent, a version, a person or a tenant hold until it is on again. What is under way is \
                not interrupted.",
            )
            .body::<TurnSwitch>(true)
            .answers::<Switch>(200, "It is in force.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::CONFLICT]),
        get("/.well-known/jwks.json", "getKeys", "The keys that sign tokens of runs")
            .says("A JWK set (RFC 7517). Keep it for a day at most: a key is published a day before it signs.")
            .without_token()
            .answers::<serde_json::Value>(200, "The keys."),
        get("/.well-known/openid-configuration", "getIssuer", "Who signs tokens of runs")
            .without_token()
            .answers::<serde_json::Value>(200, "The issuer and where its keys are."),
        get("/v1/login", "getLogin", "How people log in")
            .says("What `stead login` needs to know of the identity provider.")
            .without_token()
            .answers::<Login>(200, "The provider and the client.")
            .fails(404, &[code::NOT_FOUND]),
        post("/v1/login/links", "makeLoginLink", "Make a link with which a browser signs in")
            .needs(&[Read])
            .says("On the approval page, as whoever asks, once, within two minutes.")
            .body::<MakeLink>(false)
            .answers::<Link>(200, "The link."),
        get("/v1/status", "getStatus", "Show the server")
            .says("Any token may ask.")
            .answers::<ServerStatus>(200, "The server and the caller."),
        get("/v1/openapi.json", "getOpenApi", "This document").answers::<serde_json::Value>(200, "The document."),
        get("/v1/backup", "backUp", "Back everything up")
            .needs(&[Admin])
            .says(
                "Everything that the store keeps, of all tenants, as it is at one moment, as a stream of bytes; work goes on \
                meanwhile. A stream that breaks off is no backup: `stead backup verify` tells. What is a person's is sealed in it, and is \
                restored only with the keys of `/v1/backup/subject-keys`, asked for afterwards.",
            )
            .query::<bool>("key", "Whether the key of the blobs' addresses goes with it; yes when absent.")
            .answers_as::<String>(200, Media::Backup, "The backup."),
        get("/v1/backup/subject-keys", "getSubjectKeys", "Get the keys under which backups are sealed")
            .needs(&[Admin])
            .says(
                "Keep them apart from all backups: with them an older backup shows what persons wrote. After an erasure put the new \
                file in the place of every kept one: then older backups show nothing of that person any more.",
            )
            .answers_as::<String>(200, Media::SubjectKeys, "The bytes of the file."),
        get("/healthz", "healthz", "Is the process alive?").without_token().answers::<Health>(200, "It is."),
        get("/readyz", "readyz", "Can the server work?")
            .says("It owns its journal, the store answers, and it is not shutting down.")
            .without_token()
            .answers::<Health>(200, "It can.")
            .fails(503, &[code::DRAINING, code::DATA_UNREACHABLE]),
        get("/metrics", "metrics", "Metrics in the Prometheus text format")
            .needs(&[Metrics])
            .says("Open to anyone when the configuration says `metrics_open = true`.")
            .answers_as::<String>(200, Media::Metrics, "The metrics."),
    ]
}
